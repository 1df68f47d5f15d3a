"""Says what the outcome of a frame means: whether it can have been wrong on the wire.

Two thirds of the wrong checksums in public captures were never on a wire: the frame was captured
before the NIC filled them in, or after GRO put several frames together. What tells them apart is
the value in the field, the length of the packet, and the direction of the frame.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from .codes import INBOUND, OUTBOUND, Carrier, How, Kind, State
from .outcomes import LARGEST_ON_WIRE, Outcome, summarize
from .walk import TCP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .outcomes import SumCode

LEAST_MTU = 1600
"""What a wire is taken to carry if no long packet is right: 1500 bytes in a tunnel's headers."""

_FULL = 1400
"""A right packet of this length or more shows what fills the wire; others may just be short."""

_LONGEST_CUT = 1400
"""Frames that a mirror cuts are shorter; one that is as long as a link carries was not cut."""


class Class(Enum):
    """What is said of a frame; the value is its name for people."""

    __hash__ = object.__hash__  # Enum's own is a Python function

    WRONG_VALUE = "wrong value"
    LENGTH = "length error"
    UNFILLED = "never filled in"
    MERGED = "merged by GRO/LRO"
    CUT = "cut by the capture or a mirror"
    UNJUDGED = "not judged"
    RIGHT = "right"
    NOTHING = "no checksum"


_CAN_BE_WRONG = (Class.WRONG_VALUE, Class.LENGTH, Class.UNFILLED)
"""The classes of frames that can have been wrong on the wire; the last, unless it is excused."""


class Side(Enum):
    """Where a capture was taken, if somebody says so."""

    SENDER = "sender"
    RECEIVER = "receiver"


@dataclass(frozen=True)
class Context:
    """What is known about a capture as a whole.

    Attributes:
        mtu: Bytes of the longest packet that a wire can have carried, as far as the capture shows.
        side: Where it was taken, if somebody says so.
        cut_at: Bytes to which a mirror has cut frames; None if nothing shows that one has.
        own: Addresses of hosts whose frames the capturing host sent itself.
    """

    mtu: int = LEAST_MTU
    side: Side | None = None
    cut_at: int | None = None
    own: frozenset[bytes] = field(default_factory=frozenset)


def of_all_flows(outcomes: Mapping[Outcome, int]) -> Counter[Outcome]:
    """Adds up the outcomes that differ in their addresses alone.

    A capture has thousands of flows, and a few dozen outcomes beside that. Where a sum is
    unfinished the addresses stay, as they tell whether the capturing host sent the frame.
    """
    found = Counter[Outcome]()
    elsewhere = Counter[tuple[object, ...]]()
    for outcome, count in outcomes.items():
        if summarize(outcome.sums).unfinished:
            found[outcome] += count
        else:
            elsewhere[outcome[1:]] += count
    for others, count in elsewhere.items():
        found[Outcome._make((b"", *others))] += count
    return found


def context_of(
    outcomes: Mapping[Outcome, int],
    flows: Mapping[Outcome, int],
    longest_right: int,
    longest_wire: int,
    side: Side | None,
) -> Context:
    """Finds out what the outcomes of a capture together say about each of them.

    Args:
        outcomes: The number of frames with each outcome, from `of_all_flows`.
        flows: The same with the addresses of every flow.
        longest_right: Bytes of the longest packet with a right sum above IP.
        longest_wire: Bytes of the longest frame.
        side: Where the capture was taken.
    """
    short = Counter[int]()
    for outcome, count in outcomes.items():
        found = summarize(outcome.sums)
        if found.is_short and not found.unfinished:
            short[outcome.length] += count
    cut_at = None
    if short:
        length, count = short.most_common(1)[0]
        if count >= 0.9 * short.total() and length == longest_wire <= _LONGEST_CUT:
            cut_at = length
    mtu = _mtu(outcomes, longest_right)
    unfinished = any(summarize(outcome.sums).unfinished for outcome in outcomes)
    own = frozenset[bytes]()
    if unfinished and side != Side.SENDER:
        own = _own_hosts(flows, mtu, side)
    return Context(mtu, side, cut_at, own)


def _mtu(outcomes: Mapping[Outcome, int], longest_right: int) -> int:
    """Returns the longest packet that the wire can have carried.

    GRO adds the short end of a message to the full segment before it, so what is merged may be only
    a little longer than what the wire carries. But many unfinished packets of one length that is a
    little longer are full segments of a NIC that leaves them so.
    """
    if longest_right < _FULL or longest_right >= LEAST_MTU:
        return max(LEAST_MTU, longest_right)
    longer = Counter[int]()
    for outcome, count in outcomes.items():
        if longest_right < outcome.length <= LEAST_MTU and summarize(outcome.sums).unfinished:
            longer[outcome.length] += count
    if longer:
        length, count = longer.most_common(1)[0]
        if count >= 3 and count >= longer.total() / 2:
            return length
    return longest_right


