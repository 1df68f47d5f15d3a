#!/usr/bin/env python3
"""Shows a NIC's fault with VXLAN checksums on two hosts: Python 3.9, ip and ethtool, no packages.

On the host that receives, then on the host whose NIC is to be looked at, both as root:

    python3 reproduce.py receive INTERFACE
    python3 reproduce.py send INTERFACE ADDRESS_OF_THE_RECEIVER

Both interfaces need an address of the outer family, and nothing else may use the tunnel's UDP port.
The sender sets the features below by ethtool, makes a VXLAN device, and sends the kernel's own TCP
or UDP through it. The receiver captures each frame as it comes from the wire and computes every
checksum again. Where the fault is that frames are lost, it counts those that did not arrive, or
that TCP had to send again. Where it is that the NIC is wrong about what it receives, the NIC to be
looked at is that of the receiver: finished datagrams with right and wrong checksums are sent to it.
Both put back what they have changed, also when they are interrupted.

Exit code 1: the fault shows; 0: every frame is right; 2: it could not be judged.

It was written by vxqual. The first part says what it does; the rest is the same for every fault.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import re
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any

# -- parameters --
PARAMETERS: dict[str, Any] = {}
# -- end of parameters --

DEVICE = "vxrepro"
INNER = {4: ("198.51.100.1", "198.51.100.2"), 6: ("2001:db8:5650::1", "2001:db8:5650::2")}
CONTROL, DATA = 5650, 5651
MERGING = ("rx-gro", "rx-lro", "rx-gro-hw")
FAULT, GOOD, NOT_JUDGED = 1, 0, 2
ETH_P_ALL, SOL_PACKET, PACKET_AUXDATA, PACKET_OUTGOING = 3, 263, 8, 4
PACKET_STATISTICS, TCP_INFO_SIZE, SENT_AGAIN, SEGMENTS = 6, 192, 100, 156
SO_RCVBUFFORCE, SO_MAX_PACING_RATE, UDP_SEGMENT = 33, 47, 103
CSUM_NOT_READY = 1 << 3
FEATURE = re.compile(
    r"^\t*([\w-]+): (on|off)( \[fixed\])?(?: \[requested (on|off)\])?", re.MULTILINE
)


class CannotJudgeError(Exception):
    """Why it cannot be judged, and what to do."""


# -- the host --


def run(*words: str) -> str:
    """Runs a command and returns what it prints."""
    try:
        done = subprocess.run(words, capture_output=True, check=False)
    except FileNotFoundError:
        raise CannotJudgeError(f"{words[0]} is not installed") from None
    if done.returncode:
        raise CannotJudgeError(f"{' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode(errors="replace")


# ethtool -k shows these by other names than the kernel's, which -K takes; others it sums up.
KERNEL_NAMES = {
    "generic-receive-offload": "rx-gro",
    "large-receive-offload": "rx-lro",
    "generic-segmentation-offload": "tx-generic-segmentation",
    "rx-checksumming": "rx-checksum",
}
SUMS = ("tx-checksumming", "tx-vlan-offload", "rx-vlan-offload")


def features_of(interface: str) -> dict[str, tuple[bool, bool, bool]]:
    """Returns for each feature whether it is in effect, requested, and fixed."""
    found = {}
    for shown, state, fixed, wanted in FEATURE.findall(run("ethtool", "-k", interface)):
        name = KERNEL_NAMES.get(shown, shown)
        if name.startswith(("rx-", "tx-")) and name not in SUMS:
            found[name] = (state == "on", (wanted or state) == "on", bool(fixed))
    return found


def set_features(interface: str, wanted: dict[str, bool], undo: contextlib.ExitStack) -> None:
    """Sets features in one call; what was requested before is put back in the end."""
    before = features_of(interface)
    todo = {}
    for name, on in wanted.items():
        active, requested, fixed = before.get(name, (False, False, True))
        if not fixed and (active, requested) != (on, on):
            todo[name] = on
        elif fixed and active != on:
            print(f"note: {interface} cannot switch {name} {'on' if on else 'off'}")
    if not todo:
        return
    undo.callback(put_back, interface, before)
    words = [word for name, on in todo.items() for word in (name, "on" if on else "off")]
    run("ethtool", "-K", interface, *words)
    print(f"set: ethtool -K {interface} {' '.join(words)}")
    after = features_of(interface)
    for name, on in todo.items():
        if after[name][0] != on:
            print(f"note: {name} is {'off' if on else 'on'} nevertheless")


def put_back(interface: str, before: dict[str, tuple[bool, bool, bool]]) -> None:
    """Requests again what was requested; setting one feature may have moved others."""
    now = features_of(interface)
    words = []
    for name, (_, wanted, fixed) in before.items():
        if not fixed and name in now and now[name][1] != wanted:
            words += [name, "on" if wanted else "off"]
    if words:
        run("ethtool", "-K", interface, *words)
        print(f"put back: ethtool -K {interface} {' '.join(words)}")


def address_of(interface: str, family: int) -> str:
    """Returns the first address of a family of an interface; for IPv6, no link-local one."""
    for link in json.loads(run("ip", "-json", f"-{family}", "addr", "show", "dev", interface)):
        for one in link.get("addr_info", ()):
            address = ipaddress.ip_address(one["local"])
            if not address.is_link_local:
                return str(address)
    raise CannotJudgeError(f"{interface} has no IPv{family} address: give it one with ip addr add")


def make_device(
    interface: str, own: str, remote: str | None, role: int, undo: contextlib.ExitStack
) -> None:
    """Makes the VXLAN device; `role` is 0 at the receiver, which learns where the sender is."""
    given = PARAMETERS
    outer, inner = given["outer"], given["inner"]
    checksum = "udpcsum" if given["outer_checksum"] else "noudpcsum"
    if outer == 6:
        checksum = "noudp6zerocsumtx" if given["outer_checksum"] else "udp6zerocsumtx"
    words = ["type", "vxlan", "id", str(given["vni"]), "dev", interface]
    words += ["local", own, "dstport", str(given["port"]), checksum]
    words += ["udp6zerocsumrx"] if outer == 6 else []
    words += ["remote", remote] if remote else []
    run("ip", "link", "add", DEVICE, *words)
    undo.callback(run, "ip", "link", "del", DEVICE)
    size = json.loads(run("ip", "-json", "link", "show", "dev", interface))[0]["mtu"]
    run("ip", "link", "set", DEVICE, "mtu", str(size - (70 if outer == 6 else 50)))
    run("ip", "link", "set", DEVICE, "up")
    prefix, more = ("24", ()) if inner == 4 else ("64", ("nodad",))
    run("ip", "addr", "add", f"{INNER[inner][role]}/{prefix}", "dev", DEVICE, *more)


# -- frames --


def ones(data: bytes) -> int:
    """Returns the one's complement sum of 16-bit words (RFC 1071), as a residue."""
    if len(data) & 1:
        data += b"\0"
    return int.from_bytes(data, "big") % 65535


