"""Ends a pytest test as its verdict demands.

PASS passes. NOT EXERCISED and UNSUPPORTED skip: nothing was found wrong, and nothing was shown to
be right. KNOWN is a failure that was expected, pytest's xfail. A verdict against the NIC is a
`QualificationFailure`, an AssertionError; everything else is a `LabError`.
"""

from __future__ import annotations

import pytest

from qualification.errors import LabError, QualificationFailure, VxqualError
from qualification.judge.controls import ControlResult
from qualification.judge.outcome import Outcome, control_verdict
from qualification.judge.result_row import signature_of
from qualification.judge.verdict import Verdict


def conclude(outcome: Outcome) -> None:
    """Ends the running test as the verdict on its cell demands.

    Raises:
        QualificationFailure: The NIC is to blame.
        LabError: The lab could not judge.
    """
    judgement = outcome.judgement
    signature = signature_of(outcome.cell, judgement, outcome.evidence)
    reason = f"{judgement.reason}; {signature}" if signature else judgement.reason
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


def conclude_control(pair: str, result: ControlResult) -> None:
    """Ends the running test as the result of its control demands.

    Raises:
        LabError: The pair cannot be trusted.
    """
    verdict = control_verdict(result)
    if result.blocked:
        pytest.skip(f"{verdict}: {result.reason}")
    if not result.trusted:
        raise LabError(f"{verdict} {pair}, control {result.name}: {result.reason}")


def sentence(error: BaseException | None) -> str | None:
    """Returns the text to print in place of a traceback; None if the traceback is needed."""
    if isinstance(error, (QualificationFailure, VxqualError)):
        return str(error)
    return None