def _own_hosts(outcomes: Mapping[Outcome, int], mtu: int, side: Side | None) -> frozenset[bytes]:
    """Returns the hosts that can only be the one that captured.

    A host captured if TCP arrived there both right and merged: on the other side, the kernel would
    have left all of it unfinished. And on a receiver, the replies are its own: not one of them is
    filled in, the other direction has right sums, and more frames.
    """
    frames, right, right_tcp = Counter[bytes](), Counter[bytes](), Counter[bytes]()
    unfilled, merged = Counter[bytes](), Counter[bytes]()
    for outcome, count in outcomes.items():
        found, pair, is_tcp = summarize(outcome.sums), outcome.addresses, outcome.protocol == TCP
        frames[pair] += count
        if found.right_l4 and not found.odd:
            right[pair] += count
            right_tcp[pair] += count if is_tcp else 0
        elif found.unfinished:
            unfilled[pair] += count
            merged[pair] += count if is_tcp and outcome.length > mtu else 0
    own = set()
    for pair in unfilled:
        half = len(pair) // 2
        reverse = pair[half:] + pair[:half]
        arrived = merged[reverse] and right_tcp[reverse] and not right_tcp[pair]
        replies = not right[pair] and right[reverse] and frames[reverse] > frames[pair]
        if arrived or (side == Side.RECEIVER and replies):
            own.add(pair[:half])
    return frozenset(own)


def class_of(outcome: Outcome, context: Context) -> Class:
    """Returns what is said of the frames with an outcome."""
    return _class_of(outcome.sums, outcome.length, context.mtu, context.cut_at)


@lru_cache(maxsize=1 << 16)
def _class_of(sums: tuple[SumCode, ...], length: int, mtu: int, cut_at: int | None) -> Class:
    found = summarize(sums)
    if found.value:
        return Class.MERGED if length > LARGEST_ON_WIRE else Class.WRONG_VALUE
    if found.length or (found.is_short and not found.unfinished and length != cut_at):
        return Class.LENGTH
    if found.unfinished:
        longer = length > mtu and not found.right_l4
        uncut = any(each.how == How.UNCUT for each in sums)
        return Class.MERGED if longer or uncut else Class.UNFILLED
    unjudged = [each.how for each in sums if each.state == State.UNJUDGED]
    if unjudged:
        return Class.CUT if unjudged[0] in (How.CUT, How.SHORT) else Class.UNJUDGED
    return Class.RIGHT if sums else Class.NOTHING


def is_excused(outcome: Outcome, context: Context) -> bool:
    """Returns whether sums that are not filled in say nothing about the wire.

    They do not on the host that sends the frame: there the NIC has yet to fill them in.
    """
    if outcome.direction in (INBOUND, OUTBOUND):
        return outcome.direction == OUTBOUND
    if context.side == Side.SENDER:
        return True
    return outcome.addresses[: len(outcome.addresses) // 2] in context.own


def is_wrong_on_wire(outcome: Outcome, context: Context) -> bool:
    """Returns whether frames with an outcome can have been wrong on the wire."""
    found = class_of(outcome, context)
    if found == Class.UNFILLED:
        return not is_excused(outcome, context)
    return found in _CAN_BE_WRONG


@dataclass(frozen=True)
class Tally:
    """How many frames of a capture are what.

    Attributes:
        frames: All frames.
        classes: The number of frames of each class that occurs.
        wrong: Those that can have been wrong on the wire.
        excused: Of those never filled in, the ones that the capturing host sent.
        unjudged: Frames of which a sum that matters was not judged, for whatever reason.
        judged: Frames that are right, or can have been wrong on the wire.
        tunnelled: Frames with an IP packet in a tunnel.
        vxlan: Frames with VXLAN.
    """

    frames: int
    classes: dict[Class, int]
    wrong: int
    excused: int
    unjudged: int
    judged: int
    tunnelled: int
    vxlan: int


def tally(outcomes: Iterable[tuple[Outcome, int]], context: Context) -> Tally:
    """Adds up outcomes by class."""
    classes = Counter[Class]()
    wrong = excused = tunnelled = vxlan = 0
    for outcome, count in outcomes:
        found = class_of(outcome, context)
        classes[found] += count
        if found == Class.UNFILLED and is_excused(outcome, context):
            excused += count
        elif found in _CAN_BE_WRONG:
            wrong += count
        tunnelled += count if any(outcome.carriers) else 0
        vxlan += count if _has_vxlan(outcome.carriers, outcome.sums) else 0
    lost = (Class.MERGED, Class.CUT, Class.UNJUDGED)
    return Tally(
        frames=classes.total(),
        classes={each: classes[each] for each in Class if classes[each]},
        wrong=wrong,
        excused=excused,
        unjudged=sum(classes[each] for each in lost) + excused,
        judged=classes[Class.RIGHT] + wrong,
        tunnelled=tunnelled,
        vxlan=vxlan,
    )


@lru_cache(maxsize=1 << 12)
def _has_vxlan(carriers: tuple[Carrier, ...], sums: tuple[SumCode, ...]) -> bool:
    """Returns whether there is VXLAN, if only with a broken header."""
    is_carried = Carrier.VXLAN in carriers or Carrier.GPE in carriers
    return is_carried or any(each.kind == Kind.VXLAN for each in sums)
