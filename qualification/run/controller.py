"""The controller's part of a run, as pytest hooks: lab, discovery, results, reports, exit code.

With xdist it lives in the process that starts the workers; without, in the only process there is.
"""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Generator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qualification import topology
from qualification.campaign import Campaign
from qualification.config.reading import load_as
from qualification.errors import EXIT_LAB, LabError, UsageError, VxqualError
from qualification.judge.known.expectations import EXPECTATIONS
from qualification.judge.verdict import Demand
from qualification.progress import Progress
from qualification.remote.discover import survey
from qualification.remote.leases import LeaseDemand, lessee, open_agents
from qualification.results import matrix, run_directory
from qualification.results.conclusion import RunEnd, Selection
from qualification.results.store import Store
from qualification.results.terminal import report
from qualification.run.screen.screen import Screen

from .ending.refused import refuse
from .ending.workers import Workers
from .hosts.leases import Leases
from .output import log
from .output.run_output import RunOutput
from .prepare import (
    end_as_by_ctrl_c,
    make_campaign,
    select_pairs,
    what_runs,
    with_kernel,
    with_lab,
    worker_count,
)
from .resume.checks import check_code, check_selection, continued, settle
from .run_results import RunResults
from .scheduling import PairScheduling
from .stash_keys import CAMPAIGN, KEPT

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_LOG = logging.getLogger("vxqual.run")


