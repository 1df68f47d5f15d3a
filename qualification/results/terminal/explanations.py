"""Why cells are as they are: one sentence for each distinct fault, and for each other reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qualification.judge import aggregate
from qualification.judge.culprit import failure_conditions
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict

from .report_line import ReportLine, wrapped

_MOST_EXPLAINED = 12
_FAILING = (Verdict.FAIL, Verdict.LOSS)
_SETTLED = {Verdict.PASS, Verdict.FAIL, Verdict.LOSS, Verdict.UNSUPPORTED}
_UNEXPLAINED = "unexplained"
"""Signature of wrong frames of which none was explained, often because there are too few."""
_NUMBERS = re.compile(r"\d[\d,.]*")
_FEATURES = re.compile(r"\b[rt]x-[\w-]+(?: and [rt]x-[\w-]+)*")


@dataclass
class _Fault:
    """Failing cells that show the same fault.

    Attributes:
        verdict: FAIL or LOSS.
        sign: Name and layer of its signature; its reason without numbers where there is none.
        culprit: The features whose turning off heals the cells; None where that is not known.
        cells: The cells.
    """

    verdict: Verdict
    sign: str
    culprit: list[str] | None
    cells: list[CellRow] = field(default_factory=list)

    def shows_in(self, cell: CellRow) -> bool:
        """Whether a failing cell shows this fault.

        Cells with the same signature and culprit do. Cells of few frames may lack a signature, and
        cells in a state a culprit, for which no search is made: they show the fault if nothing
        speaks against it and the culprit was in effect in them.
        """
        if cell.verdict is not self.verdict:
            return False
        sign = _sign(cell)
        if cell.culprit == self.culprit and sign == self.sign:
            return True
        if self.culprit is None or sign not in (self.sign, _UNEXPLAINED):
            return False
        return cell.culprit in (self.culprit, None) and all(
            cell.effective.get(name, True) for name in self.culprit
        )


def explain(
    cells: Sequence[CellRow], driver: str, confidence: float, width: int
) -> Iterator[ReportLine]:
    """Yields what all cells of a pair show, then each fault, then a line for each other reason.

    Args:
        cells: The cells of the pair.
        driver: The DUT's driver.
        confidence: The confidence of the run.
        width: Columns of the terminal.
    """
    # A crafted packet set has a fixed number of few frames, which says little about rates.
    bulk = [cell for cell in cells if not cell.flow.packet_set]
    excluded = aggregate.excludes(bulk, driver, confidence)
    if excluded is not None:
        yield from wrapped(excluded, width, "good")
    where = failure_conditions.describe(bulk, driver)
    if where is not None:
        yield from wrapped(f"{cells[0].pair}: {where}", width, "bad")
    found = faults(cells)
    for fault in found[:_MOST_EXPLAINED]:
        first = fault[0]
        signature = f"; {first.signature}" if first.signature else ""
        text = f"{first.verdict} {_named(fault)}: {first.reason}{signature}"
        yield from wrapped(text, width, "bad")
    if len(found) > _MOST_EXPLAINED:
        more = len(found) - _MOST_EXPLAINED
        yield ReportLine(
            f"  and {more} more faults; matrix.json has the reason of each cell", "bad"
        )
    reasons: dict[tuple[Verdict, str], list[CellRow]] = {}
    for cell in cells:
        if cell.verdict not in _SETTLED:
            known = cell.expectation if cell.verdict is Verdict.KNOWN else None
            reasons.setdefault((cell.verdict, known or alike(cell.reason)), []).append(cell)
    for same in list(reasons.values())[:_MOST_EXPLAINED]:
        text = f"{same[0].verdict} {_named(same)}: {same[0].reason}"
        yield from wrapped(text, width, "doubt")
    if len(reasons) > _MOST_EXPLAINED:
        rest = len(reasons) - _MOST_EXPLAINED
        yield ReportLine(
            f"  and {rest} more reasons; matrix.json has the reason of each cell", "doubt"
        )


def faults(cells: Sequence[CellRow]) -> list[list[CellRow]]:
    """Returns the failing cells by the fault that they show; the most telling cell comes first."""
    failing = [cell for cell in cells if cell.verdict in _FAILING]
    # What has both a signature and a culprit says best which fault it is.
    failing.sort(key=lambda c: (c.culprit is None, _sign(c) == _UNEXPLAINED))
    found: list[_Fault] = []
    for cell in failing:
        fault = next((fault for fault in found if fault.shows_in(cell)), None)
        if fault is None:
            fault = _Fault(cell.verdict, _sign(cell), cell.culprit)
            found.append(fault)
        fault.cells.append(cell)
    return [fault.cells for fault in found]


def alike(reason: str) -> str:
    """Returns a reason without the numbers and features in which like sentences differ."""
    return _NUMBERS.sub("#", _FEATURES.sub("…", reason))


def _sign(cell: CellRow) -> str:
    """Returns what identifies the signature of a cell, whose sentence counts frames."""
    if cell.signature is None:
        return alike(cell.reason)
    named = cell.signature.partition(":")[0]
    return _UNEXPLAINED if named.startswith(_UNEXPLAINED) else named


def _named(cells: Sequence[CellRow]) -> str:
    more = len(cells) - 1
    return f"{cells[0].id} and {more:,} more" if more else cells[0].id
