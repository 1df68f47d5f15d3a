"""Cells of both runs, with the frames that their verdicts rest on."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from qualification.judge.result_row import CellRow
from qualification.judge.statistics import fisher
from qualification.judge.verdict import Verdict, percent

from .model import FAILING

LEVEL = 1e-4
"""Probability with which two runs of one and the same NIC show any change in any cell. Of nightly
comparisons one in 27 years is wrong by chance, and the exact test errs less often than it may."""


@dataclass(frozen=True)
class Both:
    """A cell of both runs that can be compared.

    Attributes:
        pair: Number of the pair that it is of.
        old: Its row in the old run.
        new: Its row in the new run.
    """

    pair: int
    old: CellRow
    new: CellRow

    @property
    def failed(self) -> bool:
        """Whether the NIC failed in the old run."""
        return self.old.verdict in FAILING

    @property
    def fails(self) -> bool:
        """Whether the NIC fails in the new run."""
        return self.new.verdict in FAILING

    @property
    def counts(self) -> Counts:
        """The frames that the two verdicts rest on."""
        losses = {self.old.verdict, self.new.verdict} & {Verdict.LOSS, Verdict.KNOWN}
        if losses and not (_wrong(self.old) or _wrong(self.new)):
            return Counts(
                self.old.lost,
                self.old.frames + self.old.lost,
                self.new.lost,
                self.new.frames + self.new.lost,
                "lost",
            )
        was, now = _wrong(self.old), _wrong(self.new)
        return Counts(was, max(was, self.old.frames), now, max(now, self.new.frames), "wrong")

    @property
    def traffic(self) -> Hashable:
        """What is tested together: a crafted packet set or bulk, on this pair."""
        flow = self.new.flow
        return self.pair, flow.direction, flow.packet_set, flow.state, flow.load, self.counts.what


@dataclass(frozen=True)
class Counts:
    """Wrong or lost frames of both runs.

    Attributes:
        old: Such frames in the old run.
        old_of: All frames of the old run.
        new: Such frames in the new run.
        new_of: All frames of the new run.
        what: "wrong" or "lost".
    """

    old: int
    old_of: int
    new: int
    new_of: int
    what: str

    @property
    def rose(self) -> bool:
        """Whether the rate is higher in the new run."""
        return self.new * self.old_of > self.old * self.new_of

    @property
    def chance(self) -> float:
        """The two-sided p-value: twice that of Fisher's exact test in the direction seen."""
        if not (self.old or self.new) or not (self.old_of and self.new_of):
            return 1.0
        worse, better = (self.new, self.new_of), (self.old, self.old_of)
        if not self.rose:
            worse, better = better, worse
        return min(1.0, 2 * fisher(*worse, *better))

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.old + other.old,
            self.old_of + other.old_of,
            self.new + other.new,
            self.new_of + other.new_of,
            self.what,
        )

    def __str__(self) -> str:
        """Returns a phrase for people."""
        before, now = _share(self.old, self.old_of), _share(self.new, self.new_of)
        return (
            f"{self.old:,} of {self.old_of:,} frames {self.what} before{before}, "
            f"{self.new:,} of {self.new_of:,} now{now}"
        )


def sign(row: CellRow) -> str:
    """Returns what identifies the fault of a cell, whose sentence counts frames."""
    return (row.signature or row.verdict).partition(":")[0]


def _wrong(row: CellRow) -> int:
    return max(row.bad, row.wrong)


def _share(bad: int, of: int) -> str:
    return f" ({percent(bad / of)})" if bad and of else ""
