"""The controller's part of a run, as pytest hooks: lab, discovery, rows, reports, exit code.

With xdist this lives in the one process that has workers; without, in the one there is.
"""

from __future__ import annotations

import signal
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from qualification import topology
from qualification.campaign import Campaign
from qualification.config.reading import load_as
from qualification.errors import EXIT_QUALIFIED, UsageError, VxqualError, exit_code
from qualification.judge.culprit.findings import CulpritFindings, explained, mitigations
from qualification.judge.known.expectations import EXPECTATIONS
from qualification.judge.known.matching import findings
from qualification.judge.outcome import never_ran
from qualification.judge.result_row import CellRow, row
from qualification.judge.symptom import Symptom
from qualification.judge.verdict import Demand
from qualification.progress import Progress
from qualification.results import allure_report, culprit_lines, matrix, terminal
from qualification.results.run_directory import Store, TroubleEntry, dump_entry

from .conclusion import BLAMES_NIC, CONTROLS, ENTRY, row_of
from .culprits import PROOFS, findings_of
from .keys import CAMPAIGN
from .prepare import campaign, chosen, standing, workers
from .scheduling import PairScheduling
from .symptom import symptom_of

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_MOST_TRACEBACKS = 2
_COLOURS = {"good": {"green": True}, "bad": {"red": True}, "doubt": {"yellow": True}}


