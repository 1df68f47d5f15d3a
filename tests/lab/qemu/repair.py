"""A relay on the wire that mends what QEMU's igb model leaves undone inside of a tunnel.

The model takes the outermost headers for the only ones. So it leaves the seed in the inner
checksum, and sends a super-packet as IP fragments. The relay finishes both as an igb would by
partial GSO: headers carry the lengths of one segment, ids count up, sums are made anew. It
understands no more than the test sends: an outer IPv4 packet without options, with an outer
checksum.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

ETHERNET, IPV4, IPV6, UDP, VXLAN = 14, 20, 40, 8, 8
INNER = ETHERNET + IPV4 + UDP + VXLAN
_FIELD = {6: 16, 17: 6}


def folded(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def words(data: bytes) -> int:
    return folded(sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))))


def pseudo(packet: bytes, l4: int) -> int:
    """Returns the sum of a packet's pseudo-header: what the kernel leaves for the NIC to finish."""
    addresses, protocol = (
        (packet[12:20], packet[9]) if packet[0] >> 4 == 4 else (packet[8:40], packet[6])
    )
    return folded(words(addresses) + protocol + len(packet) - l4)


def finish(packet: bytes, l4: int) -> bytes:
    """Returns a packet of UDP or TCP with its checksum."""
    protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
    at = l4 + _FIELD[protocol]
    cleared = packet[:at] + b"\0\0" + packet[at + 2 :]
    value = 0xFFFF ^ folded(words(cleared[l4:]) + pseudo(packet, l4))
    return cleared[:at] + (value or 0xFFFF).to_bytes(2, "big") + cleared[at + 2 :]


def header(packet: bytes, length: int, more: int) -> bytes:
    """Returns an IP header with another length of the packet, and an id that much greater."""
    if packet[0] >> 4 == 6:
        return packet[:4] + (length - IPV6).to_bytes(2, "big") + packet[6:IPV6]
    identification = (int.from_bytes(packet[4:6], "big") + more) & 0xFFFF
    flags = packet[6] & 0x40  # DF stays
    made = packet[:2] + struct.pack(">HHBB", length, identification, flags, 0) + packet[8:10]
    made += b"\0\0" + packet[12:IPV4]
    return made[:10] + (0xFFFF ^ words(made)).to_bytes(2, "big") + made[12:]


def wrapped(outer: bytes, inner: bytes, more: int) -> bytes:
    """Returns the frame of an inner packet, with the outer headers of its super-packet."""
    length = INNER - ETHERNET + ETHERNET + len(inner)
    ip = header(outer[ETHERNET : ETHERNET + IPV4], length, more)
    udp = outer[ETHERNET + IPV4 : ETHERNET + IPV4 + 4]
    udp += (length - IPV4).to_bytes(2, "big") + b"\0\0"
    packet = ip + udp + outer[ETHERNET + IPV4 + UDP : INNER + ETHERNET] + inner
    return outer[:ETHERNET] + finish(packet, IPV4)


def segments(frame: bytes) -> list[bytes]:
    """Cuts the frame of a super-packet that the kernel prepared for partial GSO."""
    outer, inner = frame[: INNER + ETHERNET], frame[INNER + ETHERNET :]
    l4 = IPV4 if inner[0] >> 4 == 4 else IPV6
    protocol = inner[9] if l4 == IPV4 else inner[6]
    start = l4 + ((inner[l4 + 12] >> 4) * 4 if protocol == 6 else UDP)
    length = struct.unpack_from(">H", inner, 2)[0] if l4 == IPV4 else IPV6 + struct.unpack_from(
        ">H", inner, 4)[0]  # fmt: skip
    size, payload = length - start, inner[start:]
    made = []
    for number, at in enumerate(range(0, len(payload), size)):
        part = payload[at : at + size]
        head = inner[l4:start]
        if protocol == 17:
            head = head[:4] + (UDP + len(part)).to_bytes(2, "big") + head[6:]
        else:
            sequence = (int.from_bytes(head[4:8], "big") + at) & 0xFFFFFFFF
            last = at + size >= len(payload)
            flags = head[13] & (0xFF if last else ~0x09) & (0xFF if number == 0 else ~0x80)
            head = head[:4] + sequence.to_bytes(4, "big") + head[8:13] + bytes([flags]) + head[14:]
        packet = header(inner, start + len(part), number) + head + part
        made.append(wrapped(outer, finish(packet, l4), number))
    return made


class Relay:
    """Takes frames from a guest, mends them, and hands them on; the others pass as they are.

    Args:
        guest: The end of a cable that leads to the guest.
        wire: The end of one that leads to its peer.
        drop: Of how many segments of super-packets one is dropped; 0 for none.
    """

    def __init__(self, guest: socket.socket, wire: socket.socket, drop: int = 0) -> None:
        self._drop = drop
        self._pieces: list[bytes] = []
        self.cut = self.mended = self.dropped = 0
        for way in ((guest, wire, self._mended), (wire, guest, lambda frame: [frame])):
            threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(
        self,
        source: socket.socket,
        target: socket.socket,
        made_of: Callable[[bytes], list[bytes]],
    ) -> None:
        while True:
            for made in made_of(source.recv(1 << 17)):
                with contextlib.suppress(OSError):  # the guest is not there yet, or no longer
                    target.send(made)

    def _mended(self, frame: bytes) -> list[bytes]:
        if frame[12:14] != b"\x08\x00" or frame[ETHERNET] != 0x45 or frame[ETHERNET + 9] != 17:
            return [frame]
        offset = int.from_bytes(frame[ETHERNET + 6 : ETHERNET + 8], "big")
        if offset & 0x3FFF:
            return self._fragment(frame, offset)
        if frame[36:38] != b"\x12\xb5" or len(frame) < INNER + ETHERNET + IPV4 + UDP:
            return [frame]
        length = int.from_bytes(frame[ETHERNET + 2 : ETHERNET + 4], "big")
        outer, inner = frame[: INNER + ETHERNET], frame[INNER + ETHERNET : ETHERNET + length]
        kind = outer[-2:]
        l4 = IPV4 if kind == b"\x08\x00" else IPV6
        protocol = inner[9] if l4 == IPV4 else inner[6]
        if kind not in (b"\x08\x00", b"\x86\xdd") or protocol not in _FIELD:
            return [frame]
        at = l4 + _FIELD[protocol]
        if int.from_bytes(inner[at : at + 2], "big") != pseudo(inner, l4):
            return [frame]  # the kernel finished it, or a control made it wrong on purpose
        self.mended += 1
        return [wrapped(outer, finish(inner, l4), 0)]

    def _fragment(self, frame: bytes, offset: int) -> list[bytes]:
        length = int.from_bytes(frame[ETHERNET + 2 : ETHERNET + 4], "big")
        if not offset & 0x1FFF:
            self._pieces = [frame[: ETHERNET + IPV4]]
        self._pieces.append(frame[ETHERNET + IPV4 : ETHERNET + length])
        if offset & 0x2000:
            return []
        made = segments(b"".join(self._pieces))
        kept = []
        for each in made:
            self.cut += 1
            if self._drop and self.cut % self._drop == 0:
                self.dropped += 1
            else:
                kept.append(each)
        return kept