def parse(frame: bytes, at: int, family: int) -> tuple[int, int, int, bytes, list[str]]:
    """Reads an IP header: protocol, where L4 begins and ends, addresses, and what is wrong."""
    wrong = []
    if family == 4:
        if len(frame) < at + 20 or frame[at] >> 4 != 4:
            return -1, at, at, b"", ["IP header is no IPv4 header"]
        size = (frame[at] & 15) * 4
        if ones(frame[at : at + size]):
            wrong.append("IPv4 header checksum is wrong")
        end = at + int.from_bytes(frame[at + 2 : at + 4], "big")
        if int.from_bytes(frame[at + 6 : at + 8], "big") & 0x3FFF:
            return -1, at, at, b"", wrong  # a fragment
        protocol, addresses, l4 = frame[at + 9], frame[at + 12 : at + 20], at + size
    else:
        if len(frame) < at + 40 or frame[at] >> 4 != 6:
            return -1, at, at, b"", ["IP header is no IPv6 header"]
        end = at + 40 + int.from_bytes(frame[at + 4 : at + 6], "big")
        protocol, addresses, l4 = frame[at + 6], frame[at + 8 : at + 40], at + 40
    if end > len(frame) or end < l4:
        wrong.append(f"IP length is {end - at}, and {len(frame) - at} bytes are there")
        return -1, l4, min(end, len(frame)), addresses, wrong
    return protocol, l4, end, addresses, wrong


