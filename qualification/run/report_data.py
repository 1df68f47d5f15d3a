"""What a pytest report carries from the worker to the controller: rows and entries of the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.judge.controls import ControlResult
from qualification.judge.outcome import Outcome
from qualification.judge.pace import PaceFound
from qualification.judge.result_row import CellRow, row
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.results.page.address import address
from qualification.results.run_files import CellEntry, ControlEntry, dump_entry
from qualification.results.terminal.report_line import LETTERS

ROW, BLAMES_NIC = "vxqual_row", "vxqual_blames_nic"
ENTRY, CONTROLS = "vxqual_entry", "vxqual_controls"
"""Attributes of a test report; xdist sends them with it.

They are the cell's row, whether its verdict blames the NIC, and its entry in the store. A report of
a test that came to a judgement has the controls that were run for it, possibly none; the failure of
a report without them is the lab's.
"""

_ROW = TypeAdapter(CellRow)
_PACE = TypeAdapter(PaceFound)


def attach_cell(
    report: pytest.TestReport,
    cell: Cell,
    outcome: Outcome | None,
    error: str | None,
    *,
    stored: bool = False,
) -> None:
    """Puts a cell's row and entry on its report.

    Args:
        report: The report.
        cell: The cell that the test was about.
        outcome: The outcome of the cell; None if the test ended before there was one.
        error: Without an outcome, the sentence of the error, if vxqual raised it on purpose.
        stored: Whether its evidence is stored already.
    """
    if outcome is None:
        reason = error or "vxqual itself failed; the traceback is in the report of the test"
        made = row(cell, Judgement(Verdict.ERROR, reason))
        evidence, blames_nic = None, False
    else:
        made = row(cell, outcome.judgement, outcome.evidence, outcome.expectation, outcome.note)
        evidence, blames_nic = outcome.evidence, outcome.blames_nic
    entry = (
        CellEntry(cell.id, None, made.verdict, made.reason)
        if evidence is None
        else CellEntry(cell.id, evidence, note=outcome.note if outcome else "")
    )
    if not stored:
        setattr(report, ENTRY, dump_entry(entry))
    setattr(report, ROW, _ROW.dump_python(made, mode="json"))
    setattr(report, BLAMES_NIC, blames_nic)
    report.user_properties += [
        ("verdict", str(made.verdict)),
        ("frames", made.frames),
        ("bad", made.bad),
        ("reason", made.reason),
        ("page", address(cell.id)),
    ]


def attach_controls(
    report: pytest.TestReport, pair: str, controls: Mapping[str, ControlResult]
) -> None:
    """Puts the controls that were run, with their evidence, on the report of the first test."""
    entries = [dump_entry(ControlEntry(pair, result)) for result in controls.values()]
    setattr(report, CONTROLS, entries)


def paces_of(report: pytest.TestReport) -> dict[str, PaceFound]:
    """Returns the pace that the controls on a report have found, by pair; empty without any."""
    found = {}
    for data in getattr(report, CONTROLS, ()):
        pace = data["result"]["pace"]
        if pace is not None:
            found[data["pair"]] = _PACE.validate_python(pace)
    return found


def row_of(report: pytest.TestReport) -> CellRow | None:
    """Returns the row that a report carries; None if it is not the report of a cell."""
    data = getattr(report, ROW, None)
    return None if data is None else _ROW.validate_python(data)


def status(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Returns category, letter and word of a cell's report, for pytest's progress."""
    data: dict[str, Any] | None = getattr(report, ROW, None)
    if data is None:
        return None
    verdict = Verdict(data["verdict"])
    category = "xfailed" if verdict is Verdict.KNOWN else report.outcome
    colour = {"passed": "green", "failed": "red", "skipped": "yellow"}[report.outcome]
    return category, LETTERS[verdict], (str(verdict), {colour: True})
