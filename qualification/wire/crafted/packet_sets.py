"""Crafted packet sets: sets of crafted packets, each for a kind of fault that a stream of ordinary traffic would miss.

A crafted packet set is deterministic: whoever knows its order makes the same crafted packets, the sender to fire them
and the peer to hold what arrives against them, byte for byte. They are the same in all cells of a
run but for their ports, so that features are all in which two cells differ. FAULTS are named as
reports do.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from qualification.wire.checksum import ones_sum

from .maker import Maker
from .outer_checksum import outer_target
from .packet import ACK, CWR, FIN, PSH, CraftedPacket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Traffic = tuple[Literal["tcp", "udp"], bool]

TCP_CUT: Traffic = ("tcp", True)
TCP_WHOLE: Traffic = ("tcp", False)
UDP_WHOLE: Traffic = ("udp", False)
UDP_CUT: Traffic = ("udp", True)
"""Kinds of traffic: protocol, and whether there are super-packets among the crafted packets."""

ENOUGH = 400
"""Frames of a crafted packet set at least: segments, where it is made of super-packets."""

TUNNEL_PORTS = (4789, 4790, 6081, 8472)
"""UDP ports that NICs know as a tunnel's: VXLAN, VXLAN-GPE, Geneve, and Linux's own for VXLAN."""

MARKS = range(130, 250)
"""TTLs of plain crafted packet sets to those ports. The port does not tell a burst from an earlier one, or from
what a tunnel of the host's own sends there (with a TTL of 64, 128 or 255); the TTL does."""

_MOST_SEGMENTS = 64
_MOST_BYTES = 64_000
"""Of payload in a super-packet: with its headers and a tunnel's, an IPv4 length still holds it."""
_NOP = b"\x01"
_HOP_BY_HOP, _DESTINATION_OPTIONS = 0, 60


@dataclass(frozen=True)
class PacketSet:
    """A set of crafted packets.

    Attributes:
        name: In flow ids.
        title: What it sends, in a sentence for people.
        faults: What it is for.
        traffic: Kinds of traffic that it is made of, in a tunnel.
        make: Makes one round of its crafted packets; told whether to make super-packets.
        plain: Kinds of traffic that it is made of without a tunnel.
        port: The destination port that all its crafted packets go to; None for one of the burst's own.
        outer_target: At outer checksums: for tunnels that ask for one, and with a known source port.
    """

    name: str
    title: str
    faults: tuple[str, ...]
    traffic: tuple[Traffic, ...]
    make: Callable[[Maker, bool], Iterator[CraftedPacket]]
    plain: tuple[Traffic, ...] = ()
    port: int | None = None
    outer_target: bool = False

    def crafted_packets(self, make: Maker, cut: bool) -> Iterator[CraftedPacket]:
        """Its crafted packets, over and over until there are enough frames of the kind it is for.

        A fault that is not always there is to show here, too: of one that hits 3 % of the frames,
        five crafted packet sets in a million are missed.
        """
        enough = 0
        while enough < ENOUGH:
            for crafted in self.make(make, cut):
                yield crafted
                frames = crafted.frames
                enough += frames if frames > 1 or not cut else 0


PACKET_SETS: dict[str, PacketSet] = {}
"""By name, in the order they run."""


def _packet_set(
    name: str,
    title: str,
    faults: str,
    *traffic: Traffic,
    plain: tuple[Traffic, ...] = (),
    port: int | None = None,
    outer_target: bool = False,
) -> Callable[
    [Callable[[Maker, bool], Iterator[CraftedPacket]]],
    Callable[[Maker, bool], Iterator[CraftedPacket]],
]:
    def register(
        make: Callable[[Maker, bool], Iterator[CraftedPacket]],
    ) -> Callable[[Maker, bool], Iterator[CraftedPacket]]:
        fault_names = tuple(faults.split())
        PACKET_SETS[name] = PacketSet(
            name, title, fault_names, traffic, make, plain, port, outer_target
        )
        return make

    return register