def check_l4(
    frame: bytes, packet: tuple[int, int, int, bytes, list[str]], *, tunnel: bool, family: int
) -> list[str]:
    """Returns what is wrong with a UDP or TCP header and its checksum."""
    protocol, l4, end, addresses, _ = packet
    at = l4 + (16 if protocol == 6 else 6)
    name = "TCP" if protocol == 6 else "UDP"
    if protocol not in (6, 17):
        return []
    if end - l4 < (20 if protocol == 6 else 8):
        return [f"{name} header does not fit"]
    if protocol == 17 and int.from_bytes(frame[l4 + 4 : l4 + 6], "big") != end - l4:
        return ["UDP length is not that of the IP packet"]
    found = int.from_bytes(frame[at : at + 2], "big")
    if protocol == 17 and not found:
        if tunnel:
            return ["UDP checksum is 0 and was asked for"] if PARAMETERS["outer_checksum"] else []
        return [] if family == 4 else ["UDP checksum is 0"]
    if tunnel and not PARAMETERS["outer_checksum"]:
        return [f"UDP checksum is 0x{found:04x}, and none was asked for"]
    total = ones(addresses) + protocol + (end - l4) + ones(frame[l4:end])
    if total % 65535 == 0:
        return []
    right = (65535 - (total - found)) % 65535
    right = right or (0xFFFF if protocol == 17 else 0)
    return [f"{name} checksum is 0x{found:04x}, should be 0x{right:04x}"]


def judge(frame: bytes, own: bytes) -> list[str] | None:
    """Returns what is wrong with a frame of the tunnel; None if it is not one of the flow."""
    at, kind = 14, frame[12:14]
    while kind in (b"\x81\x00", b"\x88\xa8"):
        at, kind = at + 4, frame[at + 2 : at + 4]
    family = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(kind)
    if family is None or family != PARAMETERS["outer"]:
        return None
    outer = parse(frame, at, family)
    l4 = outer[1]
    if outer[0] != 17 or outer[3][-len(own) :] != own:
        return None
    if int.from_bytes(frame[l4 + 2 : l4 + 4], "big") != PARAMETERS["port"]:
        return None
    vxlan, inner_at = l4 + 8, l4 + 16 + 14
    if int.from_bytes(frame[vxlan + 4 : vxlan + 7], "big") != PARAMETERS["vni"]:
        return None
    if frame[inner_at - 2 : inner_at] != (b"\x08\x00" if PARAMETERS["inner"] == 4 else b"\x86\xdd"):
        return None  # ARP
    inner = parse(frame, inner_at, PARAMETERS["inner"])
    if inner[0] not in (6, 17, -1):
        return None  # neighbour discovery
    wrong = [f"outer {text}" for text in outer[4]]
    wrong += [f"outer {t}" for t in check_l4(frame, outer, tunnel=True, family=family)]
    wrong += [f"inner {text}" for text in inner[4]]
    inner_family = PARAMETERS["inner"]
    wrong += [f"inner {t}" for t in check_l4(frame, inner, tunnel=False, family=inner_family)]
    return wrong


class Capture:
    """Captures what comes in on an interface, and judges it."""

    def __init__(self, interface: str, own: str) -> None:
        self._own, self._stop = ipaddress.ip_address(own).packed, False
        self.frames = self.bad = self.merged = self.dropped = 0
        self.first: list[str] = []
        mtu = json.loads(run("ip", "-json", "link", "show", "dev", interface))[0]["mtu"]
        self._longest = mtu + 14 + 4
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.bind((interface, ETH_P_ALL))
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes what has arrived, and ends."""
        self._stop = True
        self._thread.join()
        statistics = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self.dropped = struct.unpack("=II", statistics)[1]
        self._socket.close()

    def _take(self) -> None:
        while True:
            try:
                frame, control, _, sender = self._socket.recvmsg(1 << 17, 128)
            except socket.timeout:  # noqa: UP041  (not the same before Python 3.10)
                if self._stop:
                    return
                continue
            if sender[2] == PACKET_OUTGOING:
                continue
            status = struct.unpack_from("=I", control[0][2])[0] if control else 0
            wrong = judge(frame, self._own) if len(frame) > 60 else None
            if wrong is None:
                continue
            if status & CSUM_NOT_READY or len(frame) > self._longest:
                self.merged += 1
                continue
            self.frames += 1
            if wrong:
                self.bad += 1
                self.first += ["; ".join(wrong)] if len(self.first) < 5 else []


# -- both ends --


def listener(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    """Returns a bound socket that does not block."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    sock.setblocking(False)
    return sock


