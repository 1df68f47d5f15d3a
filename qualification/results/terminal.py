"""The report in the terminal: the headline, the matrix of each pair, the reasons of its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from qualification.judge import aggregate
from qualification.judge.culprit import failure_conditions
from qualification.judge.known.matching import ExpectationNote
from qualification.judge.result_row import CellRow
from qualification.judge.symptom import Symptom
from qualification.judge.verdict import Verdict

from .gate import RunOutcome
from .matrix import Matrix
from .report_line import LETTERS, MEANINGS, ReportLine, wrapped
from .terminal_table import TRAFFIC_LEGEND, pair_table

_MOST_EXPLAINED = 12

NO_CELL = "No cell was run: no NIC was qualified"


def report(
    matrix: Matrix, width: int = 100, findings: Sequence[ExpectationNote] = ()
) -> Iterator[ReportLine]:
    """Yields the whole report: the headline, the matrix, then notes on the expectations file.

    Args:
        matrix: The results.
        width: Columns of the terminal.
        findings: Notes on the expectations file.
    """
    yield headline(matrix)
    yield from render(matrix, width)
    if findings:
        yield ReportLine("")
        yield ReportLine("expectations", "title")
    for finding in findings:
        tone = "" if finding.kind == "UNUSED" else "doubt"
        yield from wrapped(f"{finding.kind} {finding.name}: {finding.text}", width, tone)


def headline(matrix: Matrix) -> ReportLine:
    """Returns the result of a run in one line; docs/results.md has a table of all."""
    if not matrix.cells:
        return ReportLine(NO_CELL, "doubt")
    outcome, done = matrix.run.outcome, matrix.run.completeness
    count = Counter(cell.verdict for cell in matrix.cells)
    if outcome is RunOutcome.INTERRUPTED:  # cells that never ran are errors of nobody
        count[Verdict.ERROR] -= done.selected - done.run
    named = [f"{number:,} {MEANINGS[v]}" for v in Verdict if (number := count[v]) > 0]
    verdicts = ", ".join(named)
    known = " except for known failures" if count[Verdict.KNOWN] else ""
    partial = f"{done.selected:,} of {done.planned:,} cells: {verdicts}"
    cells = partial if done.selected < done.planned else f"{done.planned:,} cells: {verdicts}"
    match outcome:
        case RunOutcome.QUALIFIED:
            return ReportLine(f"QUALIFIED{known}. {cells}", "doubt" if known else "good")
        case RunOutcome.NOT_QUALIFIED:
            pairs = {c.pair for c in matrix.cells if c.verdict in (Verdict.FAIL, Verdict.LOSS)}
            return ReportLine(f"NOT QUALIFIED: {_duts(matrix, pairs)}. {cells}", "bad")
        case RunOutcome.INTERRUPTED:
            bad = count[Verdict.FAIL] or count[Verdict.LOSS]
            text = f"INTERRUPTED, {done.run:,} of {done.selected:,} done"
            return ReportLine(f"{text}{': ' * bool(verdicts)}{verdicts}", "bad" if bad else "doubt")
        case RunOutcome.PARTIAL:
            return ReportLine(f"PARTIAL{known}: {partial}", "doubt")
        case RunOutcome.NOT_EXERCISED:
            what = f"{done.exercised:,} of {done.essential:,} essential cells exercised the NIC"
            idle = _duts(matrix, done.idle) or "no cell that was selected has work for the NIC"
            return ReportLine(f"NOT EXERCISED: {idle}; {what}. {cells}", "doubt")
    return ReportLine(f"NOT JUDGED: the lab could not decide. {cells}", "doubt")


def _duts(matrix: Matrix, pairs: Collection[str]) -> str:
    """Returns the DUTs of some pairs, for a headline."""
    return ", ".join(
        f"{nic.pair} ({nic.driver}, firmware {nic.firmware})"
        for nic in matrix.nics
        if nic.role == "dut" and nic.pair in pairs
    )


def render(matrix: Matrix, width: int = 100) -> Iterator[ReportLine]:
    """Yields the whole matrix, one block per pair, grouped by driver and firmware.

    Args:
        matrix: The results.
        width: Columns of the terminal.
    """
    duts = sorted(
        (nic for nic in matrix.nics if nic.role == "dut"), key=lambda n: (n.driver, n.firmware)
    )
    peers = {nic.pair: nic for nic in matrix.nics if nic.role == "peer"}
    for (driver, firmware), group in groupby(duts, key=lambda n: (n.driver, n.firmware)):
        yield ReportLine("")
        yield ReportLine(f"driver {driver}, firmware {firmware}", "title")
        for dut in group:
            cells = [cell for cell in matrix.cells if cell.pair == dut.pair]
            yield from pair_table(dut, peers[dut.pair], cells)
            yield from _explained(cells, dut.driver, matrix.run.demand.confidence, width)
            for symptom in matrix.symptoms:
                if symptom.pair == dut.pair:
                    yield from _symptom(symptom, width)
    used = {cell.verdict for cell in matrix.cells}
    legend = [f"{LETTERS[v]} {MEANINGS[v]}" for v in Verdict if v in used]
    words = [text.replace(" ", "\xa0") for text in (*legend, *TRAFFIC_LEGEND)]  # not to be wrapped
    yield ReportLine("")
    yield from (ReportLine(text.replace("\xa0", " ")) for text in wrap("  ".join(words), width))


def _explained(
    cells: Sequence[CellRow], driver: str, confidence: float, width: int
) -> Iterator[ReportLine]:
    """Yields what all cells show, then each failing cell, then a line for each other reason."""
    # A crafted packet set has a fixed number of few frames, which says little about rates.
    bulk = [cell for cell in cells if not cell.flow.packet_set]
    excluded = aggregate.excludes(bulk, driver, confidence)
    if excluded is not None:
        yield from wrapped(excluded, width, "good")
    where = failure_conditions.describe(bulk, driver)
    if where is not None:
        yield from wrapped(f"{cells[0].pair}: {where}", width, "bad")
    failing = [cell for cell in cells if cell.verdict in (Verdict.FAIL, Verdict.LOSS)]
    for cell in failing[:_MOST_EXPLAINED]:
        signature = f"; {cell.signature}" if cell.signature else ""
        yield from wrapped(f"{cell.verdict} {cell.id}: {cell.reason}{signature}", width, "bad")
    if len(failing) > _MOST_EXPLAINED:
        more = len(failing) - _MOST_EXPLAINED
        yield ReportLine(
            f"  and {more} more failing cells; matrix.json has the reason of each", "bad"
        )
    settled = {Verdict.PASS, Verdict.FAIL, Verdict.LOSS, Verdict.UNSUPPORTED}
    doubts = [cell for cell in cells if cell.verdict not in settled]
    reasons: dict[tuple[Verdict, str], list[CellRow]] = {}
    for cell in doubts:
        why = cell.expectation if cell.verdict is Verdict.KNOWN else None
        reasons.setdefault((cell.verdict, why or cell.reason), []).append(cell)
    for (verdict, _), alike in list(reasons.items())[:_MOST_EXPLAINED]:
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        first = alike[0]
        yield from wrapped(f"{verdict} {first.id}{others}: {first.reason}", width, "doubt")
    if len(reasons) > _MOST_EXPLAINED:
        rest = len(reasons) - _MOST_EXPLAINED
        yield ReportLine(
            f"  and {rest} more reasons; matrix.json has the reason of each cell", "doubt"
        )


def _symptom(symptom: Symptom, width: int) -> Iterator[ReportLine]:
    yield from wrapped(f"symptom of {symptom.pair}: {symptom.errors}", width)
    yield from wrapped(f"    {symptom.pace}", width)
