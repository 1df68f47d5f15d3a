"""The symptom of a pair as a pytest test, which never fails and whose report has its own row."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.judge.symptom import Runs, Symptom, summarise
from qualification.results.run_files import SymptomEntry, dump_entry

CALLS = "vxqual_calls"
"""An attribute of a test report, the entry of the store; xdist sends it with it."""

_ENTRY = TypeAdapter(SymptomEntry)

LEFT_OUT = "not requested: only the plans standard and full include it; give --symptom"


def conclude_symptom(pair: str, runs: Runs | None) -> Symptom:
    """Ends the running test: with the figures of its calls, or skipped if a control failed."""
    if runs is None:
        pytest.skip("a control failed, so calls would show nothing about the NIC")
    return summarise(pair, runs)


def properties(symptom: Symptom) -> list[tuple[str, object]]:
    """Returns what junit reports of a symptom."""
    return [("symptom", symptom.errors), ("pace", symptom.pace)]


def attach_calls(report: pytest.TestReport, pair: str, runs: Runs) -> None:
    """Puts the calls that were made on their test's report."""
    setattr(report, CALLS, dump_entry(SymptomEntry(pair, runs)))


def symptom_of(report: pytest.TestReport) -> Symptom | None:
    """Returns the symptom that a report carries; None if it carries none."""
    data: dict[str, Any] | None = getattr(report, CALLS, None)
    if data is None:
        return None
    entry = _ENTRY.validate_python(data)
    return summarise(entry.pair, entry.runs)