def drain(data: socket.socket, over: threading.Event) -> None:
    """Reads and throws away what the tunnel delivers, until it is over."""
    stream = data.type == socket.SOCK_STREAM
    with selectors.DefaultSelector() as selector:
        selector.register(data, selectors.EVENT_READ, data)
        while not over.is_set():
            for key, _ in selector.select(0.2):
                sock = key.data
                with contextlib.suppress(OSError):
                    if stream and sock is data:
                        accepted, _ = data.accept()
                        accepted.setblocking(False)
                        selector.register(accepted, selectors.EVENT_READ, accepted)
                    elif not sock.recv(1 << 17) and stream:
                        selector.unregister(sock)
                        sock.close()


def receive(interface: str, asked: argparse.Namespace, undo: contextlib.ExitStack) -> int:
    """Receives one run of the sender, and judges it."""
    own = address_of(interface, PARAMETERS["outer"])
    inner = INNER[PARAMETERS["inner"]][0]
    looked_at = PARAMETERS["receives"]
    if looked_at:
        print(run("ethtool", "-i", interface).rstrip())
    wanted = PARAMETERS["features"] if looked_at else dict.fromkeys(MERGING, False)
    set_features(interface, {**wanted, **dict.fromkeys(asked.off, False)}, undo)
    make_device(interface, own, None, 0, undo)
    stream = PARAMETERS["l4"] == "tcp" and not looked_at
    kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
    data = undo.enter_context(listener(inner, DATA, kind))
    data.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    control = undo.enter_context(listener(own, CONTROL, socket.SOCK_STREAM))
    over = threading.Event()
    undo.callback(over.set)
    if not looked_at:
        threading.Thread(target=drain, args=(data, over), daemon=True).start()
    control.setblocking(True)
    print(f"waiting: python3 reproduce.py send INTERFACE {own}", flush=True)
    peer, _ = control.accept()
    with peer, peer.makefile("rw", encoding="utf-8") as lines:
        capture = None if looked_at else Capture(interface, own)
        lines.write(f"ready {mac_of(DEVICE)} {mac_of(interface)}\n")
        lines.flush()
        sent = json.loads(lines.readline() or "{}")
        time.sleep(1)  # what is on its way
        if capture is None:
            code, text = delivered(data, sent)
        else:
            capture.close()
            code, text = verdict(capture, sent)
        print(text)
        lines.write(json.dumps({"code": code, "text": text}) + "\n")
        lines.flush()
    return code


def verdict(capture: Capture, sent: dict[str, int]) -> tuple[int, str]:
    """Returns the exit code, and what was found."""
    share = 100 * capture.bad / capture.frames if capture.frames else 0.0
    counts = f"{capture.bad} of {capture.frames} frames are wrong ({share:.3g} %)"
    if capture.merged:
        counts += f"; {capture.merged} were merged or unfinished, and are not judged"
    if not sent:
        return NOT_JUDGED, f"NOT JUDGED: the sender went away; {counts}"
    if PARAMETERS["loss"] and not capture.bad:
        return lost(capture, sent)
    if capture.bad:
        shown = "".join(f"\n  {text}" for text in capture.first)
        return FAULT, f"FAULT: {counts}; the first:{shown}"
    if capture.frames < sent["frames"] // 2:
        return NOT_JUDGED, f"NOT JUDGED: too few of {sent['frames']} frames arrived; {counts}"
    return GOOD, f"GOOD: {counts}"


