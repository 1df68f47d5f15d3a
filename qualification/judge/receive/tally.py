"""Adds up what the receiver saw of the frames of a receive test. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from qualification.judge.statistics import binomial_tail
from qualification.messages.receive import ReceiveResult, ShapeResult
from qualification.wire.crafted.receive_tests import REFERENCE

_CHANCE = 1e-7
"""Probability of losing so many frames of one shape by chance, below which the shape is refused."""


@dataclass(frozen=True)
class ReceiveTally:
    """The sums over the bursts of a receive test.

    Attributes:
        shapes: Results by shape and by the layers that were wrong.
        unexpected: Datagrams that were delivered and never sent.
        drops: Frames that the captures lost.
        counters: Names of the counters that moved.
    """

    shapes: tuple[ShapeResult, ...]
    unexpected: int
    drops: int
    counters: frozenset[str]

    @cached_property
    def right(self) -> tuple[ShapeResult, ...]:
        """Results of right frames."""
        return tuple(t for t in self.shapes if not t.wrong and t.shape != REFERENCE)

    @cached_property
    def wrong(self) -> tuple[ShapeResult, ...]:
        """Results of wrong frames."""
        return tuple(tally for tally in self.shapes if tally.wrong)

    @property
    def frames(self) -> int:
        """Number of frames sent, without the reference frames, which no application gets."""
        return sum(tally.frames for tally in (*self.right, *self.wrong))

    @cached_property
    def accepted(self) -> tuple[ShapeResult, ...]:
        """Results of wrong frames of which some were delivered: false accepts."""
        return tuple(tally for tally in self.wrong if tally.delivered)

    @property
    def altered(self) -> int:
        """Number of datagrams and segments that were delivered with other bytes than were sent."""
        return sum(tally.altered for tally in self.shapes) + self.unexpected

    @property
    def csum_valid(self) -> int:
        """Number of right frames captured with TP_STATUS_CSUM_VALID or TP_STATUS_CSUMNOTREADY."""
        return sum(max(tally.csum_valid, tally.csum_not_ready) for tally in self.right)

    @property
    def missing(self) -> int:
        """Number of right frames that neither a capture nor an application has seen."""
        return sum(map(missing_of, self.right))

    @cached_property
    def refused(self) -> tuple[ShapeResult, ...]:
        """Results of right shapes that miss more frames than the loss of the others explains."""
        return tuple(tally for tally in self.right if self._singled_out(tally))

    def _singled_out(self, tally: ShapeResult) -> bool:
        missing = missing_of(tally)
        others = [t for t in self.shapes if not t.wrong and t.shape != tally.shape]
        # Shapes that are refused themselves say nothing about the loss of the path. The reference
        # is left where a NIC refuses all of them.
        arriving = [other for other in others if missing_of(other) * 2 < other.frames]
        lost = sum(map(missing_of, arriving))
        frames = sum(other.frames for other in arriving)
        if not missing or not frames:
            return False
        return binomial_tail(missing, tally.frames, (lost + 1) / (frames + 2)) < _CHANCE

    @property
    def withheld(self) -> int:
        """Number of right frames that the kernel received and no application got."""
        return sum(max(0, tally.captured - tally.delivered - tally.altered) for tally in self.right)


def receive_tally(results: Iterable[ReceiveResult]) -> ReceiveTally:
    """Returns the sums over bursts.

    Args:
        results: The receiver's results, one for each burst.
    """
    sums: dict[tuple[str, tuple[str, ...]], ShapeResult] = {}
    bursts = tuple(results)
    for burst in bursts:
        for tally in burst.shapes:
            key = tally.shape, tally.wrong
            sums[key] = _added(sums[key], tally) if key in sums else tally
    return ReceiveTally(
        tuple(sums.values()),
        sum(burst.unexpected for burst in bursts),
        sum(burst.drops for burst in bursts),
        frozenset(name for burst in bursts for name in burst.counters),
    )


def missing_of(tally: ShapeResult) -> int:
    """Returns the number of frames that neither a capture nor an application has seen.

    Frames that GRO merged are not captured one by one, but their payload is delivered.
    """
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
