"""Counts the frames of a capture by outcome, and keeps the first of those that are wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .judge import walk_frame
from .outcomes import LARGEST_ON_WIRE, Outcome, outcome_of, summarize
from .reassembly import Reassembly, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

    from qualification.wire.capture_reader import Record

    from .walk import Walk

MOST_OUTCOMES = 1 << 16
"""Distinct outcomes that are kept apart. Of a scan or a flood with ever new addresses, those that
come later are counted without them, so that memory is bounded."""

VALUE, LENGTH, UNFINISHED = 0, 1, 2
"""Buckets of frames that are kept: wrong values, lengths, and sums that are yet to be filled in."""


@dataclass(frozen=True)
class KeptFrame:
    """A frame that is kept as evidence.

    Attributes:
        number: The number of the frame in the capture, from 1 as in Wireshark.
        record: The frame.
        outcome: Its outcome.
        walk: What was found in it; for the last fragment of a datagram, in the datagram.
        parts: The numbers of all fragments of the datagram; empty if it is no fragment.
    """

    number: int
    record: Record
    outcome: Outcome
    walk: Walk
    parts: tuple[int, ...] = ()


@dataclass
class Counting:
    """What was found in a capture so far.

    Attributes:
        ports: UDP ports that somebody named as those of VXLAN.
        room: How many frames of each bucket may yet be kept.
        each: Gets the frames that would be kept, if they are not to be, until it returns False.
        outcomes: The number of frames with each outcome.
        kept: The first frames of each bucket, in the order of the capture.
        longest_right: Bytes of the longest IP packet with a right sum above IP that fits on a wire;
            0 if there is none.
        longest_wire: Bytes of the longest frame.
        troubles: Where the capture is damaged or cut short.
        has_others: Whether some outcomes were counted without their flow.
        interrupted: Whether somebody ended the count before the end of the capture.
        reassembly: The fragments of datagrams that are not complete.
    """

    ports: frozenset[int]
    room: list[int]
    each: Callable[[KeptFrame], object] | None = None
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    kept: list[KeptFrame] = field(default_factory=list)
    longest_right: int = 0
    longest_wire: int = 0
    troubles: list[str] = field(default_factory=list)
    interrupted: bool = False
    has_others: bool = False
    reassembly: Reassembly = field(init=False)

    def __post_init__(self) -> None:
        """Begins without fragments."""
        self.reassembly = Reassembly(self.ports)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the capture, in one text; None if nothing is."""
        found = list(self.troubles[:3])
        if len(self.troubles) > 3:
            found.append(f"and {len(self.troubles) - 3} more places")
        if self.interrupted:
            found.append("interrupted")
        return "; ".join(found) or None

    def take(self, number: int, record: Record) -> KeptFrame:
        """Walks through a frame and counts it."""
        walk = walk_frame(record.frame, record.wire_length, record.link, self.ports)
        return self.taken(number, record, walk)

    def taken(self, number: int, record: Record, walk: Walk) -> KeptFrame:
        """Counts a frame whose walk is done."""
        outcome = self.known(outcome_of(walk, record.wire_length, record.direction))
        parts = tuple[int, ...]()
        if walk.fragment:
            whole = self.reassembly.take(walk, outcome, number, record.time)
            if whole is not None:
                walk, outcome, parts = whole.walk, self.known(whole.outcome), whole.numbers
                for earlier in whole.earlier:
                    self.outcomes[earlier] -= 1
                    if not self.outcomes[earlier]:
                        del self.outcomes[earlier]
                    self.outcomes[self.known(elsewhere(earlier))] += 1
        self.outcomes[outcome] += 1
        self.longest_wire = max(self.longest_wire, record.wire_length)
        found = summarize(outcome.sums)
        if not found.odd and found.right_l4 and not parts:
            length = walk.packets[0].end - walk.packets[0].start
            if length <= LARGEST_ON_WIRE:
                self.longest_right = max(self.longest_right, length)
        made = KeptFrame(number, record, outcome, walk, parts)
        bucket = bucket_of(outcome)
        if bucket is not None:
            self.keep(bucket, made)
        return made

    def known(self, outcome: Outcome) -> Outcome:
        """Returns the outcome that frames are counted under; see `MOST_OUTCOMES`."""
        if len(self.outcomes) < MOST_OUTCOMES or outcome in self.outcomes:
            return outcome
        self.has_others = True
        return outcome._replace(addresses=b"", vni=None)

    def keep(self, bucket: int, frame: KeptFrame) -> None:
        """Keeps a frame or hands it on, if there is room in its bucket."""
        if not self.room[bucket]:
            return
        self.room[bucket] -= 1
        if self.each is None:
            self.kept.append(frame)
        elif self.each(frame) is False:
            self.room[:] = [0] * len(self.room)


def bucket_of(outcome: Outcome) -> int | None:
    """Returns which frames a frame is kept with; None if it is not kept."""
    found = summarize(outcome.sums)
    if found.value:
        return VALUE
    if found.length or found.is_short:
        return LENGTH
    return UNFINISHED if found.unfinished else None
