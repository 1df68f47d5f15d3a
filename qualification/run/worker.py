"""A worker's part of a run, as pytest hooks: parameters, fixtures, rows on reports.

Without xdist the only process has both this part and the controller's.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult
from qualification.judge.outcome import Outcome, control_verdict
from qualification.judge.symptom import Runs
from qualification.plan.cells import Cell
from qualification.plan.flows import STATES

from . import culprits, pytest_outcome, report_data, symptom
from .cell_runner import CellRunner
from .ending import left_changed
from .ending.workers import RUNNER, put_hosts_back
from .output import live_allure, log
from .resume.kept import Kept
from .stash_keys import CALLS, CAMPAIGN, CONTROLS, CULPRIT, KEPT, OUTCOME, STORED


class Worker:
    """Runs cells.

    Args:
        campaign: The run; None if the controller in this process makes it later.
        kept: The directory of the run, if it is continued.
    """

    def __init__(self, campaign: Campaign | None = None, kept: Path | None = None) -> None:
        self._campaign, self._kept = campaign, kept

    @classmethod
    def from_json(cls, data: dict[str, Any], kept: str | None) -> Worker:
        """Returns a worker for the campaign that the controller has passed."""
        return cls(Campaign.parse(data), None if kept is None else Path(kept))

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Puts the campaign into the stash of the config."""
        if self._campaign is not None:
            session.config.stash[CAMPAIGN] = self._campaign
            if self._kept is not None:
                session.config.stash[KEPT] = self._kept
            # The controller ends its workers when the terminal is closed, as it does by Ctrl-C.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            log.endure(session.config)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Makes a test for each cell, control and pair to search, from the campaign alone."""
        campaign = metafunc.config.stash.get(CAMPAIGN, None)
        if campaign is None:
            return
        if "cell" in metafunc.fixturenames:
            received = metafunc.definition.get_closest_marker("receive") is not None
            direction = "receive" if received else "send"
            cells = [
                cell
                for pair in campaign.pairs
                for cell in campaign.cells(pair)
                if cell.flow.direction == direction
            ]
            metafunc.parametrize(
                "cell",
                [
                    pytest.param(cell, marks=[pytest.mark.crafted] if cell.flow.packet_set else [])
                    for cell in cells
                ],
                ids=[cell.id for cell in cells],
            )
        if "control" in metafunc.fixturenames:
            controls = [name for pair in campaign.pairs for name in campaign.controls(pair)]
            metafunc.parametrize(
                "control", [tuple(name.split("/")) for name in controls], ids=controls
            )
        if "symptom" in metafunc.fixturenames:
            left_out = [] if campaign.symptom else [pytest.mark.skip(reason=symptom.LEFT_OUT)]
            metafunc.parametrize(
                "symptom",
                [
                    pytest.param(pair, id=f"{pair}/symptom", marks=left_out)
                    for pair in campaign.pairs
                ],
            )
        if "suspect" in metafunc.fixturenames:
            ids = [f"{pair}/culprit" for pair in campaign.pairs]
            metafunc.parametrize("suspect", campaign.pairs, ids=ids)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Sorts the tests by pair, so that the hosts of each pair are set up once.

        Cells in a state come last, after the search for culprits and the symptom, which need the
        NIC in the condition in which its other cells ran.
        """
        order = {pair: index for index, pair in enumerate(config.stash[CAMPAIGN].pairs)}
        states = ["", *STATES]

        def place(item: pytest.Item) -> tuple[int, int]:
            parameters = _parameters(item)
            cell = parameters.get("cell")
            state = cell.flow.state if isinstance(cell, Cell) else ""
            return order.get(parameters.get("pair", ""), -1), states.index(state)

        items.sort(key=place)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Puts the cell's row on the report, and a sentence in place of a traceback."""
        report = yield
        text = pytest_outcome.sentence(call.excinfo.value if call.excinfo else None)
        if text is not None and report.failed:
            report.longrepr = text
        cell = _parameters(item).get("cell")
        if isinstance(cell, Cell) and (call.when == "call" or report.failed):
            outcome, stored = item.stash.get(OUTCOME, None), item.stash.get(STORED, False)
            report_data.attach_cell(report, cell, outcome, text, stored=stored)
            # Junit takes them from the report of the teardown, which takes them from the item.
            item.user_properties[:] = report.user_properties
        if RUNNER in item.config.stash:
            left_changed.attach(report, item.config.stash[RUNNER].left_changed)
        if call.when == "call" and CONTROLS in item.stash:
            report_data.attach_controls(report, *item.stash[CONTROLS])
        if call.when == "call" and CULPRIT in item.stash:
            culprits.attach_search(report, item.stash[CULPRIT])
        if call.when == "call" and CALLS in item.stash:
            symptom.attach_calls(report, *item.stash[CALLS])
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Puts the hosts back, also after Ctrl-C, and tells the controller what stays changed."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[left_changed.KEY] = put_hosts_back(session.config)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> Any:
        """Returns verdicts as letters and words."""
        return report_data.status(report)


