"""From a verdict to how a pytest test ends, and what its report carries to the controller.

PASS passes. NOT EXERCISED and UNSUPPORTED skip: nothing was found wrong, and nothing was shown
right. What speaks against the NIC is a `QualificationFailure`, an AssertionError; everything else
is a `LabError`. So pytest, junit and Allure tell "failed" from "broken" as people do.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.errors import LabError, QualificationFailure, VxqualError
from qualification.inventory import Ends
from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Evidence
from qualification.judge.ruling import CellRow, row, signature_of
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.results import allure_report
from qualification.results.terminal import LETTERS

from .bench import Outcome

ROW, EVIDENCE, BLAMES_NIC = "vxqual_row", "vxqual_evidence", "vxqual_blames_nic"
"""Attributes of a test report; they travel from worker to controller with it."""

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
    text = f"{judgement.verdict} {outcome.cell.id}: {reason}"
    if outcome.blames_nic:
        raise QualificationFailure(text)
    raise LabError(text)


def conclude_control(pair: str, result: ControlResult, ends: Ends) -> None:
    """Ends the running test as a control came out.

    Raises:
        LabError: The pair cannot be trusted.
    """
    verdict = Verdict.PASS if result.trusted else Verdict.UNTRUSTED
    allure_report.label(ends, pair, verdict, result.reason)
    allure_report.attach(result.evidence, _dumped(result.evidence))
    if not result.trusted:
        raise LabError(f"{verdict} {pair}, control {result.name}: {result.reason}")


def mark_control(report: pytest.TestReport, pair: str, result: ControlResult) -> None:
    """Puts what a control rests on, on its report."""
    setattr(report, EVIDENCE, {"id": f"{pair}/{result.name}", "evidence": _dumped(result.evidence)})


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
        blames_nic = False
    else:
        made = row(cell, outcome.judgement, outcome.evidence)
        blames_nic = outcome.blames_nic
        if outcome.evidence is not None:
            setattr(report, EVIDENCE, {"id": cell.id, "evidence": _dumped(outcome.evidence)})
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
    colour = {"passed": "green", "failed": "red", "skipped": "yellow"}[report.outcome]
    return report.outcome, LETTERS[verdict], (str(verdict), {colour: True})