class Controller:
    """One run.

    Args:
        options: Pytest's, with ours among them.

    Raises:
        UsageError: They cannot be used.
    """

    def __init__(self, options: Namespace) -> None:
        self._options = options
        self._topology = topology.load(options.vx_topology)
        known = options.vx_expectations
        self._expectations = None if known is None else load_as(EXPECTATIONS, Path(known))
        self.pairs = chosen(self._topology, options.vx_pair)
        self._out = Path(options.vx_out)
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self._out):
                pass
        except OSError as error:
            raise UsageError(
                f"results cannot be written to {self._out}: {error.strerror}",
                hint="give a directory that you may write to, or one that can be made",
            ) from None
        self._store = Store(self._out)
        self._lab = ExitStack()
        self._rows: dict[str, CellRow] = {}
        self._symptoms: dict[str, Symptom] = {}
        self._findings: dict[str, CulpritFindings] = {}
        self._blamed = self._doubted = False
        self._tracebacks: list[str] = []
        self._planned: dict[str, CellRow] = {}
        self.campaign: Campaign | None = None

    @property
    def groups(self) -> dict[str, str]:
        """The group of each pair of the run; groups run side by side, their pairs in turn."""
        return {
            pair: group for pair, group in self._topology.groups().items() if pair in self.pairs
        }

    @property
    def workers(self) -> int:
        """Of `-n auto`."""
        return workers(self._topology, self.pairs)

    # Beginning

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Builds the lab and asks every host what it is, once, before any worker starts."""
        reporter = session.config.pluginmanager.getplugin("terminalreporter")

        def say(text: str) -> None:
            if reporter is not None:
                reporter.ensure_newline()
                reporter.write_line(f"vxqual: {text}")

        # CI cancels by SIGTERM: as for Ctrl-C, hosts are put back and results so far are written.
        self._lab.callback(
            signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler)
        )
        if not self._options.collectonly:  # what is found here afterwards is this run's
            (self._out / "matrix.json").unlink(missing_ok=True)
            self._store.clear()
        try:
            session.config.stash[CAMPAIGN] = self._prepare(say)
        except VxqualError as error:
            say(str(error))
            if reporter is not None:  # it would say what follows a second time
                session.config.pluginmanager.unregister(reporter)
            pytest.exit("the lab is not ready, nothing was judged", returncode=error.exit_code)

    def _prepare(self, say: Progress) -> Campaign:
        resolved = self._lab.enter_context(standing(self._topology, say))
        options = self._options
        self.campaign = campaign(
            resolved,
            str(options.vx_topology),
            self.pairs,
            options.vx_plan,
            Demand(options.vx_rate, options.vx_confidence),
            options.vx_seed,
            say,
            self._expectations,
            {"on": True, "off": False}.get(options.vx_symptom),
        )
        return self.campaign

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Hands the campaign to a worker."""
        if self.campaign is not None:
            node.workerinput["vxqual"] = self.campaign.dump()

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> PairScheduling:
        """One pair to one worker."""
        return PairScheduling(config, log, self.groups)

    # Going on

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keeps a cell's row and evidence."""
        made = row_of(report)
        first = made is not None and made.id not in self._rows
        for entry in getattr(report, CONTROLS, ()):
            self._store.add(entry)
        if first:
            self._store.add(getattr(report, ENTRY))
        if report.failed:
            if not first and not hasattr(report, CONTROLS):  # no verdict has it: a host, a control
                self._store.add(dump_entry(TroubleEntry(f"{report.nodeid}: {report.longreprtext}")))
            blamed = bool(getattr(report, BLAMES_NIC, False))
            self._blamed |= blamed
            self._doubted |= not blamed
            if not isinstance(report.longrepr, str):  # nothing of ours: somebody has to see it
                self._tracebacks.append(f"{report.nodeid}\n{report.longreprtext}")
        symptom = symptom_of(report)
        if symptom is not None:
            self._symptoms[symptom.pair] = symptom
        found = findings_of(report)
        if found is not None:
            self._findings[found.pair] = found
            for entry in getattr(report, PROOFS, ()):
                self._store.add(entry)
        if made is not None:  # a later error, of a teardown, does not replace a verdict
            self._rows.setdefault(made.id, made)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keeps what went wrong before there was any test; the cases' settings hide tracebacks."""
        if report.failed:
            self._tracebacks.append(f"{report.nodeid}\n{report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without workers: which cells were selected."""
        self._expect([item.nodeid for item in session.items])

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """With workers: they collect, all the same."""
        self._expect(ids)

    def _expect(self, ids: list[str]) -> None:
        """Notes the cells selected; those of which nothing is heard will be told as such."""
        if self._options.collectonly:
            return
        selected = {nodeid.partition("[")[2].removesuffix("]") for nodeid in ids}
        if self.campaign is not None and not self._planned:
            cells = [
                cell
                for pair in self.pairs
                for cell in self.campaign.cells(pair)
                if cell.id in selected
            ]
            self._planned = {cell.id: row(cell, never_ran(cell).judgement) for cell in cells}
            self._store.begin(self.campaign, cells)

    # Ending

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Writes the results and turns verdicts into the exit code."""
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            self._planned = {}  # an expression of -k or -m that is none: nothing was selected
            self._store.clear()
        self._store.end()
        made = self._matrix()
        if made is not None and self.campaign is not None:
            matrix.write(made, self._out / "matrix.json")
            allure_dir = getattr(self._options, "allure_report_dir", None)
            if allure_dir:
                allure_report.finish(Path(allure_dir), self.campaign)
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            session.exitstatus = self._exit_code()

    def _exit_code(self) -> int:
        silent = self._planned.keys() - self._rows.keys()
        code = exit_code(blamed=self._blamed, doubted=self._doubted or bool(silent))
        nothing = not self._options.collectonly and not self._planned | self._rows
        if code == EXIT_QUALIFIED and nothing:
            return pytest.ExitCode.NO_TESTS_COLLECTED  # controls or symptom alone qualify nothing
        return code

    def _matrix(self) -> matrix.Matrix | None:
        if self.campaign is None or not (self._planned or self._rows or self._symptoms):
            return None
        rows = (self._planned | self._rows).values()
        return matrix.build(
            self.campaign,
            [explained(made, self._findings.get(made.pair)) for made in rows],
            self._symptoms.values(),
            mitigations(self._findings.values()),
        )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the matrix."""
        self._print_matrix(terminalreporter)
        for text in self._tracebacks[:_MOST_TRACEBACKS]:
            terminalreporter.section("an error of vxqual itself; please report it")
            terminalreporter.write_line(text)

    def _print_matrix(self, terminalreporter: Any) -> None:
        made = self._matrix()
        campaign = self.campaign
        if campaign is None or self._options.collectonly:
            return
        terminalreporter.write_sep("=", "vxqual")
        if made is None:
            terminalreporter.write_line(terminal.NO_CELL, bold=True, yellow=True)
            return
        headline, *lines = terminal.report(
            made,
            self._exit_code(),
            terminalreporter._tw.fullwidth,
            findings(campaign.expectations, made.cells, campaign.duts, campaign.day),
        )
        terminalreporter.write_line(headline.text, bold=True, **_COLOURS[headline.tone])
        for line in lines:
            terminalreporter.write_line(line.text, **_COLOURS.get(line.tone, {}))
        for line in culprit_lines.render(
            made, self._findings.values(), terminalreporter._tw.fullwidth
        ):
            terminalreporter.write_line(line.text, **_COLOURS.get(line.tone, {}))
        terminalreporter.write_line("")
        terminalreporter.write_line(f"results: {self._out / 'matrix.json'}")

    def pytest_unconfigure(self) -> None:
        """Takes the lab down, when no worker uses it any more."""
        self._lab.close()
