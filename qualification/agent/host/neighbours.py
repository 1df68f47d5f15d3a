"""Checks who answers on a link: for an address that should be free, and for the other end's."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Callable, Generator, Sequence

from pyroute2 import IPRoute

from qualification.agent.waiting import await_condition
from qualification.messages.protocol import AgentProblem

_ETH_P_ARP = 0x0806
# include/uapi/linux/neighbour.h; entries in NUD_STALE and NUD_DELAY are known, not confirmed.
_NUD_CONFIRMED = 0x02 | 0x40 | 0x80  # reachable, noarp, permanent
_NUD_KNOWN = 0x02 | 0x04 | 0x08
_NUD_ASKING = 0x01 | 0x10  # incomplete, probe

REACH_SECONDS = 35.0
"""How long the other end may take to answer: a switch port with spanning tree forwards nothing for
30 s after its link came up."""


def arp_probe(interface: str, target: bytes) -> str | None:
    """Returns the MAC address that answers ARP probes for an IPv4 address within 0.4 s, or None."""
    with contextlib.closing(_heard(interface, [target])) as heard:
        for mac, answer in heard:
            sender_mac, sender = answer[22:28], answer[28:32]
            if sender == target and sender_mac != mac:
                return sender_mac.hex(":")
    return None


def answering(interface: str, targets: Sequence[bytes]) -> list[str]:
    """Returns the MAC addresses that answer ARP probes for any of some IPv4 addresses within 0.4 s.

    A host answers on every interface for each of its addresses, unless arp_ignore says otherwise
    (Documentation/networking/ip-sysctl.rst), and learns nothing from a probe (RFC 5227, section
    1.1; net/ipv4/arp.c, arp_process). So a MAC address tells which of its NICs the probe reached.

    Args:
        interface: The interface, which has a link.
        targets: The addresses, of 4 bytes each.
    """
    found: dict[str, None] = {}
    for mac, answer in _heard(interface, targets):
        is_reply = answer[20:22] == b"\0\2"
        if is_reply and answer[:6] == mac and answer[28:32] in targets:
            found.setdefault(answer[22:28].hex(":"))
    return list(found)


def _heard(interface: str, targets: Sequence[bytes]) -> Generator[tuple[bytes, bytes], None, None]:
    """Yields our MAC address and each ARP frame heard in 0.4 s, while it probes for addresses."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as probe:
        probe.bind((interface, _ETH_P_ARP))
        mac = probe.getsockname()[4]
        for _ in range(2):
            for target in targets:
                probe.send(_arp_request(mac, target))
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                probe.settimeout(max(0.001, end - time.monotonic()))
                try:
                    answer = probe.recv(128)
                except socket.timeout:  # noqa: UP041  (until Python 3.10 they were two)
                    break
                yield mac, answer


def _arp_request(mac: bytes, target: bytes) -> bytes:
    """Returns the frame of an ARP probe: a request whose sender has no IP address yet."""
    request = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, bytes(4), bytes(6), target)
    return b"\xff" * 6 + mac + struct.pack("!H", _ETH_P_ARP) + request


def reach(
    interface: str, address: str, stop: Callable[[], bool], seconds: float = REACH_SECONDS
) -> None:
    """Waits until the other end answers for its underlay address.

    A neighbour that is already known is probed again: an entry from before a link reset proves
    nothing, and a burst into a switch port that does not forward yet would look like loss.

    Args:
        interface: The NIC.
        address: Underlay address of the other end.
        stop: Returns whether to give up.
        seconds: The longest time to wait.

    Raises:
        AgentProblem: No host answers.
    """
    index = socket.if_nametoindex(interface)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with IPRoute() as route, socket.socket(family, socket.SOCK_DGRAM) as sock:

        def state() -> int:
            known = route.get_neighbours(family=family, ifindex=index)
            return next((int(n["state"]) for n in known if n.get("dst") == address), 0)

        if state() & _NUD_KNOWN:
            route.neigh("change", dst=address, ifindex=index, family=family, state="probe")

        def answers() -> bool:
            now = state()
            if not now & (_NUD_CONFIRMED | _NUD_ASKING):
                with contextlib.suppress(OSError):  # an ICMP error for an earlier datagram
                    sock.sendto(b"", (address, 9))  # discard, RFC 863
            return bool(now & _NUD_CONFIRMED)

        if not await_condition(answers, seconds, stop):
            raise AgentProblem(
                "peer-unreachable",
                f"no host answers for {address} on {interface}",
                hint="check the cable, the VLAN and that the peer's NIC is the one named",
            )