def delivered(data: socket.socket, sent: dict[str, int]) -> tuple[int, str]:
    """Returns the exit code, and which datagrams were delivered that must not be, or were not."""
    seen: dict[str, set[bytes]] = {kind: set() for kind in KINDS}
    with contextlib.suppress(BlockingIOError):
        while True:
            payload = data.recv(1 << 16)
            kind = payload[4:20].rstrip(b" ").decode("ascii", "replace")
            if payload[:4] == MAGIC and kind in seen:
                seen[kind].add(payload[20:24])
    counts, faults = [], []
    for kind, (right, what) in KINDS.items():
        got, of = len(seen[kind]), sent.get(kind, 0)
        counts.append(f"\n  {got} of {of} delivered: {what}")
        if got and not right:
            faults.append(f"{got} of {of} were delivered: {what}")
        if right and of - got > of // 50:  # a path may lose a few
            faults.append(f"{of - got} of {of} were not delivered: {what}")
    if not sent or not any(seen[kind] for kind, (right, _) in KINDS.items() if right):
        return NOT_JUDGED, "NOT JUDGED: none of the right datagrams was delivered" + "".join(counts)
    if faults:
        return FAULT, f"FAULT: {'; '.join(faults)}" + "".join(counts)
    return GOOD, "GOOD: all is as it should be" + "".join(counts)


def lost(capture: Capture, sent: dict[str, int]) -> tuple[int, str]:
    """Returns the exit code, and how many frames were lost."""
    gone = sent["again"] if PARAMETERS["l4"] == "tcp" else max(0, sent["sent"] - capture.frames)
    share = gone / sent["sent"] if sent["sent"] else 0.0
    how = "had to be sent again" if PARAMETERS["l4"] == "tcp" else "never arrived"
    counts = f"{gone} of {sent['sent']} frames {how} ({100 * share:.3g} %)"
    if capture.merged or capture.dropped:
        why = f"the receiver merged {capture.merged} frames and its capture lost {capture.dropped}"
        return NOT_JUDGED, f"NOT JUDGED: {why}; {counts}"
    if not sent["sent"]:
        return NOT_JUDGED, "NOT JUDGED: nothing was sent"
    # Of what a path loses by itself a fraction is allowed: the run found the fault above that.
    if share > PARAMETERS["loss"] / 4:
        return FAULT, f"FAULT: {counts}"
    return GOOD, f"GOOD: {counts}"


def send(
    interface: str, address: str, asked: argparse.Namespace, undo: contextlib.ExitStack
) -> int:
    """Sends the traffic, and prints what the receiver found."""
    remote = str(ipaddress.ip_address(address))
    if ipaddress.ip_address(remote).version != PARAMETERS["outer"]:
        raise CannotJudgeError(
            f"the fault needs an IPv{PARAMETERS['outer']} address of the receiver"
        )
    if PARAMETERS["receives"] and asked.off:
        raise CannotJudgeError("the receiver's NIC is looked at: give --off there")
    own = address_of(interface, PARAMETERS["outer"])
    if not PARAMETERS["receives"]:
        print(run("ethtool", "-i", interface).rstrip())
        wanted = {**PARAMETERS["features"], **dict.fromkeys(asked.off, False)}
        set_features(interface, wanted, undo)
        make_device(interface, own, remote, 1, undo)
    inner = INNER[PARAMETERS["inner"]][0]
    try:
        control = undo.enter_context(socket.create_connection((remote, CONTROL), 10))
    except OSError as error:
        raise CannotJudgeError(f"no receiver at {remote}, TCP port {CONTROL}: {error}") from None
    control.settimeout(60)
    with control.makefile("rw", encoding="utf-8") as lines:
        ready, *macs = lines.readline().split() or [""]
        if ready != "ready":
            raise CannotJudgeError("the receiver went away")
        if PARAMETERS["receives"]:
            make = Maker(interface, own, remote, macs)
            count = send_finished(interface, make, asked.frames, asked.pace)
        else:
            flow = send_tcp if PARAMETERS["l4"] == "tcp" else send_udp
            sent, again = flow(inner, asked.frames, asked.pace)
            count = {"frames": asked.frames, "sent": sent, "again": again}
        lines.write(json.dumps(count) + "\n")
        lines.flush()
        answer = json.loads(lines.readline() or "{}")
    print(answer.get("text", "NOT JUDGED: the receiver went away"))
    code: int = answer.get("code", NOT_JUDGED)
    return code


