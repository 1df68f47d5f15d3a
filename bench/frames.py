"""The input frames: VXLAN as on a busy node, with right checksums.

They are not made by the code that is measured. Sixteen nodes send to each other, over IPv4 and in a
mix over IPv6, too. Thousands of inner flows, half TCP and half UDP, have as many outer source
ports, spread as by the kernel. The frames avoid ports that tcpdump and tshark take for a protocol
they know: 49152, where tcpdump would not parse the tunnel, and inner ports where either would parse
payloads. Payloads are random bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from random import Random

from qualification.wire.checksum import checksum, ones_sum, pseudo_sum, udp_checksum

VXLAN_PORT = 4789
SENDER = "02:00:00:00:00:01"
"""Source MAC address of every frame."""

_TCP, _UDP = 6, 17
_LINK = bytes.fromhex("020000000002" + SENDER.replace(":", ""))
_INSIDE = bytes.fromhex("0a580af40202" + "0a580af40101")
_ETHERTYPE = {4: b"\x08\x00", 6: b"\x86\xdd"}
_NODES, _FLOWS = 16, 4096
_OUTER_PORTS = range(50_000, 60_000)
_INNER_PORTS = range(33_000, 40_000)
_SNAP, _ETHERNET = 262_144, 1
_DISTINCT = 50_000
"""Number of different frames before they repeat, which is more than a CPU core's caches hold."""


@dataclass(frozen=True)
class Sort:
    """The properties of a set of frames.

    Attributes:
        name: A name for people.
        shortest: Bytes of the shortest inner IP packet.
        longest: Bytes of the longest one; all lengths between are equally likely.
        families: IP versions, of outer and inner packets alike.
        vnis: VXLAN network identifiers.
        ports: Inner destination ports.
    """

    name: str
    shortest: int
    longest: int
    families: tuple[int, ...] = (4,)
    vnis: tuple[int, ...] = (100, 101, 102, 103)
    ports: tuple[int, ...] = tuple(range(30_100, 30_132))


SMALL = Sort("64 B", 64, 64)
LARGE = Sort("1400 B", 1400, 1400)
MIX = Sort("mix of 64 to 1400 B", 64, 1400, families=(4, 6))


def frames(sort: Sort, count: int) -> Iterator[bytes]:
    """Yields frames, the same ones in every call.

    Args:
        sort: Their properties.
        count: Their number.
    """
    dice = Random(f"{sort.name}/{sort.shortest}")
    noise = dice.randbytes(1 << 16)
    for number in range(count):
        flow = dice.randrange(_FLOWS)
        family = sort.families[flow % len(sort.families)]
        size = dice.randint(sort.shortest, sort.longest)
        start = dice.randrange(len(noise) - size)
        inner = _inner(sort, flow, family, number, noise[start : start + size])
        yield _outer(sort, flow, number, inner)


def write_capture(path: Path, sort: Sort, count: int, distinct: int = _DISTINCT) -> None:
    """Writes a pcap file.

    Args:
        path: The file.
        sort: The properties of its frames.
        count: The number of frames.
        distinct: The number of different frames, after which they repeat from the first on.
    """
    write_frames(path, frames(sort, min(count, distinct)), count)


def write_frames(path: Path, some: Iterable[bytes], count: int) -> None:
    """Writes a pcap file of `count` frames: some, and these again until there are as many."""
    records = [
        struct.pack("<IIII", 1_700_000_000, number, len(frame), len(frame)) + frame
        for number, frame in enumerate(some)
    ]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, _SNAP, _ETHERNET))
        whole, rest = divmod(count, len(records))
        block = b"".join(records)
        for piece in chain(repeat(block, whole), records[:rest]):
            file.write(piece)
    part.rename(path)


def _inner(sort: Sort, flow: int, family: int, number: int, noise: bytes) -> bytes:
    """Returns an IP packet as long as the noise, with a payload from it."""
    protocol = _UDP if flow >> 3 & 1 else _TCP
    if family == 4:
        source, destination = bytes((10, 244, 1, flow % 250)), bytes((10, 244, 2, flow % 239))
    else:
        source, destination = (bytes.fromhex(f"fd000244{side:020x}{flow:04x}") for side in (1, 2))
    ports = (
        _INNER_PORTS[flow * 31 % len(_INNER_PORTS)],
        sort.ports[flow * 7 % len(sort.ports)],
    )
    size = len(noise) - (20 if family == 4 else 40)
    if protocol == _UDP:
        l4 = struct.pack("!HHHH", *ports, size, 0) + noise[: size - 8]
    else:
        sequence, acknowledged = number * 1448 & 0xFFFFFFFF, flow + 1
        head = struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 0x50, 0x18, 501, 0, 0)
        l4 = head + noise[: size - 20]
    l4 = summed(protocol, l4, source, destination)
    return ip_packet(family, source, destination, protocol, number, l4)


def _outer(sort: Sort, flow: int, number: int, inner: bytes) -> bytes:
    """Returns the frame that carries an inner packet."""
    family = sort.families[flow // 64 % len(sort.families)]
    sender, receiver = flow % _NODES, flow // _NODES % _NODES
    if family == 4:
        source, destination = bytes((198, 18, 0, sender)), bytes((198, 18, 1, receiver))
    else:
        source, destination = (
            bytes.fromhex(f"fd000018{node:024x}") for node in (sender + 1, 256 + receiver)
        )
    inside = _INSIDE + _ETHERTYPE[inner[0] >> 4] + inner
    port = _OUTER_PORTS[flow * 2654435761 % len(_OUTER_PORTS)]
    vni = sort.vnis[flow % len(sort.vnis)]
    head = struct.pack("!HHHHII", port, VXLAN_PORT, 16 + len(inside), 0, 0x08000000, vni << 8)
    l4 = summed(_UDP, head + inside, source, destination)
    return _LINK + _ETHERTYPE[family] + ip_packet(family, source, destination, _UDP, number, l4)


def summed(protocol: int, l4: bytes, source: bytes, destination: bytes) -> bytes:
    """Returns an L4 packet, whose checksum field is 0, with its checksum."""
    total = ones_sum(l4) + pseudo_sum(source, destination, protocol, len(l4))
    at, field = (6, udp_checksum(total)) if protocol == _UDP else (16, checksum(total))
    return l4[:at] + field.to_bytes(2, "big") + l4[at + 2 :]


def ip_packet(
    family: int, source: bytes, destination: bytes, protocol: int, number: int, l4: bytes
) -> bytes:
    """Returns an IP packet without options; the arguments are those of its header."""
    if family == 6:
        head = struct.pack("!IHBB", 0x60000000 | number & 0xFFFFF, len(l4), protocol, 64)
        return head + source + destination + l4
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(l4), number & 0xFFFF, 0x4000, 64, protocol)
    total = ones_sum(head + source + destination)
    return head + checksum(total).to_bytes(2, "big") + source + destination + l4
