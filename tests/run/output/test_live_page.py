"""The page of a run while it goes on: when it is written, and what opens it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qualification.judge.outcome import Outcome
from qualification.judge.statistics import rate
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.results.conclusion import RunOutcome, Selection
from qualification.run import report_data
from qualification.run.output.live_page import LivePage, show
from qualification.run.output.run_output import RunOutput
from qualification.run.run_results import RunResults
from tests.results.conftest import ALL_ON, TCP, Make, built, campaign, made
from tests.results.page.conftest import evidence, tunnel_frame

__all__ = ["campaign"]


class Clock:
    """A clock that goes on by itself while a page is written, and by hand else."""

    def __init__(self) -> None:
        self.now, self.step = 100.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def shown(file: Path) -> Any:
    """The data that a page carries."""
    (text,) = re.findall(r'id="data">(.*?)</script>', file.read_text(), re.DOTALL)
    return json.loads(text)


def test_it_is_written_now_and_then(campaign: Make, tmp_path: Path) -> None:
    """At most every three seconds; and if it takes long, for 2 % of the time."""
    clock = Clock()
    page = LivePage(tmp_path / "matrix.html", clock)
    matrix = built(campaign(x710=("i40e", "1")), [made(ALL_ON, TCP)])
    assert (page.due, page.begun) == (True, False)
    page.write(matrix, (), live=True, troubles=())
    assert (page.due, page.begun) == (False, True)
    clock.now += 2.9
    assert not page.due
    clock.now += 0.2
    assert page.due
    clock.step = 1.0  # each look at the clock takes as long: 1 s for the page
    page.write(matrix, (), live=True, troubles=("a cable fell out",))
    clock.step = 0.0
    clock.now += 49
    assert not page.due
    clock.now += 2
    assert page.due
    data = shown(tmp_path / "matrix.html")
    assert data["run"]["outcome"] == "RUNNING"
    assert data["run"]["troubles"] == ["a cable fell out"]
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.html"], "nothing is left over"


def test_it_has_the_evidence_of_the_cells_that_have_run(campaign: Make, tmp_path: Path) -> None:
    cell = Cell("x710", ALL_ON, TCP)
    judgement = Judgement(Verdict.FAIL, "30 are wrong", 1000, 30, 0, rate(30, 1000, 0.999))
    outcome = Outcome(cell, judgement, evidence(tunnel_frame()), True)
    report = pytest.TestReport("test[x]", ("", 0, ""), {}, "failed", None, "call")
    report_data.attach_cell(report, cell, outcome, None)
    page = LivePage(tmp_path / "matrix.html")
    page.take(pytest.TestReport._from_json(report._to_json()), 0.999)
    matrix = built(
        campaign(x710=("i40e", "1")),
        [made(ALL_ON, TCP, Verdict.FAIL, frames=1000, bad=30)],
        outcome=RunOutcome.NOT_QUALIFIED,
    )
    page.write(matrix, (), live=False, troubles=())
    (found,) = shown(tmp_path / "matrix.html")["cells"]
    assert found["detail"]["frame"]["findings"][0].startswith("outer UDP checksum is 0x1234")


def test_a_page_that_cannot_be_made_costs_the_run_nothing(
    campaign: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = campaign(x710=("i40e", "1"))
    results = RunResults(None, Selection())
    results.select(run, [cell.id for cell in run.cells("x710")])
    output = RunOutput()
    output._page = LivePage(tmp_path / "gone" / "matrix.html")
    output.follow(None, results, run)
    assert "the page cannot be written: No such file" in caplog.text.replace("[Errno 2] ", "")
    report = pytest.TestReport("test[x]", ("", 0, ""), {}, "failed", None, "call")
    setattr(report, report_data.ROW, {"id": "not a row"})
    output.follow(report, results, run)
    assert "the page of the run cannot be made" in caplog.text
    output.begin_page(results, run, pytest.fail)


def test_a_browser_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own, and none in the terminal of the run."""
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not show(tmp_path / "matrix.html")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/asked\n')
    browser.chmod(0o755)
    # webbrowser reads it once in the life of a process.
    environ = {**os.environ, "BROWSER": str(browser)}
    code = "import sys, pathlib; from qualification.run.output.live_page import show; "
    code += "sys.exit(not show(pathlib.Path(sys.argv[1])))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "matrix.html")],
        env=environ,
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "asked").read_text() == (tmp_path / "matrix.html").as_uri()
