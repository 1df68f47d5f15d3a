"""Rows: what was measured, what it is compared with, and whether the bar is reached. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: What was run, such as "tcpdump -nn -vvv".
        values: The figure of each round, in the row's unit.
    """

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)


@dataclass(frozen=True)
class Bar:
    """The figure that a row has to reach.

    Attributes:
        of: What is compared with it: the median itself, or the ratio to the other side.
        sense: Whether the figure must be at least or at most the value.
        value: The value, in the row's unit or as a ratio.
    """

    of: Literal["value", "ratio"]
    sense: Literal["at least", "at most"]
    value: float

    def reached_by(self, figure: float) -> bool:
        """Returns whether a figure reaches the bar."""
        return figure >= self.value if self.sense == "at least" else figure <= self.value


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        work: What was done, for people.
        unit: The unit of the values, such as "frames/CPU-s".
        ours: The figures of vxqual.
        limit: A sentence on what limits the figure.
        peer: The side it is compared with; None for a row without comparison.
        bar: The bar to reach; None for a row that only informs.
        note: A remark on this measurement, such as the number of frames dropped.
        spoilt: Why the bar counts as missed whatever the figures are; empty if nothing is wrong.
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
        """The ratio of each round, so that a machine whose speed drifts does not distort it."""
        if self.peer is None:
            return ()
        pairs = zip(self.ours.values, self.peer.values, strict=True)
        return tuple(ours / theirs for ours, theirs in pairs)

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios; None for a row without comparison."""
        return median(self.ratios) if self.peer is not None else None

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; None for a row without a bar."""
        if self.bar is None:
            return None
        figure = self.ours.median if self.bar.of == "value" else self.ratio
        return not self.spoilt and figure is not None and self.bar.reached_by(figure)


@dataclass(frozen=True)
class Unmeasured:
    """A measurement that failed.

    Attributes:
        work: What should have been measured.
        why: The error.
    """

    work: str
    why: str


def at_least(ratio: float) -> Bar:
    """Returns the bar of a least ratio to the other side."""
    return Bar("ratio", "at least", ratio)