class Controller:
    """One run.

    Args:
        options: Pytest's options, with those of vxqual among them.

    Raises:
        UsageError: The options cannot be used.

    Attributes:
        pairs: Names of the pairs to qualify.
        campaign: The run; None until the hosts have been asked.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        resume = options.vx_resume
        self._before = None
        if resume is not None:
            self._before = run_directory.read_asked(Path(resume or options.vx_out))
            check_code(self._before)
        settle(options, self._before)
        self._topology = with_kernel(
            topology.load(options.vx_topology), options.vx_kernel, options.vx_modules
        )
        known = options.vx_expectations
        self._expectations = None if known is None else load_as(EXPECTATIONS, Path(known))
        if self._before is not None:
            self._expectations = self._before.campaign.expectations
        self.pairs = select_pairs(self._topology, options.vx_pair)
        self._selection = Selection(options.keyword, options.markexpr, options.vx_partial_ok)
        self._output = RunOutput()
        self._results = RunResults(None, self._selection)
        self._session: pytest.Session | None = None
        self._stopped = False
        self._workers = Workers()
        self._lab, self._leases = ExitStack(), Leases()
        self._screen = Screen(None)
        self.campaign: Campaign | None = None

    @property
    def groups(self) -> dict[str, str]:
        """The group of each pair; groups run in parallel, the pairs of a group in turn."""
        return {
            pair: group for pair, group in self._topology.groups().items() if pair in self.pairs
        }

    @property
    def workers(self) -> int:
        """The number of workers for `-n auto`."""
        return worker_count(self._topology, self.pairs)

    # Start

    def open(self, config: pytest.Config) -> None:
        """Makes the directory of the run, with its log; listing the tests is no run.

        Raises:
            VxqualError: Results or the log cannot be written.
        """
        config.pluginmanager.register(self._workers, "vxqual-workers")
        path = self._output.open(config, None if self._before is None else self._before.directory)
        if path is not None:
            if self._before is not None:
                self._before = run_directory.read(path)  # what it has found, now that it is locked
            self._results = RunResults(Store(path), self._selection, self._before)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> Generator[None, None, None]:
        """Builds the lab and asks every host what it is, once, before any worker starts."""
        log.endure(session.config)
        self._session = session
        self._screen = Screen(session.config.pluginmanager.getplugin("terminalreporter"))
        end_as_by_ctrl_c(self._lab)
        self._output.keep = True
        try:
            session.config.stash[CAMPAIGN] = self._prepare(self._screen.say)
            if self._before is not None:
                session.config.stash[KEPT] = self._before.directory
        except VxqualError as error:
            # With invalid input nothing was touched: this was no run.
            self._output.keep = self._before is not None or not isinstance(error, UsageError)
            refuse(session.config, self._screen.say, error)
        try:
            yield
        except (EOFError, BrokenPipeError):  # of execnet, by which xdist starts workers
            early = LabError("a worker process ended before it had begun")
            refuse(session.config, self._screen.say, early)

    def _prepare(self, say: Progress) -> Campaign:
        options = self._options
        demand = Demand(options.vx_rate, options.vx_confidence)
        log.log_start(self._topology, str(options.vx_topology), self.pairs, demand)
        resolved, wires = self._lab.enter_context(with_lab(self._topology, say))
        if options.vx_wire_check and not wires:
            raise UsageError(
                "nothing can record the wire of this lab",
                where="--vx-wire-check",
                hint="give a topology with lab: {kind: qemu, …}, and no persistent lab",
            )
        run_id = self._output.path.name if self._output.path else None  # listing is no run
        lease = LeaseDemand(lessee(run_id), options.vx_wait) if run_id else None
        agents = self._leases.enter_context(open_agents())
        self.campaign = make_campaign(
            resolved,
            str(options.vx_topology),
            self.pairs,
            options.vx_plan,
            demand,
            options.vx_seed,
            say,
            survey(resolved, self.pairs, say, agents, run=True, lease=lease),
            self._expectations,
            {"on": True, "off": False}.get(options.vx_symptom),
            wires=wires if options.vx_wire_check else None,
            run_id=run_id,
        )
        say(what_runs(self.campaign, self.workers))
        if self._before is not None:
            built = self._topology.lab is not None
            self.campaign = continued(self._before, self.campaign, say, built=built)
        log.log_campaign(self.campaign)
        return self.campaign

    # Workers

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Passes the campaign to a worker."""
        if self.campaign is not None:
            node.workerinput["vxqual"] = self.campaign.dump()
            kept = None if self._before is None else str(self._before.directory)
            node.workerinput["vxqual_kept"] = kept
            # Options that are set here, and not on the command line, do not reach a worker.
            chosen = {"keyword": self._selection.keyword, "markexpr": self._selection.marks}
            node.workerinput["vxqual_options"] = chosen
            node.workerinput["vxqual_log"] = getattr(self._options, "log_file", None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> PairScheduling:
        """Returns a scheduler that gives one pair to one worker."""
        return PairScheduling(config, log, self.groups)

    # Reports

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes the row and the evidence of a cell."""
        self._results.add(report)
        self._output.follow(report, self._results, self.campaign)
        self._screen.ran(report)
        self._stop_if_full()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Takes an error that occurred before there was any test."""
        if report.failed:
            self._results.add_traceback(report)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without workers: notes which cells were selected."""
        self._select([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """With workers: notes which cells they selected, the same in each of them."""
        self._select(ids)

    def _select(self, ids: list[str]) -> None:
        if self._options.collectonly or self.campaign is None:
            return
        selected = {nodeid.partition("[")[2].removesuffix("]") for nodeid in ids}
        if self._before is not None:
            check_selection(self._before, self.campaign, selected)
        self._screen.begin(self._results.select(self.campaign, selected))
        self._output.begin_page(self._results, self.campaign, self._screen.say)
        self._stop_if_full()

    def _stop_if_full(self) -> None:
        """Ends the run, as Ctrl-C would, once its results cannot be stored."""
        if self._results.failure is not None and self._session is not None and not self._stopped:
            self._stopped = True
            raise self._session.Interrupted("results cannot be stored")

    # End

    @pytest.hookimpl(trylast=True)
    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Says that the run was interrupted, after pytest has taken note of where it was."""
        self._screen.leave_dead_terminal()
        if excinfo.type is KeyboardInterrupt:
            self._screen.interrupted()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, None, None]:
        """Writes the results and sets the exit code by the verdicts."""
        self._results.add_left_changed(self._workers.end(session.config, exitstatus))
        self._results.add_left_changed(self._leases.give_back())
        self._finish(session, exitstatus)
        with self._output.junit(session.config):
            if self._output.failure is not None:
                session.exitstatus = EXIT_LAB
            yield

    def _finish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.USAGE_ERROR:  # -k or -m has an invalid expression
            self._results.select_nothing()
            self._output.keep = self._before is not None
        self._results.end(
            RunEnd(
                datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
                exitstatus == pytest.ExitCode.INTERRUPTED,
            ),
            broken=exitstatus == pytest.ExitCode.INTERNAL_ERROR,
        )
        made = self._matrix()
        self._output.write(self._results, self.campaign)
        judged = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if judged and self.campaign is not None and not self._options.collectonly:
            session.exitstatus = self._results.conclusion(self.campaign).exit_code
        self._output.note(self._results.failure)
        if made is not None:
            _LOG.info("%s", report.headline(made).text)
        _LOG.info("the run ends with exit code %d", session.exitstatus)

    def _matrix(self) -> matrix.Matrix | None:
        return None if self.campaign is None else self._results.matrix(self.campaign)

    def pytest_terminal_summary(self, config: pytest.Config) -> None:
        """Prints the report."""
        if self.campaign is not None and self._output.path is not None and self._output.keep:
            files = self._output.files(config, incomplete=self._results.incomplete)
            found = tuple(self._results.findings.values())
            self._screen.print(self._matrix(), self.campaign, found, files)
        if self._output.failure is not None:
            self._screen.print_failure(self._output.failure)
        self._screen.print_left_changed(self._results.left_changed)
        self._screen.print_tracebacks(self._results.tracebacks)

    def pytest_unconfigure(self) -> None:
        """Takes the lab down once no worker uses it any more, and ends the run."""
        self._leases.give_back()
        self._lab.close()
        self._output.close()