@_packet_set(
    "boundaries",
    "super-packets of k × MSS and one byte more or less, up to 64 segments",
    "super-length last-exact seed-left offset-clipped ip-header",
    TCP_CUT,
    UDP_CUT,
)
def _boundaries(make: Maker, _cut: bool) -> Iterator[CraftedPacket]:
    for mss in (make.largest, 1000, 535):
        for segments in (2, 3, min(10, _MOST_BYTES // mss)):
            for more in (-1, 0, 1):
                yield make.crafted(segments * mss + more, mss)
    yield make.crafted(_MOST_SEGMENTS * 1000, 1000)


@_packet_set(
    "small-mss",
    "super-packets with a small MSS, down to 48 bytes",
    "small-mss super-length",
    TCP_CUT,
    UDP_CUT,
)
def _small_mss(make: Maker, _cut: bool) -> Iterator[CraftedPacket]:
    for mss in (48, 63, 64, 87, 88, 255, 256):
        for size in (mss + 1, 2 * mss, 5 * mss - 1, _MOST_SEGMENTS * mss):
            yield make.crafted(size, mss)


@_packet_set(
    "flags",
    "super-packets with FIN, PSH and CWR, which belong to the last or the first segment alone",
    "super-length",
    TCP_CUT,
)
def _flags(make: Maker, _cut: bool) -> Iterator[CraftedPacket]:
    for flags in (ACK, ACK | PSH, ACK | FIN, ACK | FIN | PSH, ACK | CWR, ACK | CWR | PSH | FIN):
        for size in (2000, 3 * 1000 + 1):
            yield make.crafted(size, 1000, flags=flags)


@_packet_set(
    "lengths",
    "payloads of 0 to 3 bytes, frames around the shortest, odd and even, up to the MTU",
    "pad-summed odd-byte vlan-lost-short offset-clipped",
    TCP_WHOLE,
    UDP_WHOLE,
    plain=(TCP_WHOLE, UDP_WHOLE),
)
def _lengths(make: Maker, _cut: bool) -> Iterator[CraftedPacket]:
    # Ethernet pads to 60 bytes without FCS; some chips to 64 or 65.
    for size in (*range(28), *range(40, 49), 127, 128, 255, 256, 511, 512, 1023, 1024):
        yield make.crafted(size)
    for less in range(4):
        yield make.crafted(make.largest - less)


@_packet_set(
    "crafted",
    "payloads whose checksum comes to 0 or 0xffff, all zeros, all ones, far carries",
    "zero-not-ffff odd-byte seed-left",
    TCP_WHOLE,
    UDP_WHOLE,
)
def _crafted(make: Maker, _cut: bool) -> Iterator[CraftedPacket]:
    for size in (8, 9, 10, 64, 65, 1000, 1001):
        for target in (0, 1, 0xFFFE, 0x8000):
            yield _summing_to(make, size, target)
        yield make.crafted(bytes(size))
        yield make.crafted(b"\xff" * size)
        yield make.crafted((b"\xff\xfe\x00\x01" * size)[:size])
        yield make.crafted((b"\x80\x00\x7f\xff" * size)[:size])


def _summing_to(make: Maker, size: int, target: int) -> CraftedPacket:
    """A crafted packet whose checksum, computed, comes to a value (0: it is the one that UDP sends as ffff).

    The first word of the payload makes up for the rest.
    """
    body = make.payload(size)[2:]
    number = make.taken
    trial = make.crafted(b"\0\0" + body)
    # The field holds the seed, which is the pseudo-header's sum: all that is covered is there.
    total = ones_sum(trial.frame[trial.l4 :])
    word = (0xFFFF - target - total) % 65535
    make.taken = number
    return make.crafted(struct.pack("!H", word) + body)


@_packet_set(
    "outer-sums",
    "frames whose outer checksum comes to 0, which is sent as 0xffff, and to values beside it",
    "zero-not-ffff outer-garbage",
    TCP_CUT,
    UDP_WHOLE,
    outer_target=True,
)
def _outer_sums(make: Maker, cut: bool) -> Iterator[CraftedPacket]:
    for size in (1, 2, 17, 100, 101, 1000, 1001, make.largest):
        for computed in (0, 1, 0xFFFE, 0):
            yield outer_target(make, 3 * size if cut and size > 99 else size, size * cut, computed)


@_packet_set(
    "fields",
    "DSCP, ECN, DF, TTL, and IPv4 ids about to wrap",
    "ip-header",
    TCP_CUT,
    UDP_WHOLE,
    UDP_CUT,
)
def _fields(make: Maker, cut: bool) -> Iterator[CraftedPacket]:
    size, mss = (3001, 1000) if cut else (300, 0)
    for traffic_class in (0x00, 0x28, 0xB8, 0x01, 0x02, 0x03):
        yield make.crafted(size, mss, traffic_class=traffic_class)
    for ident in (0, 1, 0x7FFE, 0x7FFF, 0xFFFE, 0xFFFF):
        for df in (True, False):
            yield make.crafted(size, mss, ident=ident, df=df)
    for ttl in (1, 2, 63, 255):
        yield make.crafted(size, mss, ttl=ttl)


@_packet_set(
    "headers",
    "IPv4 options and IPv6 extension headers inside",
    "offset-clipped v6-only",
    TCP_CUT,
    UDP_WHOLE,
)
def _headers(make: Maker, cut: bool) -> Iterator[CraftedPacket]:
    mss = 1000
    for size in (0, 1, 100, 1001, *((2 * mss, 3 * mss + 1, 20 * mss) if cut else ())):
        if make.path.family == 4:
            for options in (4, 8, 20, 40):
                yield make.crafted(size, mss if size > mss and cut else 0, options=_NOP * options)
            continue
        for units in (0, 1, 7):
            header = struct.pack("!BBBB", make.protocol, units, 1, 8 * units + 4)
            header += bytes(8 * units + 4)  # one PadN option (RFC 8200, section 4.2)
            for kind in (_HOP_BY_HOP, _DESTINATION_OPTIONS):
                yield make.crafted(
                    size, mss if size > mss and cut else 0, options=header, following=kind
                )


@_packet_set(
    "inner-vlan",
    "frames with an 802.1Q tag inside the tunnel",
    "vlan-shift vlan-lost-short",
    TCP_CUT,
    UDP_WHOLE,
)
def _inner_vlan(make: Maker, cut: bool) -> Iterator[CraftedPacket]:
    for size in (0, 1, 2, 3, 17, 18, 19, 100, 101, 1000, 1001):
        yield make.crafted(size, vlans=(100,))
        yield make.crafted(size, vlans=(0xE064,))
    if cut:
        for size in (2000, 2001, 5999, 30_000, 50_001):
            yield make.crafted(size, 1000, vlans=(100,))


def _to_a_tunnel_port(make: Maker, _cut: bool) -> Iterator[CraftedPacket]:
    for size in (*range(4), 7, 8, 9, 16, 17, 18, 19, 58, 59, 100, 101, 1000, 1001):
        yield make.crafted(_no_tunnel(make.payload(size)))
    for less in range(2):
        yield make.crafted(_no_tunnel(make.payload(make.largest - less)))


def _no_tunnel(payload: bytes) -> bytes:
    """A payload that no tunnel takes for its own, so that a peer with such a tunnel drops it.

    VXLAN and VXLAN-GPE: the I flag, 0x08, is not set. Geneve (RFC 8926): version 3 is unknown.
    """
    return b"\xc0"[: len(payload)] + payload[1:]


for _port in TUNNEL_PORTS:
    _packet_set(
        f"port-{_port}",
        f"UDP that is no tunnel's to port {_port}, from 0 bytes up to the MTU",
        "plain-4789",
        plain=(UDP_WHOLE,),
        port=_port,
    )(_to_a_tunnel_port)
