"""The report in the terminal: outcome, pairs, culprits, then the matrix and what explains it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from textwrap import wrap

from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.known.matching import ExpectationNote
from qualification.judge.outcome import NEVER_RAN
from qualification.judge.symptom import Symptom
from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import Matrix, NicRow

from . import culprit_lines, overview
from .explanations import explain
from .report_line import LETTERS, MEANINGS, ReportLine, wrapped
from .table import TRAFFIC_LEGEND, pair_table

NO_CELL = "No cell was run: no NIC was qualified"


def report(
    matrix: Matrix,
    width: int = 100,
    notes: Sequence[ExpectationNote] = (),
    culprits: Sequence[CulpritFindings] = (),
    *,
    every: bool = False,
) -> Iterator[ReportLine]:
    """Yields the whole report, with what to do first.

    First the outcome, the pairs, the culprit with its proof and the command that heals; then the
    matrix, what explains it, and notes on the expectations file.

    Args:
        matrix: The results.
        width: Columns of the terminal.
        notes: Notes on the expectations file.
        culprits: What the search for culprits found.
        every: Whether the matrix of every pair is shown, not only of those that fail.
    """
    yield headline(matrix)
    matrix = as_far_as_it_came(matrix)
    duts = sorted_duts(matrix)
    if len(duts) > 1 and matrix.cells:
        yield ReportLine("")
        yield from overview.lines(matrix, duts)
    yield from culprit_lines.render(matrix, culprits, width)
    yield from render(matrix, width, every=every)
    if notes:
        yield ReportLine("")
        yield ReportLine("expectations", "title")
    for note in notes:
        tone = "" if note.kind == "UNUSED" else "doubt"
        yield from wrapped(f"{note.kind} {note.name}: {note.text}", width, tone)


def sorted_duts(matrix: Matrix) -> list[NicRow]:
    """Returns the NICs that were qualified, by driver and firmware."""
    duts = (nic for nic in matrix.nics if nic.role == "dut")
    return sorted(duts, key=lambda nic: (nic.driver, nic.firmware))


def headline(matrix: Matrix) -> ReportLine:
    """Returns the result of a run in one line; docs/results.md has a table of all."""
    if not matrix.cells:
        return ReportLine(NO_CELL, "doubt")
    outcome, done = matrix.run.outcome, matrix.run.completeness
    count = Counter(cell.verdict for cell in as_far_as_it_came(matrix).cells)
    named = [f"{number:,} {MEANINGS[v]}" for v in Verdict if (number := count[v])]
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


def as_far_as_it_came(matrix: Matrix) -> Matrix:
    """Returns the results without the cells that an interrupted run did not come to."""
    if matrix.run.outcome is not RunOutcome.INTERRUPTED:
        return matrix
    return replace(matrix, cells=tuple(c for c in matrix.cells if c.reason != NEVER_RAN))


def _duts(matrix: Matrix, pairs: Collection[str]) -> str:
    """Returns the DUTs of some pairs, for a headline."""
    return ", ".join(
        f"{nic.pair} ({nic.driver}, firmware {nic.firmware})"
        for nic in matrix.nics
        if nic.role == "dut" and nic.pair in pairs
    )


def render(matrix: Matrix, width: int = 100, *, every: bool = False) -> Iterator[ReportLine]:
    """Yields the matrix, one block per pair, grouped by driver and firmware.

    Args:
        matrix: The results.
        width: Columns of the terminal.
        every: Whether every pair is shown; otherwise, of several pairs, those that are not fine,
            and of the others only the symptom.
    """
    duts = sorted_duts(matrix)
    shown = overview.shown(matrix, duts, every=every)
    peers = {nic.pair: nic for nic in matrix.nics if nic.role == "peer"}
    for (driver, firmware), group in groupby(shown, key=lambda n: (n.driver, n.firmware)):
        yield ReportLine("")
        yield ReportLine(f"driver {driver}, firmware {firmware}", "title")
        for dut in group:
            cells = [cell for cell in matrix.cells if cell.pair == dut.pair]
            tried = any(cell.verdict is not Verdict.ERROR for cell in cells)
            yield from pair_table(dut, peers[dut.pair], cells if tried else ())
            yield from explain(cells, dut.driver, matrix.run.demand.confidence, width)
            yield from _symptoms(matrix, dut.pair, width)
    if shown:
        pairs = {dut.pair for dut in shown}
        used = {cell.verdict for cell in matrix.cells if cell.pair in pairs}
        legend = [f"{LETTERS[v]} {MEANINGS[v]}" for v in Verdict if v in used]
        # A non-breaking space keeps an entry on one line.
        words = [text.replace(" ", "\xa0") for text in (*legend, *TRAFFIC_LEGEND)]
        yield ReportLine("")
        for text in wrap("  ".join(words), width):
            yield ReportLine(text.replace("\xa0", " "))
    hidden = [dut for dut in duts if dut not in shown]
    if hidden:
        yield ReportLine("")
        for dut in hidden:
            yield from _symptoms(matrix, dut.pair, width)
        others = f"{len(hidden)} pairs" if len(hidden) > 1 else hidden[0].pair
        yield ReportLine(f"  -v shows the matrix of {others} as well")


def _symptoms(matrix: Matrix, pair: str, width: int) -> Iterator[ReportLine]:
    for symptom in matrix.symptoms:
        if symptom.pair == pair:
            yield from _symptom(symptom, width)


def _symptom(symptom: Symptom, width: int) -> Iterator[ReportLine]:
    yield from wrapped(f"symptom of {symptom.pair}: {symptom.errors}", width)
    yield from wrapped(f"    {symptom.pace}", width)
