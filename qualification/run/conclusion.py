"""From a verdict to how a pytest test ends, and what its report carries to the controller.

PASS passes. NOT EXERCISED and UNSUPPORTED skip: nothing was found wrong, and nothing was shown
right. KNOWN is a failure that was expected, pytest's xfail. What speaks against the NIC is a
`QualificationFailure`, an AssertionError; everything else is a `LabError`. So pytest, junit and
Allure tell "failed" from "broken" as people do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.errors import LabError, QualificationFailure, VxqualError
from qualification.inventory import Ends
from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Evidence
from qualification.judge.outcome import Outcome
from qualification.judge.result_row import CellRow, row, signature_of
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.results import allure_report
from qualification.results.run_directory import CellEntry, ControlEntry, dump_entry
from qualification.results.terminal import LETTERS

ROW, BLAMES_NIC = "vxqual_row", "vxqual_blames_nic"
ENTRY, CONTROLS = "vxqual_entry", "vxqual_controls"
"""Attributes of a test report; they travel from worker to controller with it.

The cell's row, whether it speaks against the NIC, and its entry in the store. Where a test came to
a judgement, the controls that were run for it, be there none; other failures are the lab's.
"""

_ROW = TypeAdapter(CellRow)
_EVIDENCE = TypeAdapter(Evidence)


def conclude(outcome: Outcome, ends: Ends) -> None:
    """Ends the running test as the verdict says.

    Raises:
        QualificationFailure: The NIC is to blame.
        LabError: The lab could not judge.
    """
    judgement = outcome.judgement
    signature = signature_of(outcome.cell, judgement, outcome.evidence)
    reason = f"{judgement.reason}; {signature}" if signature else judgement.reason
    allure_report.label(ends, outcome.cell.pair, judgement.verdict, reason)
    if outcome.evidence is not None:
        allure_report.attach(outcome.evidence, _dumped(outcome.evidence))
    match judgement.verdict:
        case Verdict.PASS:
            return
        case Verdict.NOT_EXERCISED | Verdict.UNSUPPORTED:
            pytest.skip(f"{judgement.verdict}: {judgement.reason}")
        case Verdict.KNOWN:
            pytest.xfail(judgement.reason)
    text = f"{judgement.verdict} {outcome.cell.id}: {reason}"
    if outcome.blames_nic:
        raise QualificationFailure(text)
    raise LabError(text)


def conclude_control(pair: str, result: ControlResult, ends: Ends) -> None:
    """Ends the running test as a control came out.

    Raises:
        LabError: The pair cannot be trusted.
    """
    untrusted = Verdict.UNSUPPORTED if result.blocked else Verdict.UNTRUSTED
    verdict = Verdict.PASS if result.trusted else untrusted
    allure_report.label(ends, pair, verdict, result.reason)
    allure_report.attach(result.evidence, _dumped(result.evidence))
    if result.blocked:
        pytest.skip(f"{verdict}: {result.reason}")
    if not result.trusted:
        raise LabError(f"{verdict} {pair}, control {result.name}: {result.reason}")


def mark_controls(
    report: pytest.TestReport, pair: str, controls: Mapping[str, ControlResult]
) -> None:
    """Puts controls that were run, with what they rest on, on the report of the first to ask."""
    entries = [dump_entry(ControlEntry(pair, result)) for result in controls.values()]
    setattr(report, CONTROLS, entries)


def _dumped(evidence: Evidence) -> dict[str, Any]:
    dumped: dict[str, Any] = _EVIDENCE.dump_python(evidence, mode="json")
    return dumped


def sentence(error: BaseException | None) -> str | None:
    """What to print where a traceback would be; None where there has to be one."""
    if isinstance(error, (QualificationFailure, VxqualError)):
        return str(error)
    return None


def mark(report: pytest.TestReport, cell: Cell, outcome: Outcome | None, why: str | None) -> None:
    """Puts the cell's row on its report.

    Args:
        report: The report.
        cell: Its cell.
        outcome: How it ended; None if it did not get so far.
        why: Then, the error's sentence, if it was one of ours.
    """
    if outcome is None:
        reason = why or "vxqual itself failed; the test's report has the traceback"
        made = row(cell, Judgement(Verdict.ERROR, reason))
        evidence, blames_nic = None, False
    else:
        made = row(cell, outcome.judgement, outcome.evidence, outcome.expectation)
        evidence, blames_nic = outcome.evidence, outcome.blames_nic
    entry = (
        CellEntry(cell.id, None, made.verdict, made.reason)
        if evidence is None
        else CellEntry(cell.id, evidence)
    )
    setattr(report, ENTRY, dump_entry(entry))
    setattr(report, ROW, _ROW.dump_python(made, mode="json"))
    setattr(report, BLAMES_NIC, blames_nic)
    report.user_properties += [
        ("verdict", str(made.verdict)),
        ("frames", made.frames),
        ("bad", made.bad),
        ("reason", made.reason),
    ]


def row_of(report: pytest.TestReport) -> CellRow | None:
    """The row that a report carries, if it is a cell's."""
    data = getattr(report, ROW, None)
    return None if data is None else _ROW.validate_python(data)


def status(report: pytest.TestReport) -> tuple[str, str, tuple[str, dict[str, bool]]] | None:
    """Category, letter and word of a cell's report, for pytest's progress."""
    data: dict[str, Any] | None = getattr(report, ROW, None)
    if data is None:
        return None
    verdict = Verdict(data["verdict"])
    category = "xfailed" if verdict is Verdict.KNOWN else report.outcome
    colour = {"passed": "green", "failed": "red", "skipped": "yellow"}[report.outcome]
    return category, LETTERS[verdict], (str(verdict), {colour: True})
