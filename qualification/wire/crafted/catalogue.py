"""The crafted packet sets, each for faults that a stream of ordinary traffic would miss.

A crafted packet set is deterministic. The sender and the peer make the same crafted packets from
the same order: the sender to send them, and the peer to compare the frames that it receives with
them, byte for byte. Apart from their ports they are the same in all cells of a run, so that cells
differ in features only. Faults have the names that reports use.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qualification.wire.checksum import ones_sum

from .maker import Maker
from .outer_checksum_target import outer_target
from .packet import ACK, CWR, FIN, PSH, CraftedPacket
from .packet_set import TCP_SEGMENTED, TCP_SINGLE, UDP_SEGMENTED, UDP_SINGLE, PacketSet, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TUNNEL_PORTS = (4789, 4790, 6081, 8472)
"""UDP ports that NICs treat as a tunnel's: VXLAN, VXLAN-GPE, Geneve, and Linux's default for
VXLAN."""

BURST_TTLS = range(130, 250)
"""TTLs of plain crafted packet sets to those ports. The TTL distinguishes a burst from an earlier
one, and from a tunnel of the host on the same port (with a TTL of 64, 128 or 255); the port
cannot."""

_MOST_SEGMENTS = 64
_MOST_BYTES = 64_000
"""Payload bytes of a super-packet: with its headers and a tunnel's it still fits an IPv4 length."""
_NOP = b"\x01"
_HOP_BY_HOP, _DESTINATION_OPTIONS = 0, 60


