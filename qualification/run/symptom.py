"""A pair's symptom as a pytest test: it never fails, and its report carries a row of its own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.inventory import Ends
from qualification.judge.symptom import Runs, Symptom, summarise
from qualification.results import allure_report

_ATTRIBUTE = "vxqual_symptom"
"""Of a test report; travels from worker to controller with it."""

_SYMPTOM = TypeAdapter(Symptom)
_RUNS = TypeAdapter(Runs)

LEFT_OUT = "not asked for: the plans standard and full have it, others with --symptom"


def conclude_symptom(pair: str, runs: Runs | None, ends: Ends) -> Symptom:
    """Ends the running test: told what calls came to, or skipped where nothing can be said."""
    if runs is None:
        pytest.skip("a control failed: what calls would come to says nothing")
    symptom = summarise(pair, runs)
    allure_report.label(ends, pair, None, f"{symptom.errors}\n\n{symptom.pace}")
    allure_report.attach_json(
        "symptom.json",
        {
            "symptom": _SYMPTOM.dump_python(symptom, mode="json"),
            "runs": _RUNS.dump_python(runs, mode="json"),
        },
    )
    return symptom


def properties(symptom: Symptom) -> list[tuple[str, object]]:
    """What junit tells of a symptom."""
    return [("symptom", symptom.errors), ("pace", symptom.pace)]


def mark_symptom(report: pytest.TestReport, symptom: Symptom) -> None:
    """Puts a symptom on its test's report."""
    setattr(report, _ATTRIBUTE, _SYMPTOM.dump_python(symptom, mode="json"))


def symptom_of(report: pytest.TestReport) -> Symptom | None:
    """The symptom that a report carries, if it is one's."""
    data: dict[str, Any] | None = getattr(report, _ATTRIBUTE, None)
    return None if data is None else _SYMPTOM.validate_python(data)
