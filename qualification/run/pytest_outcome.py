"""Ends a pytest test as its verdict demands.

PASS passes. NOT EXERCISED and UNSUPPORTED skip: nothing was found wrong, and nothing was shown to
be right. KNOWN is a failure that was expected, pytest's xfail. A verdict against the NIC is a
`QualificationFailure`, an AssertionError; everything else is a `LabError`. So pytest, junit and
Allure distinguish "failed" from "broken".
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.errors import LabError, QualificationFailure, VxqualError
from qualification.inventory import Ends
from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Evidence
from qualification.judge.outcome import Outcome
from qualification.judge.result_row import signature_of
from qualification.judge.verdict import Verdict
from qualification.results import allure_report

_EVIDENCE = TypeAdapter(Evidence)


def conclude(outcome: Outcome, ends: Ends) -> None:
    """Ends the running test as the verdict on its cell demands.

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


def control_verdict(result: ControlResult) -> Verdict:
    """Returns the verdict that a control amounts to."""
    if result.trusted:
        return Verdict.PASS
    return Verdict.UNSUPPORTED if result.blocked else Verdict.UNTRUSTED


def conclude_control(pair: str, result: ControlResult, ends: Ends) -> None:
    """Ends the running test as the result of its control demands.

    Raises:
        LabError: The pair cannot be trusted.
    """
    verdict = control_verdict(result)
    allure_report.label(ends, pair, verdict, result.reason)
    allure_report.attach(result.evidence, _dumped(result.evidence))
    if result.blocked:
        pytest.skip(f"{verdict}: {result.reason}")
    if not result.trusted:
        raise LabError(f"{verdict} {pair}, control {result.name}: {result.reason}")


def sentence(error: BaseException | None) -> str | None:
    """Returns the text to print in place of a traceback; None if the traceback is needed."""
    if isinstance(error, (QualificationFailure, VxqualError)):
        return str(error)
    return None


def _dumped(evidence: Evidence) -> dict[str, Any]:
    dumped: dict[str, Any] = _EVIDENCE.dump_python(evidence, mode="json")
    return dumped