PACKET_SETS: dict[str, PacketSet] = {}
"""All crafted packet sets by name, in the order in which they are sent."""


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
    TCP_SEGMENTED,
    UDP_SEGMENTED,
)
def _boundaries(make: Maker, _segmented: bool) -> Iterator[CraftedPacket]:
    for mss in (make.largest, 1000, 535):
        for segments in (2, 3, min(10, _MOST_BYTES // mss)):
            for more in (-1, 0, 1):
                yield make.crafted(segments * mss + more, mss)
    yield make.crafted(_MOST_SEGMENTS * 1000, 1000)


@_packet_set(
    "small-mss",
    "super-packets with a small MSS, down to 48 bytes",
    "small-mss super-length",
    TCP_SEGMENTED,
    UDP_SEGMENTED,
)
def _small_mss(make: Maker, _segmented: bool) -> Iterator[CraftedPacket]:
    for mss in (48, 63, 64, 87, 88, 255, 256):
        for size in (mss + 1, 2 * mss, 5 * mss - 1, _MOST_SEGMENTS * mss):
            yield make.crafted(size, mss)


@_packet_set(
    "flags",
    "super-packets with FIN, PSH and CWR, which belong to the last or the first segment alone",
    "super-length",
    TCP_SEGMENTED,
)
def _flags(make: Maker, _segmented: bool) -> Iterator[CraftedPacket]:
    for flags in (ACK, ACK | PSH, ACK | FIN, ACK | FIN | PSH, ACK | CWR, ACK | CWR | PSH | FIN):
        for size in (2000, 3 * 1000 + 1):
            yield make.crafted(size, 1000, flags=flags)


@_packet_set(
    "lengths",
    "payloads of 0 to 3 bytes, frames around the shortest, odd and even, up to the MTU",
    "pad-summed odd-byte vlan-lost-short offset-clipped",
    TCP_SINGLE,
    UDP_SINGLE,
    plain=(TCP_SINGLE, UDP_SINGLE),
)
def _lengths(make: Maker, _segmented: bool) -> Iterator[CraftedPacket]:
    # Ethernet pads to 60 bytes without FCS; some chips pad to 64 or 65.
    for size in (*range(28), *range(40, 49), 127, 128, 255, 256, 511, 512, 1023, 1024):
        yield make.crafted(size)
    for less in range(4):
        yield make.crafted(make.largest - less)


@_packet_set(
    "checksums",
    "payloads whose checksum is computed as 0 or 0xffff, all zeros, all ones, long carries",
    "zero-not-ffff odd-byte seed-left",
    TCP_SINGLE,
    UDP_SINGLE,
)
def _checksums(make: Maker, _segmented: bool) -> Iterator[CraftedPacket]:
    for size in (8, 9, 10, 64, 65, 1000, 1001):
        for target in (0, 1, 0xFFFE, 0x8000):
            yield _summing_to(make, size, target)
        yield make.crafted(bytes(size))
        yield make.crafted(b"\xff" * size)
        yield make.crafted((b"\xff\xfe\x00\x01" * size)[:size])
        yield make.crafted((b"\x80\x00\x7f\xff" * size)[:size])


def _summing_to(make: Maker, size: int, target: int) -> CraftedPacket:
    """Returns a crafted packet whose checksum is computed as a given value.

    The first word of the payload is chosen for it. UDP sends the value 0 as 0xffff.
    """
    body = make.payload(size)[2:]
    number = make.taken
    trial = make.crafted(b"\0\0" + body)
    # The field holds the pseudo-header sum, so the sum covers everything the checksum covers.
    total = ones_sum(trial.frame[trial.l4 :])
    word = (0xFFFF - target - total) % 65535
    make.taken = number
    return make.crafted(struct.pack("!H", word) + body)


@_packet_set(
    "outer-sums",
    "frames whose outer checksum is computed as 0, sent as 0xffff, or as a value next to it",
    "zero-not-ffff outer-garbage",
    TCP_SEGMENTED,
    UDP_SINGLE,
    outer_target=True,
)
def _outer_sums(make: Maker, segmented: bool) -> Iterator[CraftedPacket]:
    for size in (1, 2, 17, 100, 101, 1000, 1001, make.largest):
        for computed in (0, 1, 0xFFFE, 0):
            payload = 3 * size if segmented and size > 99 else size
            yield outer_target(make, payload, size * segmented, computed)


@_packet_set(
    "fields",
    "DSCP, ECN, DF, TTL, and IPv4 ids about to wrap",
    "ip-header",
    TCP_SEGMENTED,
    UDP_SINGLE,
    UDP_SEGMENTED,
)
def _fields(make: Maker, segmented: bool) -> Iterator[CraftedPacket]:
    size, mss = (3001, 1000) if segmented else (300, 0)
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
    TCP_SEGMENTED,
    UDP_SINGLE,
)
def _headers(make: Maker, segmented: bool) -> Iterator[CraftedPacket]:
    mss = 1000
    for size in (0, 1, 100, 1001, *((2 * mss, 3 * mss + 1, 20 * mss) if segmented else ())):
        if make.path.family == 4:
            for options in (4, 8, 20, 40):
                yield make.crafted(
                    size, mss if size > mss and segmented else 0, options=_NOP * options
                )
            continue
        for units in (0, 1, 7):
            header = struct.pack("!BBBB", make.protocol, units, 1, 8 * units + 4)
            header += bytes(8 * units + 4)  # one PadN option (RFC 8200, section 4.2)
            for kind in (_HOP_BY_HOP, _DESTINATION_OPTIONS):
                yield make.crafted(
                    size, mss if size > mss and segmented else 0, options=header, following=kind
                )


@_packet_set(
    "inner-vlan",
    "frames with an 802.1Q tag inside the tunnel",
    "vlan-shift vlan-lost-short",
    TCP_SEGMENTED,
    UDP_SINGLE,
)
def _inner_vlan(make: Maker, segmented: bool) -> Iterator[CraftedPacket]:
    for size in (0, 1, 2, 3, 17, 18, 19, 100, 101, 1000, 1001):
        yield make.crafted(size, vlans=(100,))
        yield make.crafted(size, vlans=(0xE064,))
    if segmented:
        for size in (2000, 2001, 5999, 30_000, 50_001):
            yield make.crafted(size, 1000, vlans=(100,))


def _to_a_tunnel_port(make: Maker, _segmented: bool) -> Iterator[CraftedPacket]:
    for size in (*range(4), 7, 8, 9, 16, 17, 18, 19, 58, 59, 100, 101, 1000, 1001):
        yield make.crafted(_no_tunnel(make.payload(size)))
    for less in range(2):
        yield make.crafted(_no_tunnel(make.payload(make.largest - less)))


def _no_tunnel(payload: bytes) -> bytes:
    """Returns a payload that is invalid in any tunnel, so that a peer with such a tunnel drops it.

    VXLAN and VXLAN-GPE: the I flag, 0x08, is not set. Geneve (RFC 8926): version 3 is unknown.
    """
    return b"\xc0"[: len(payload)] + payload[1:]


for _port in TUNNEL_PORTS:
    _packet_set(
        f"port-{_port}",
        f"UDP that is no tunnel's to port {_port}, from 0 bytes up to the MTU",
        "plain-4789",
        plain=(UDP_SINGLE,),
        port=_port,
    )(_to_a_tunnel_port)
