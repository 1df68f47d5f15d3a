"""How verdicts become outcomes, letters and properties of pytest."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from qualification.errors import HostError, LabError, QualificationFailure, UsageError
from qualification.judge.evidence import Evidence
from qualification.judge.outcome import Outcome
from qualification.judge.statistics import Rate
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.plan.features import CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow
from qualification.run import report_data
from qualification.run.pytest_outcome import sentence

SPACE = FeatureSpace(frozenset({CSUM}))
CELL = Cell("x710", OffloadSet(frozenset({CSUM}), SPACE), Flow(4, True, 4, "tcp", True))
FAILED = Judgement(Verdict.FAIL, "3 of 9 are wrong", 9, 3, 0, Rate(1 / 3, 0.1, 0.6))


def report(outcome: str = "failed") -> pytest.TestReport:
    return pytest.TestReport("test_2.py::test_cell[x]", ("", 0, ""), {}, outcome, None, "call")


def outcome(judgement: Judgement, *, blames_nic: bool = False) -> Outcome:
    return Outcome(CELL, judgement, Evidence(effective={CSUM: True}), blames_nic)


def test_a_report_carries_its_row() -> None:
    made = report()
    report_data.attach_cell(made, CELL, outcome(FAILED, blames_nic=True), None)
    assert made.user_properties == [
        ("verdict", "FAIL"),
        ("frames", 9),
        ("bad", 3),
        ("reason", "3 of 9 are wrong"),
        ("page", f"matrix.html#at={quote(CELL.id, safe='')}"),
    ]
    assert getattr(made, report_data.BLAMES_NIC) is True
    # Over the wire from a worker, as xdist does it.
    again = pytest.TestReport._from_json(made._to_json())
    row = report_data.row_of(again)
    assert row is not None
    assert (row.id, row.verdict, row.effective) == (CELL.id, Verdict.FAIL, {CSUM: True})
    assert row.rate_high == 0.6


def test_a_report_carries_what_is_stored() -> None:
    made = report()
    report_data.attach_cell(made, CELL, outcome(FAILED, blames_nic=True), None)
    found = getattr(pytest.TestReport._from_json(made._to_json()), report_data.ENTRY)
    assert (found["kind"], found["id"], found["verdict"]) == ("cell", CELL.id, None)
    assert found["evidence"]["effective"] == {CSUM: True}
    report_data.attach_cell(made, CELL, None, "the cable fell out")
    found = getattr(made, report_data.ENTRY)
    assert (found["evidence"], found["verdict"], found["reason"]) == (
        None, "ERROR", "the cable fell out",
    )  # fmt: skip


def test_a_cell_that_never_got_to_a_verdict_is_an_error() -> None:
    made = report()
    report_data.attach_cell(made, CELL, None, "alpha: the SSH connection is lost: closed")
    row = report_data.row_of(made)
    assert row is not None
    assert (row.verdict, row.reason) == (
        Verdict.ERROR,
        "alpha: the SSH connection is lost: closed",
    )
    assert getattr(made, report_data.BLAMES_NIC) is False


def test_a_report_of_anything_else_has_no_row() -> None:
    assert report_data.row_of(report()) is None
    assert report_data.status(report()) is None


LETTERS = {
    Verdict.PASS: ".",
    Verdict.FAIL: "F",
    Verdict.LOSS: "L",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_EXERCISED: "-",
    Verdict.UNSUPPORTED: "n",
    Verdict.UNTRUSTED: "U",
    Verdict.ERROR: "E",
    Verdict.KNOWN: "K",
}


@pytest.mark.parametrize("verdict", Verdict)
def test_letters_and_words(verdict: Verdict) -> None:
    made = report("passed")
    report_data.attach_cell(made, CELL, outcome(replace(FAILED, verdict=verdict)), None)
    assert report_data.status(made) == (
        "xfailed" if verdict is Verdict.KNOWN else "passed",
        LETTERS[verdict],
        (str(verdict), {"green": True}),
    )


def test_our_errors_are_sentences_and_others_tracebacks() -> None:
    for error in (
        QualificationFailure("it is wrong"),
        LabError("no light", hint="press the switch"),
        HostError("gone", where="alpha"),
        UsageError("no such file", where="lab.yaml"),
    ):
        assert sentence(error) == str(error)
    assert sentence(ZeroDivisionError("by hand")) is None
    assert sentence(AssertionError("of pytest")) is None
    assert sentence(None) is None
