"""Several pairs at a glance: a line for each, and which of them have their matrix shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome, pair_outcome
from qualification.results.matrix import Matrix, NicRow

from .report_line import MEANINGS, ReportLine

_SHOWN = (RunOutcome.NOT_QUALIFIED, RunOutcome.NOT_JUDGED, RunOutcome.NOT_EXERCISED)


def lines(matrix: Matrix, duts: Sequence[NicRow]) -> Iterator[ReportLine]:
    """Yields a line for each pair: its name, how it ends, its NIC, its verdicts.

    Args:
        matrix: The results.
        duts: The DUTs, in the order of the report.
    """
    name = max((len(dut.pair) for dut in duts), default=0)
    widest = max(map(len, RunOutcome))
    nics = {dut.pair: f"{dut.host} {dut.interface} ({dut.driver}, {dut.firmware})" for dut in duts}
    longest = max(map(len, nics.values()), default=0)
    for dut in duts:
        cells = [cell for cell in matrix.cells if cell.pair == dut.pair]
        said = outcome(matrix, dut.pair)
        count = Counter(cell.verdict for cell in cells)
        named = [f"{count[v]:,} {MEANINGS[v]}" for v in Verdict if count[v]]
        verdicts = ", ".join(named) or "no cell has run"
        tone = "good" if said is RunOutcome.QUALIFIED else "doubt"
        yield ReportLine(
            f"  {dut.pair:<{name}}  {said:<{widest}}  {nics[dut.pair]:<{longest}}  {verdicts}",
            "bad" if said is RunOutcome.NOT_QUALIFIED else tone,
        )


def shown(matrix: Matrix, duts: Sequence[NicRow], *, every: bool) -> list[NicRow]:
    """Returns the DUTs whose matrix is shown: of several pairs only those that are not fine.

    Args:
        matrix: The results.
        duts: The DUTs, in the order of the report.
        every: Whether all are asked for.
    """
    if every or len(duts) == 1:
        return list(duts)
    return [dut for dut in duts if outcome(matrix, dut.pair) in _SHOWN]


def outcome(matrix: Matrix, pair: str) -> RunOutcome:
    """Returns how the DUT of a pair ends in a run."""
    cells = [cell for cell in matrix.cells if cell.pair == pair]
    return pair_outcome(matrix.run.outcome, matrix.run.completeness, pair, cells)