def _parameters(item: pytest.Item) -> dict[str, Any]:
    """Returns the parameters of a test, with the pair that they are about."""
    callspec = getattr(item, "callspec", None)
    parameters: dict[str, Any] = dict(callspec.params) if callspec is not None else {}
    if "cell" in parameters:
        parameters["pair"] = parameters["cell"].pair
    elif "control" in parameters:
        parameters["pair"] = parameters["control"][0]
    elif "symptom" in parameters:
        parameters["pair"] = parameters["symptom"]
    elif "suspect" in parameters:
        parameters["pair"] = parameters["suspect"]
    return parameters


def _selected(items: Iterable[pytest.Item]) -> dict[str, list[Cell]]:
    """Returns the cells of the pairs whose cells, but not whose controls, were selected."""
    cells: dict[str, list[Cell]] = {}
    whole = set()
    for item in items:
        parameters = _parameters(item)
        if "cell" in parameters:
            cells.setdefault(parameters["pair"], []).append(parameters["cell"])
        elif "control" in parameters:
            whole.add(parameters["pair"])
    return {pair: found for pair, found in cells.items() if pair not in whole}


@pytest.fixture(scope="session")
def runner(request: pytest.FixtureRequest) -> Generator[CellRunner]:
    """Runs controls and cells; puts the hosts of its pair back when it closes."""
    stash = request.config.stash
    kept, selected = Kept(stash.get(KEPT, None)), _selected(request.session.items)
    stash[RUNNER] = runner = CellRunner(stash[CAMPAIGN], kept, selected)
    yield runner
    runner.close()


@pytest.fixture
def conclude(request: pytest.FixtureRequest, runner: CellRunner) -> Callable[[Outcome], None]:
    """Returns a function that ends a test by the verdict on its cell."""

    def end(outcome: Outcome) -> None:
        request.node.stash[OUTCOME] = outcome
        request.node.stash[STORED] = runner.stored(outcome)
        request.node.stash[CONTROLS] = outcome.cell.pair, runner.unreported(outcome.cell.pair)
        cell, judgement, ends = outcome.cell, outcome.judgement, runner.ends(outcome.cell.pair)
        live_allure.tell(
            request.config, ends, cell.id, judgement.verdict, judgement.reason, outcome.evidence
        )
        pytest_outcome.conclude(outcome)

    return end


@pytest.fixture
def conclude_control(
    request: pytest.FixtureRequest, runner: CellRunner
) -> Callable[[str, ControlResult], None]:
    """Returns a function that ends a test by the result of a control."""

    def end(pair: str, result: ControlResult) -> None:
        request.node.stash[CONTROLS] = pair, runner.unreported(pair)
        verdict, name = control_verdict(result), f"{pair}/control/{result.name}"
        live_allure.tell(
            request.config, runner.ends(pair), name, verdict, result.reason, result.evidence
        )
        pytest_outcome.conclude_control(pair, result)

    return end


@pytest.fixture
def conclude_symptom(
    request: pytest.FixtureRequest,
) -> Callable[[str, Runs | None], None]:
    """Returns a function that ends the test of a symptom, which reports it and never fails."""

    def end(pair: str, runs: Runs | None) -> None:
        found = symptom.conclude_symptom(pair, runs)
        if runs is not None:
            request.node.stash[CALLS] = pair, runs
        request.node.user_properties += symptom.properties(found)

    return end


@pytest.fixture
def conclude_culprit(request: pytest.FixtureRequest) -> Callable[[str, CellRunner], None]:
    """Returns a function that searches for the culprits of a pair and ends its test."""

    def end(pair: str, runner: CellRunner) -> None:
        found = request.node.stash[CULPRIT] = culprits.search(pair, runner)
        culprits.conclude(found)

    return end
