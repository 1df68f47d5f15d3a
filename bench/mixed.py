"""A mixed capture, as people have them: little of it is VXLAN, and hardly two frames are alike.

Half of the frames are plain TCP and UDP of all lengths, padded where they are short; the rest is in
VLANs and tunnels, or ICMP and ARP. One in a thousand is a fragment. Addresses are those of a few
hundred hosts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random

from qualification.wire.checksum import checksum, ones_sum

from .frames import VXLAN_PORT, ip_packet, summed, write_frames

NAME = "mixed"
_LINK = bytes.fromhex("020000000002020000000001")
_TYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
_TCP, _UDP, _GRE = 6, 17, 47
_GENEVE_PORT, _GTP_PORT = 6081, 2152
_PORTS = (30_100, 30_131)
_DISTINCT = 50_000
_SORTS = (
    ("plain", 50),
    ("padded", 12),
    ("vxlan", 10),
    ("geneve", 6),
    ("gre", 5),
    ("gtp", 3),
    ("vlan", 5),
    ("in-ip", 2),
    ("icmp", 4),
    ("arp", 3),
)


def write_mixed(path: Path, count: int, wrong: float = 0.0) -> None:
    """Writes a mixed pcap file of `count` frames, of which a share has a wrong inner checksum."""
    write_frames(path, _frames(min(count, _DISTINCT), wrong), count)


def _frames(count: int, wrong: float) -> Iterator[bytes]:
    dice = Random(NAME)
    sorts, weights = zip(*_SORTS, strict=True)
    for number in range(count):
        if number % 2000 == 17:
            yield from _fragments(dice, number)
            continue
        sort = dice.choices(sorts, weights)[0]
        yield _frame(dice, sort, number, dice.random() < wrong)


def _frame(dice: Random, sort: str, number: int, wrong: bool) -> bytes:
    family = 4 if dice.random() < 0.7 else 6
    size = int(1400 * dice.random() ** 3)  # most are short, and some fill the link
    if sort == "arp":
        return _LINK + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + bytes(38)
    if sort == "padded":
        short = _packet(dice, 4, number, 0, wrong=wrong)
        return (_LINK + _TYPES[4] + short).ljust(60, b"\0")
    if sort == "icmp":
        data = struct.pack(">HHHH", 0x0800, 0, 7, number & 0xFFFF) + dice.randbytes(56)
        data = data[:2] + checksum(ones_sum(data)).to_bytes(2, "big") + data[4:]
        return _LINK + _TYPES[4] + ip_packet(4, *_hosts(dice, 4), 1, number, data)
    packet = _packet(dice, family, number, size, wrong=wrong)
    if sort == "vlan":
        return (
            _LINK + b"\x81\0" + struct.pack(">H", dice.randrange(1, 4095)) + _TYPES[family] + packet
        )
    if sort == "plain":
        return _LINK + _TYPES[family] + packet
    return _LINK + _TYPES[4] + _tunnel(dice, sort, number, family, packet)


def _tunnel(dice: Random, sort: str, number: int, family: int, packet: bytes) -> bytes:
    ends = _hosts(dice, 4)
    ethernet = _LINK + _TYPES[family] + packet
    vni = struct.pack(">I", dice.randrange(8) << 8)
    if sort == "in-ip":
        return ip_packet(4, *ends, 4 if family == 4 else 41, number, packet)
    if sort == "gre":
        return ip_packet(4, *ends, _GRE, number, b"\0\0" + _TYPES[family] + packet)
    port, body = {
        "vxlan": (VXLAN_PORT, b"\x08\0\0\0" + vni + ethernet),
        "geneve": (_GENEVE_PORT, b"\0\0\x65\x58" + vni + ethernet),
        "gtp": (_GTP_PORT, struct.pack(">BBHI", 0x30, 255, len(packet), 5) + packet),
    }[sort]
    udp = struct.pack(">HHHH", dice.randrange(50_000, 60_000), port, 8 + len(body), 0) + body
    if dice.random() < 0.5:
        udp = summed(_UDP, udp, *ends)
    return ip_packet(4, *ends, _UDP, number, udp)


def _packet(dice: Random, family: int, number: int, size: int, *, wrong: bool) -> bytes:
    ends, protocol = _hosts(dice, family), _TCP if dice.random() < 0.7 else _UDP
    ports = dice.randrange(33_000, 40_000), dice.randrange(*_PORTS)
    body = dice.randbytes(size)
    if protocol == _TCP:
        l4 = struct.pack(">HHIIBBHHH", *ports, number, 1, 0x50, 0x10, 501, 0, 0) + body
    else:
        l4 = struct.pack(">HHHH", *ports, 8 + size, 0) + body
    l4 = summed(protocol, l4, *ends)
    if wrong:
        at = 16 if protocol == _TCP else 6
        l4 = l4[:at] + bytes([l4[at] ^ 0x11]) + l4[at + 1 :]
    return ip_packet(family, *ends, protocol, number, l4)


def _hosts(dice: Random, family: int) -> tuple[bytes, bytes]:
    one, other = dice.randrange(20), dice.randrange(20)
    if family == 4:
        return bytes((198, 18, 0, one)), bytes((198, 18, 1, other))
    return bytes.fromhex(f"fd000018{one:024x}"), bytes.fromhex(f"fd000018{256 + other:024x}")


def _fragments(dice: Random, number: int) -> Iterator[bytes]:
    """Yields the two fragments of a datagram."""
    ends = _hosts(dice, 4)
    udp = summed(_UDP, struct.pack(">HHHH", 33_000, 30_100, 1808, 0) + dice.randbytes(1800), *ends)
    for start, end, field in ((0, 1480, 0x2000), (1480, 1808, 1480 // 8)):
        packet = bytearray(ip_packet(4, *ends, _UDP, number, udp[start:end]))
        packet[6:8], packet[10:12] = field.to_bytes(2, "big"), b"\0\0"
        packet[10:12] = checksum(ones_sum(bytes(packet[:20]))).to_bytes(2, "big")
        yield _LINK + _TYPES[4] + bytes(packet)
