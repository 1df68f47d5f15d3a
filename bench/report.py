"""Formats the results of a run as a table and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .machine import Machine
from .rows import Bar, Row, Unmeasured

_HEADINGS = ("work", "unit", "vxqual", "other", "ratio", "bar", "reached")
_LEFT = 2
"""The number of columns that contain text."""


@dataclass(frozen=True)
class Results:
    """The results of a run.

    Attributes:
        machine: The machine.
        rounds: The number of rounds.
        quick: Whether inputs were small, so that the figures are meaningless.
        rows: The rows by kind, measured and unmeasured.
    """

    machine: Machine
    rounds: int
    quick: bool
    rows: dict[str, tuple[Row | Unmeasured, ...]]

    @property
    def all_rows(self) -> tuple[Row | Unmeasured, ...]:
        """The rows of all kinds."""
        return tuple(row for some in self.rows.values() for row in some)


def table(results: Results) -> list[str]:
    """Returns the lines of the table, and below it a line for each unmeasured row."""
    lines = [_HEADINGS, *(cells(row, results.quick) for row in measured(results.all_rows))]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = []
    for line in lines:
        words = [
            word.ljust(width) if at < _LEFT else word.rjust(width)
            for at, (word, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(words).rstrip())
    if results.quick:
        text.append("quick: these figures are meaningless, and are not compared with the bars")
    text += [f"not measured: {row.work}: {row.why}" for row in unmeasured(results.all_rows)]
    return text


def cells(row: Row, quick: bool = False) -> tuple[str, ...]:
    """Returns the cells of a row, column by column."""
    ratio = "" if row.ratio is None else f"{number(row.ratio)}×"
    reached = {True: "yes", False: "NO", None: ""}[None if quick else row.reached]
    other = "" if row.peer is None else number(row.peer.median)
    bar = "" if row.bar is None else bar_text(row.bar, row.unit)
    return row.work, row.unit, number(row.ours.median), other, ratio, bar, reached


def bar_text(bar: Bar, unit: str) -> str:
    """Returns a bar as text, such as "≥ 12×" or "≤ 0.15 s"."""
    sign = "≥" if bar.sense == "at least" else "≤"
    return f"{sign} {bar.value:g}×" if bar.of == "ratio" else f"{sign} {bar.value:g} {unit}"


def number(value: float) -> str:
    """Returns a number with three significant digits: "5.49 M", "204 k", "0.0712"."""
    for unit, size in (("M", 1e6), ("k", 1e4)):
        if abs(value) >= size * 0.9995:
            return f"{_three(value / (1e3 if unit == 'k' else size))} {unit}"
    return _three(value)


def _three(value: float) -> str:
    if abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def measured(rows: Sequence[Row | Unmeasured]) -> list[Row]:
    """Returns the rows that have a figure."""
    return [row for row in rows if isinstance(row, Row)]


def unmeasured(rows: Sequence[Row | Unmeasured]) -> list[Unmeasured]:
    """Returns the rows that have no figure."""
    return [row for row in rows if isinstance(row, Unmeasured)]


def document(results: Results) -> dict[str, Any]:
    """Returns the results as a document for `json.dumps`."""
    return {
        "schema": 1,
        "machine": asdict(results.machine),
        "rounds": results.rounds,
        "quick": results.quick,
        "rows": [
            {
                "kind": kind,
                **asdict(row),
                "median": row.ours.median,
                "peer_median": None if row.peer is None else row.peer.median,
                "ratio": row.ratio,
                "ratios": row.ratios,
                "reached": None if results.quick else row.reached,
            }
            for kind, some in results.rows.items()
            for row in measured(some)
        ],
        "unmeasured": [
            {"kind": kind, **asdict(row)}
            for kind, some in results.rows.items()
            for row in unmeasured(some)
        ],
    }
