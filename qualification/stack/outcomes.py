"""The outcome of a frame: what frames of one flow have in common, so that they can be counted.

A capture of a million frames has few distinct outcomes. Everything that is reported of a capture is
derived from the number of frames with each, except for the frames that are shown one by one.
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .codes import MOST_PACKETS, Carrier, How, Kind, State

if TYPE_CHECKING:
    from .walk import Walk

LARGEST_ON_WIRE = 9600
"""No Ethernet carries a longer packet; the usual jumbo frames end at 9216 bytes."""

REAL = (How.VALUE, How.FLAG)
"""How a sum is wrong that no NIC has yet to fill in."""

KEY_FORMAT = "32s40s"
"""A key of outcome_key in native_walk.c, as `struct` format: addresses, and what flows share."""


class SumCode(NamedTuple):
    """The outcome of one sum; see `walk.Sum`."""

    kind: Kind
    state: State
    how: How
    depth: int

    @property
    def is_unfinished(self) -> bool:
        """Whether the NIC has yet to fill it in."""
        return self.state == State.WRONG and self.how not in REAL


class Outcome(NamedTuple):
    """What is counted of a frame.

    Attributes:
        addresses: Source and destination of the outermost IP packet, 8 or 32 bytes; empty if none.
        family: 4 or 6: that of the innermost IP packet; 0 if there is none.
        protocol: IP protocol of the innermost packet; -1 if there is none.
        vni: Network identifier of the outermost tunnel that has one; None if there is none.
        carriers: What carries each IP packet, outermost first; the last may be without a packet.
        direction: 1 inbound, 2 outbound; 0 if unknown, or of no interest as all sums are right.
        noticed: A port of VXLAN that nobody has named; None if there is none.
        length: Bytes of the outermost IP packet, or of the frame if there is none, where that says
            how a sum came to be unfinished or cut; a link type that is not judged; else 0.
        sums: The outcomes of its sums, outermost first.
    """

    addresses: bytes
    family: int
    protocol: int
    vni: int | None
    carriers: tuple[Carrier, ...]
    direction: int
    noticed: int | None
    length: int
    sums: tuple[SumCode, ...]


class Summary(NamedTuple):
    """What the sums of a frame say together.

    Attributes:
        odd: Not all of them are right or absent.
        value: One is wrong, and not because it is unfinished.
        length: A length or header does not fit.
        unfinished: One is as the NIC has yet to fill it in.
        right_l4: One above IP is right.
        is_short: The frame ends before the length in its IP header.
    """

    odd: bool
    value: bool
    length: bool
    unfinished: bool
    right_l4: bool
    is_short: bool


@cache
def summarize(sums: tuple[SumCode, ...]) -> Summary:
    """Returns what the sums of a frame say together."""
    wrong = [each.how for each in sums if each.state == State.WRONG]
    return Summary(
        odd=any(each.state not in (State.RIGHT, State.ABSENT) for each in sums),
        value=any(how in REAL for how in wrong),
        length=any(each.state == State.LENGTH for each in sums),
        unfinished=any(how not in REAL for how in wrong)
        or any(each.how == How.UNCUT for each in sums),
        right_l4=any(each.state == State.RIGHT and each.kind != Kind.IPV4 for each in sums),
        is_short=any(each.how == How.SHORT for each in sums),
    )


@lru_cache(maxsize=1 << 12)
def _codes_of(sums: tuple[tuple[Kind, State, How, int], ...]) -> tuple[SumCode, ...]:
    return tuple(SumCode(*each) for each in sums)


def outcome_of(walk: Walk, wire_length: int, direction: int = 0) -> Outcome:
    """Returns the outcome of a walk.

    Args:
        walk: The walk, judged.
        wire_length: Length of the frame on the wire.
        direction: By the capture; the link type's header may say it as well.
    """
    sums = _codes_of(tuple([(each.kind, each.state, each.how, each.depth) for each in walk.sums]))
    found, packets = summarize(sums), walk.packets
    length = 0
    if found.unfinished and packets:
        length = packets[0].end - packets[0].start
        rest = wire_length - packets[0].start  # a buffer of GSO partial is longer than it says
        length = rest if rest > length + 64 else length
    elif found.unfinished or found.is_short:
        length = wire_length
    elif found.odd and packets and packets[0].end - packets[0].start > LARGEST_ON_WIRE:
        length = packets[0].end - packets[0].start
    elif found.odd and sums[0].how == How.LINK_TYPE:
        length = walk.link
    carriers = [each.carrier for each in packets]
    if len(packets) < MOST_PACKETS and walk.carrier:
        carriers.append(walk.carrier)
    addresses = b""
    if packets:
        at, width = (12, 8) if packets[0].family == 4 else (8, 32)
        addresses = walk.data[packets[0].start + at : packets[0].start + at + width]
    return Outcome(
        addresses,
        packets[-1].family if packets else 0,
        packets[-1].protocol if packets else -1,
        None if walk.vni < 0 else walk.vni,
        tuple(carriers),
        (direction or walk.direction) if found.odd else 0,
        None if walk.noticed < 0 else walk.noticed,
        min(length, 0xFFFFF),
        sums,
    )


@cache
def _sums_of(*words: int) -> tuple[SumCode, ...]:
    packed = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    return tuple(
        SumCode(Kind(code & 31), State(code >> 5 & 7), How(code >> 8 & 31), code >> 13)
        for code in packed
        if code
    )


@cache
def _carriers_of(place: int) -> tuple[Carrier, ...]:
    depth = place >> 50 & 7
    carriers = [Carrier(place >> 5 * i & 31) for i in range(MOST_PACKETS)]
    if depth < MOST_PACKETS and carriers[depth]:
        depth += 1
    return tuple(carriers[:depth])


@lru_cache(maxsize=1 << 12)
def _beside_addresses(key: bytes) -> tuple[int, tuple[object, ...]]:
    """Returns the length of the addresses, and every field of the outcome that follows them."""
    flow, place, *words = struct.unpack("=5Q", key)
    vni, noticed = flow & 0x1FFFFFF, flow >> 40 & 0x1FFFF
    return (0, 8, 32)[flow >> 36 & 3], (
        (0, 4, 6)[flow >> 34 & 3],
        (flow >> 25 & 0x1FF) - 1,
        vni - 1 if vni else None,
        _carriers_of(place & ~(0xFFFFF << 30)),
        flow >> 38 & 3,
        noticed - 1 if noticed else None,
        place >> 30 & 0xFFFFF,
        _sums_of(*words),
    )


def decode(addresses: bytes, key: bytes) -> Outcome:
    """Returns the outcome for a key of outcome_key in native_walk.c."""
    width, others = _beside_addresses(key)
    return Outcome._make((addresses[:width], *others))
