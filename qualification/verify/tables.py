"""The results of `vxqual verify` for programs: JSON, CSV and lines with tabs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from .document import document, flow_document, frame_document
from .findings import STATES
from .words import ends_of, sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from qualification.stack.counting import KeptFrame

    from .findings import Findings

_FRAME = ("frame", "time", "class", "wrong", "packets", "sentences")
_FLOW = (
    "source", "destination", "vni", "inner_family", "protocol", "frames", "wrong", "unjudged",
    "rate", "rate_low", "rate_high",
)  # fmt: skip


def whole(name: str, found: Findings, form: str) -> Iterator[str]:
    """Yields the result for one capture: a JSON document, or the table of layers as CSV."""
    if form == "json":
        yield json.dumps(document(name, found), indent=2)
        return
    yield _line(("file", "layer", *STATES), ",")
    for layer, row in found.layers.items():
        yield _line((name, layer, *(row[state] for state in STATES)), ",")


def flows(found: Findings, form: str, limit: int | None) -> Iterator[str]:
    """Yields a line for each flow, the worst first, with its rate and an interval of 95 %."""
    yield from _lines(
        _FLOW, (flow_document(each, rates=True) for each in found.flows[:limit]), form
    )


def frame_writer(
    found: Findings, form: str, echo: Callable[[str], None]
) -> Callable[[KeptFrame], None]:
    """Returns a function that prints a line for a frame; the headings are printed at once."""
    for line in _lines(_FRAME, (), form):
        echo(line)
    separator = "," if form == "csv" else "\t"

    def write(kept: KeptFrame) -> None:
        if form == "json":
            echo(json.dumps(frame_document(found, kept)))
        else:
            echo(_line(_frame_cells(found, kept), separator))

    return write


def _frame_cells(found: Findings, kept: KeptFrame) -> tuple[str, ...]:
    """Returns the cells of `_FRAME` as `_cells` makes them of a document, but faster."""
    walk = kept.walk
    seconds = kept.record.time / 1e9
    return (
        str(kept.number),
        f"{seconds:.9g}" if seconds < 1e6 else str(seconds),
        found.class_of(kept).value,
        "yes" if found.is_wrong(kept) else "no",
        "; ".join([" → ".join(ends_of(packet, walk.data)) for packet in walk.packets]),
        "; ".join(sentences(walk)),
    )


def _lines(names: Sequence[str], rows: Iterable[dict[str, Any]], form: str) -> Iterator[str]:
    if form == "json":
        for row in rows:
            yield json.dumps(row)
        return
    separator = "," if form == "csv" else "\t"
    yield _line(names, separator)
    for row in rows:
        yield _line(_cells(names, row), separator)


def _cells(names: Sequence[str], row: dict[str, Any]) -> list[object]:
    def cell(value: object) -> object:
        if isinstance(value, list):
            return "; ".join(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        return f"{value:.9g}" if isinstance(value, float) and value < 1e6 else value

    return ["" if row[name] is None else cell(row[name]) for name in names]


def _line(cells: Sequence[object], separator: str) -> str:
    if separator == "\t":
        return "\t".join(map(str, cells))
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