def payload_of() -> int:
    """Returns the largest payload of a frame, bytes."""
    mtu: int = json.loads(run("ip", "-json", "link", "show", "dev", DEVICE))[0]["mtu"]
    header = 8 if PARAMETERS["l4"] == "udp" else 32
    return mtu - (20 if PARAMETERS["inner"] == 4 else 40) - header


def await_neighbour(address: str) -> int:
    """Sends datagrams until the receiver's MAC address is known; returns how many.

    The kernel drops datagrams that have to wait for it when there are many.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        for count in range(1, 101):
            with contextlib.suppress(ConnectionRefusedError):
                sock.sendto(b"x", (address, DATA))
            time.sleep(0.05)
            if "lladdr" in run("ip", "neigh", "show", "to", address, "dev", DEVICE):
                return count
    raise CannotJudgeError(f"{address} does not answer through the tunnel")


def send_udp(address: str, frames: int, pace: int) -> tuple[int, int]:
    """Sends datagrams of many sizes, segmented by UDP_SEGMENT if the fault needs it.

    Returns the number of frames that they make, and 0: nothing is sent again.
    """
    sent = await_neighbour(address) if PARAMETERS["loss"] else 0
    full, began = payload_of(), time.monotonic()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sizes = [full, 1, 2, 3, 17, 18, 19, 64, 511, full - 1]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(8)]
        for sock in sockets:
            sock.connect((address, DATA))
            if PARAMETERS["segmented"]:
                sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, full)
        number = 0
        while sent < frames:
            count, size = 1, sizes[number % len(sizes)]
            if PARAMETERS["segmented"]:
                count = 2 + number % 30
                size = full * count - (0, 1, full // 2)[number % 3]
            with contextlib.suppress(ConnectionRefusedError):
                sockets[number % 8].send(os.urandom(size))
                sent += count
            number += 1
            time.sleep(max(0.0, began + sent / pace - time.monotonic()))
    return sent, 0


def send_tcp(address: str, frames: int, pace: int) -> tuple[int, int]:
    """Sends eight streams; those that a fault keeps from proceeding end after some seconds.

    Returns the number of data segments, and how many of them were sent again.
    """
    full, streams = payload_of(), 8
    share, ends = full * frames // streams, time.monotonic() + 20 + 3 * frames / pace
    written, counts = [0] * streams, [(0, 0)] * streams
    chunk = os.urandom(1 << 16)

    def stream(number: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, full * pace // streams)
            sock.settimeout(5)
            sock.connect((address, DATA))
            try:
                while written[number] < share and time.monotonic() < ends:
                    written[number] += sock.send(chunk[: share - written[number]])
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(max(1.0, ends - time.monotonic()))
                sock.recv(1)
            finally:
                # data_segs_out and total_retrans of struct tcp_info, include/uapi/linux/tcp.h
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
                both = [struct.unpack_from("=I", info, at)[0] for at in (SEGMENTS, SENT_AGAIN)]
                counts[number] = both[0], both[1]

    threads = [threading.Thread(target=stream, args=(n,), daemon=True) for n in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(sent for sent, _ in counts), sum(again for _, again in counts)


MAGIC = b"vxrp"
KINDS = {
    "right": (True, "right checksums"),
    "zero-outer": (True, "no outer checksum, a right one inside"),
    "padded": (True, "right checksums, and zeros behind the packet inside"),
    "outer": (False, "a wrong outer checksum"),
    "inner": (False, "a wrong checksum inside, the outer one right over it"),
    "both": (False, "wrong checksums, outside and inside"),
}
"""Datagrams for the receiver: whether they are to be delivered, and what is about them."""


def mac_of(interface: str) -> str:
    """Returns the MAC address of an interface."""
    mac: str = json.loads(run("ip", "-json", "link", "show", "dev", interface))[0]["address"]
    return mac


class Maker:
    """Makes finished frames for a receiver's tunnel."""

    def __init__(self, interface: str, own: str, remote: str, macs: list[str]) -> None:
        inside, outside = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
        kinds = {4: b"\x08\x00", 6: b"\x86\xdd"}
        source = bytes.fromhex(mac_of(interface).replace(":", ""))
        self._outer = outside + source + kinds[PARAMETERS["outer"]]
        self._inner = inside + b"\x02\0\0\0\0\x01" + kinds[PARAMETERS["inner"]]
        self._outer_ends = [ipaddress.ip_address(one).packed for one in (own, remote)]
        receiver, sender = INNER[PARAMETERS["inner"]]
        self._inner_ends = [ipaddress.ip_address(one).packed for one in (sender, receiver)]

    def frame(self, kind: str, number: int) -> bytes:
        """Returns a frame of a kind."""
        size = 0 if kind == "padded" else number * 37 % 1200
        head = MAGIC + kind.ljust(16).encode() + struct.pack("!I", number)
        inner = self._inner + packet(
            self._inner_ends, 40_000, DATA, head + os.urandom(size), kind in ("inner", "both")
        )
        inner += bytes(6) if kind == "padded" else b""
        vxlan = struct.pack("!II", 0x08000000, PARAMETERS["vni"] << 8)
        spoilt = None if kind == "zero-outer" else kind in ("outer", "both")
        port, source = PARAMETERS["port"], 49_152 + number % 64
        return self._outer + packet(self._outer_ends, source, port, vxlan + inner, spoilt)


