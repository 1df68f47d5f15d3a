"""Rows: what was measured, against what, and whether it is enough. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Side:
    """One of the two that are compared.

    Attributes:
        name: What was run, such as "tcpdump -nn -vvv".
        values: What came of it in each round, in the row's unit.
    """

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one of the rounds."""
        return median(self.values)


@dataclass(frozen=True)
class Bar:
    """What a row has to reach.

    Attributes:
        of: What is held against it: the median itself, or the ratio to the other side.
        sense: Whether more is better.
        value: In the row's unit, or a ratio.
    """

    of: Literal["value", "ratio"]
    sense: Literal["at least", "at most"]
    value: float

    def reached_by(self, figure: float) -> bool:
        """Whether a figure is enough."""
        return figure >= self.value if self.sense == "at least" else figure <= self.value


@dataclass(frozen=True)
class Row:
    """One work that was measured.

    Attributes:
        work: What was done, for people.
        unit: Of the values, such as "frames/CPU-s".
        ours: What was measured of vxqual.
        limit: A sentence on what limits the figure.
        peer: What it is held against; None where the figure speaks for itself.
        bar: What has to be reached; None for a row that only informs.
        note: What else there is to know of this very measurement, such as frames dropped.
        spoilt: Why the bar is not reached whatever the figures say; empty if nothing is wrong.
    """

    work: str
    unit: str
    ours: Side
    limit: str
    peer: Side | None = None
    bar: Bar | None = None
    note: str = ""
    spoilt: str = ""

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours by the other's of each round, so that a machine whose speed drifts does no harm."""
        if self.peer is None:
            return ()
        pairs = zip(self.ours.values, self.peer.values, strict=True)
        return tuple(ours / theirs for ours, theirs in pairs)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios; None where there is nothing to compare with."""
        return median(self.ratios) if self.peer is not None else None

    @property
    def reached(self) -> bool | None:
        """Whether the bar is; None where there is none."""
        if self.bar is None:
            return None
        figure = self.ours.median if self.bar.of == "value" else self.ratio
        return not self.spoilt and figure is not None and self.bar.reached_by(figure)


@dataclass(frozen=True)
class Unmeasured:
    """A work of which there is no figure.

    Attributes:
        work: What was to be measured.
        why: What was in the way.
    """

    work: str
    why: str


def at_least(ratio: float) -> Bar:
    """So many times the other side."""
    return Bar("ratio", "at least", ratio)
