"""What a walk finds, and how it moves: the reference of layers.h.

A walk begins at the link type of a capture and goes from layer to layer: each layer reads its
header, adds the sums that are to be judged, and says which layer comes next, from which byte on and
where it has to end. It never raises and never takes more than `MOST_STEPS` steps, whatever the
bytes. `judge` then judges the sums.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import IntEnum

from qualification.wire.checksum import ones_sum

from .codes import MOST_BYTES, MOST_PACKETS, MOST_SUMS, Carrier, How, Kind, State

ICMP, IGMP, TCP, UDP, DCCP, GRE, ESP, AH, ICMPV6, COMPRESSED, SCTP, UDP_LITE = (
    1, 2, 6, 17, 33, 47, 50, 51, 58, 108, 132, 136,
)  # fmt: skip
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
_SEEN_IN_IPV6 = frozenset(
    {HOP_BY_HOP, 4, TCP, UDP, DCCP, 41, ROUTING, FRAGMENT, GRE, ESP, AH, ICMPV6, 59, DESTINATION}
    | {SCTP, UDP_LITE}
)


class Layer(IntEnum):
    """What is to be read next."""

    END, ETHERNET, TYPE, LLC, PPP, PPPOE, MPLS, WLAN, IP, IPV4, IPV6, PROTOCOL = range(12)
    GRE, NSH, UDP = range(12, 15)


@dataclass(slots=True)
class Sum:
    """A checksum of a frame, or what stands in its place.

    Attributes:
        kind: What it belongs to.
        depth: How many IP packets are around the one that it belongs to.
        state: The outcome.
        how: How it is wrong, or why it is not judged.
        start: Offset of the first byte that it covers, without the pseudo-header.
        end: Offset behind the last one, which may not have been captured.
        field: Offset of the checksum; -1 if there is none.
        stored: The checksum in the frame, if it is wrong.
        computed: What it should be.
        pseudo: Sum over the pseudo-header; None if it has none.
    """

    kind: Kind
    depth: int
    state: State
    how: How
    start: int
    end: int
    field: int = -1
    stored: int = 0
    computed: int = 0
    pseudo: int | None = dataclasses.field(default=None, compare=False)


@dataclass(slots=True)
class IpPacket:
    """An IP packet of a frame: offsets of its header, L4 and end; ports are -1 if none."""

    family: int
    start: int
    l4: int
    end: int
    protocol: int
    carrier: Carrier
    source_port: int = -1
    destination_port: int = -1


@dataclass(slots=True)
class Ends:
    """The addresses of the pseudo-header, and what keeps them from being known."""

    family: int
    source: bytes
    destination: bytes
    how: How = How.NONE


@dataclass(slots=True)
class Walk:
    """A walk through one frame, and what it has found so far.

    Walks are equal that have found the same; where they are on their way does not count.

    Attributes:
        data: The bytes captured.
        ports: UDP ports that somebody named as those of VXLAN.
        at: Offset of the layer that is read next.
        limit: Offset where that layer has to end; the bytes captured may end before it.
        layer: The layer.
        type: Its EtherType or IP protocol number, where it depends on one.
        sums: Checksums, outermost first.
        packets: IP packets, outermost first.
        vni: Network identifier of the outermost tunnel that has one; -1 if none.
        noticed: A port of VXLAN that nobody has named; -1 if none.
        carrier: What carries the packet that comes next.
        is_short: Whether the frame ends before the length in its outermost IP header.
        direction: By the link type's header.
        fragment: 1 + index in `packets` of a fragment; 0 if none.
        link: The link type of the capture.
        ends: The addresses of the pseudo-header of the packet that was read last.
    """

    data: bytes
    ports: frozenset[int]
    limit: int = field(compare=False)
    at: int = field(default=0, compare=False)
    layer: Layer = field(default=Layer.END, compare=False)
    type: int = field(default=0, compare=False)
    sums: list[Sum] = field(default_factory=list)
    packets: list[IpPacket] = field(default_factory=list)
    vni: int = -1
    noticed: int = -1
    carrier: Carrier = Carrier.NONE
    is_short: bool = False
    direction: int = 0
    fragment: int = 0
    link: int = 1
    ends: Ends = field(default_factory=lambda: Ends(0, b"", b""), compare=False)

    def add(self, kind: Kind, state: State, how: How, start: int, end: int) -> Sum:
        """Adds a sum and returns it; the last one there is room for says that it is too deep."""
        if len(self.sums) == MOST_SUMS:
            last = self.sums[-1]
            last.state, last.how = State.UNJUDGED, How.DEPTH
            return last
        depth = len(self.packets)
        # A header that cannot be read, or of a link, belongs to the packet that would have come.
        if depth and kind not in (Kind.LINK, Kind.IPV4, Kind.IPV6):
            depth -= 1
        made = Sum(kind, depth, state, how, start, end)
        self.sums.append(made)
        return made

    def have(self, length: int, kind: Kind = Kind.LINK) -> bool:
        """Returns whether `length` bytes are there to be read, and adds why not.

        A layer that is carried and does not fit is an error of length. A frame that is too short
        for its link is none.
        """
        if self.at + length > self.limit:
            if self.packets or kind != Kind.LINK:
                self.add(kind, State.LENGTH, How.HEADER, self.at, self.limit)
        elif self.at + length > len(self.data):
            self.add(kind, State.UNJUDGED, self.cut, self.at, self.limit)
        else:
            return True
        self.layer = Layer.END
        return False

    @property
    def cut(self) -> How:
        """Why bytes are missing."""
        return How.SHORT if self.is_short else How.CUT

    def go(self, layer: Layer, at: int) -> None:
        """Goes to a layer at an offset."""
        self.layer, self.at = layer, at

    def go_type(self, kind: int, at: int) -> None:
        """Goes to what has an EtherType."""
        self.layer, self.type, self.at = Layer.TYPE, kind, at

    def fail(self, kind: Kind, state: State, how: How) -> None:
        """Adds an outcome for the layer at `at`, and ends the walk."""
        self.add(kind, state, how, self.at, self.limit)
        self.layer = Layer.END

    def enter(self, carrier: Carrier, layer: Layer, at: int) -> bool:
        """Goes to what a tunnel carries."""
        self.carrier = carrier
        self.go(layer, at)
        return True

    def push(self, family: int, start: int, l4: int, end: int, protocol: int) -> None:
        """Adds an IP packet."""
        self.packets.append(IpPacket(family, start, l4, end, protocol, self.carrier))
        self.carrier = Carrier.NONE

    @property
    def is_full(self) -> bool:
        """Whether another packet would be too deep."""
        return len(self.packets) == MOST_PACKETS

    def word(self, at: int) -> int:
        """Returns 16 bits in network order."""
        return self.data[at] << 8 | self.data[at + 1]

    def seems_ip(self, at: int, *, exact: bool = False) -> bool:
        """Returns whether an IPv4 or IPv6 packet that fits seems to begin at an offset.

        Args:
            at: The offset.
            exact: Whether the packet has to end at the limit, and its header to be right, as
                nothing else speaks for it.
        """
        data, room = self.data, self.limit - at
        if at + 20 > len(data) or room < 20:
            return False
        if data[at] >> 4 == 4:
            size, total = (data[at] & 15) * 4, self.word(at + 2)
            return (
                20 <= size <= total
                and (total == room if exact else total <= room)
                and not (exact and (at + size > len(data) or ones_sum(data[at : at + size])))
            )
        if data[at] >> 4 != 6 or room < 40 or at + 40 > len(data):
            return False
        total = 40 + self.word(at + 4)
        return data[at + 6] in _SEEN_IN_IPV6 and (total == room if exact else total <= room)

    def seems_ethernet(self, at: int) -> bool:
        """Returns whether an Ethernet frame with IP or ARP seems to begin at an offset."""
        at += 12
        end = min(len(self.data), self.limit)
        for _ in range(3):
            if at + 2 > end:
                return False
            kind = self.word(at)
            if kind in (0x0800, 0x86DD):
                version = 4 if kind == 0x0800 else 6
                fits = at + 2 < len(self.data) and self.data[at + 2] >> 4 == version
                return fits and self.seems_ip(at + 2)
            if kind not in (0x8100, 0x88A8):
                arp = self.data[at + 2 : at + 6] == b"\0\1\x08\0"
                return kind == 0x0806 and at + 10 <= end and arp
            at += 4
        return False


def start(data: bytes, wire_length: int, ports: frozenset[int]) -> Walk:
    """Returns a walk that has not begun."""
    return Walk(data, ports, min(max(wire_length, len(data)), MOST_BYTES))