def packet(
    ends: list[bytes], source: int, destination: int, payload: bytes, spoilt: bool | None
) -> bytes:
    """Returns an IP packet with a datagram; its checksum is spoilt, right, or (None) not there."""
    size = 8 + len(payload)
    header = struct.pack("!HHHH", source, destination, size, 0)
    total = ones(ends[0] + ends[1]) + 17 + size + ones(header) + ones(payload)
    found = 65535 - total % 65535
    found = 0 if spoilt is None else found ^ 0x1234 or 0x4321 if spoilt else found
    datagram = header[:6] + struct.pack("!H", found) + payload
    if len(ends[0]) == 16:
        return struct.pack("!IHBB", 6 << 28, size, 17, 64) + ends[0] + ends[1] + datagram
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, 64, 17, 0) + ends[0] + ends[1]
    return ip[:10] + struct.pack("!H", (65535 - ones(ip)) % 65535) + ip[12:] + datagram


def send_finished(interface: str, make: Maker, frames: int, pace: int) -> dict[str, int]:
    """Sends frames of every kind in turn; returns how many of each."""
    sent, began = dict.fromkeys(KINDS, 0), time.monotonic()
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
        raw.bind((interface, 0))
        for number in range(max(frames, len(KINDS))):
            kind = list(KINDS)[number % len(KINDS)]
            raw.send(make.frame(kind, number))
            sent[kind] += 1
            time.sleep(max(0.0, began + number / pace - time.monotonic()))
    return sent


def positive(text: str) -> int:
    """Returns a number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    receiver = commands.add_parser("receive", help="on the host that receives")
    receiver.add_argument("interface")
    receiver.add_argument("--off", action="append", default=[], metavar="FEATURE")
    sender = commands.add_parser("send", help="on the host that sends")
    sender.add_argument("interface")
    sender.add_argument("address", help="the receiver's address on its interface")
    sender.add_argument("--frames", type=positive, default=PARAMETERS["frames"])
    sender.add_argument("--pace", type=positive, default=20_000, help="frames per second")
    sender.add_argument(
        "--off",
        action="append",
        default=[],
        metavar="FEATURE",
        help="a feature to turn off as well",
    )
    asked = parser.parse_args()
    if os.geteuid():
        parser.error("it needs root, to capture and to set features")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(NOT_JUDGED))
    try:
        with contextlib.ExitStack() as undo:
            if asked.command == "receive":
                return receive(asked.interface, asked, undo)
            return send(asked.interface, asked.address, asked, undo)
    except CannotJudgeError as problem:
        print(f"NOT JUDGED: {problem}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; what was changed is put back", file=sys.stderr)
    return NOT_JUDGED


if __name__ == "__main__":
    sys.exit(main())
