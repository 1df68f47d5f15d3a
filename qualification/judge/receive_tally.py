"""What became of frames that were received, added up. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from qualification.messages.receive import ReceiveResult, ShapeResult
from qualification.wire.crafted.receive_tests import REFERENCE

_CHANCE = 1e-6
"""Of frames of one shape to be lost among others, below which it is the shape that is refused."""


@dataclass(frozen=True)
class ReceiveTally:
    """What is to be said of bursts that arrived.

    Attributes:
        tallies: Of all of them, by shape and by what was wrong.
        strangers: Datagrams that nobody has sent.
        drops: Frames that captures lost.
        counters: Those that moved.
    """

    tallies: tuple[ShapeResult, ...]
    strangers: int
    drops: int
    counters: frozenset[str]

    @cached_property
    def right(self) -> tuple[ShapeResult, ...]:
        """The tallies of right frames."""
        return tuple(t for t in self.tallies if not t.wrong and t.shape != REFERENCE)

    @cached_property
    def wrong(self) -> tuple[ShapeResult, ...]:
        """The tallies of wrong ones."""
        return tuple(tally for tally in self.tallies if tally.wrong)

    @property
    def frames(self) -> int:
        """Frames sent of which it is known what is due."""
        return sum(tally.frames for tally in (*self.right, *self.wrong))

    @cached_property
    def accepted(self) -> tuple[ShapeResult, ...]:
        """Wrong frames of which some were delivered."""
        return tuple(tally for tally in self.wrong if tally.delivered)

    @property
    def altered(self) -> int:
        """Frames in whose place something else was delivered."""
        return sum(tally.altered for tally in self.tallies) + self.strangers

    @property
    def csum_valid(self) -> int:
        """Right frames that came marked as checked already, or as in no need of it."""
        return sum(max(tally.csum_valid, tally.csum_not_ready) for tally in self.right)

    @property
    def missing(self) -> int:
        """Right frames that neither a capture nor an application has seen."""
        return sum(map(missing_of, self.right))

    @cached_property
    def refused(self) -> tuple[ShapeResult, ...]:
        """Right frames that are missing for their shape: with what others lose it is no chance."""
        return tuple(tally for tally in self.right if self._singled_out(tally))

    def _singled_out(self, tally: ShapeResult) -> bool:
        missing = missing_of(tally)
        others = [t for t in self.tallies if not t.wrong and t.shape != tally.shape]
        # Those refused for their own shape say nothing of how many are lost. The reference is left
        # where a NIC refuses all of them.
        some = [other for other in others if missing_of(other) * 2 < other.frames]
        lost = sum(map(missing_of, some))
        frames = sum(other.frames for other in some)
        if not missing or not frames:
            return False
        return _tail(missing, tally.frames, (lost + 1) / (frames + 2)) < _CHANCE

    @property
    def withheld(self) -> int:
        """Right frames that the kernel got and no application did."""
        return sum(max(0, tally.captured - tally.delivered - tally.altered) for tally in self.right)


def receive_tally(arrived: Iterable[ReceiveResult]) -> ReceiveTally:
    """Adds bursts up."""
    sums: dict[tuple[str, tuple[str, ...]], ShapeResult] = {}
    some = tuple(arrived)
    for burst in some:
        for tally in burst.tallies:
            key = tally.shape, tally.wrong
            sums[key] = _added(sums[key], tally) if key in sums else tally
    return ReceiveTally(
        tuple(sums.values()),
        sum(burst.strangers for burst in some),
        sum(burst.drops for burst in some),
        frozenset(name for burst in some for name in burst.counters),
    )


def missing_of(tally: ShapeResult) -> int:
    """Frames that nothing has seen: what was merged on receipt shows by being delivered."""
    return max(0, tally.frames - max(tally.captured, tally.delivered + tally.altered))


def _added(one: ShapeResult, other: ShapeResult) -> ShapeResult:
    return ShapeResult(
        one.shape,
        one.wrong,
        one.frames + other.frames,
        one.captured + other.captured,
        one.delivered + other.delivered,
        one.altered + other.altered,
        one.csum_valid + other.csum_valid,
        one.csum_not_ready + other.csum_not_ready,
    )


def _tail(least: int, of: int, chance: float) -> float:
    """Bound on the probability of at least so many hits, by the union of all choices."""
    choices = math.lgamma(of + 1) - math.lgamma(least + 1) - math.lgamma(of - least + 1)
    return math.exp(min(0.0, choices + least * math.log(chance)))
