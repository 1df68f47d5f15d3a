"""The controller's part of a run, as pytest hooks: lab, discovery, rows, reports, exit code.

With xdist this lives in the one process that has workers; without, in the one there is.
"""

from __future__ import annotations

import json
import signal
from argparse import Namespace
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import pytest

from qualification import topology
from qualification.campaign import Campaign
from qualification.errors import (
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_QUALIFIED,
    UsageError,
    VxqualError,
)
from qualification.judge.findings import Findings
from qualification.judge.ruling import CellRow, row
from qualification.judge.verdict import Demand, Judgement, Verdict
from qualification.results import allure_report, culprit_lines, matrix, terminal

from .conclusion import BLAMES_NIC, EVIDENCE, row_of
from .culprits import PROOFS, explained, findings_of
from .keys import CAMPAIGN
from .prepare import Say, campaign, chosen, standing
from .scheduling import PairScheduling

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
        self._lab = ExitStack()
        self._rows: dict[str, CellRow] = {}
        self._findings: dict[str, Findings] = {}
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
            for name in ("matrix.json", "evidence.jsonl"):
                (self._out / name).unlink(missing_ok=True)
        try:
            session.config.stash[CAMPAIGN] = self._prepare(say)
        except VxqualError as error:
            say(str(error))
            if reporter is not None:  # it would say what follows a second time
                session.config.pluginmanager.unregister(reporter)
            pytest.exit("the lab is not ready, nothing was judged", returncode=error.exit_code)

    def _prepare(self, say: Say) -> Campaign:
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
        if report.failed:
            blamed = bool(getattr(report, BLAMES_NIC, False))
            self._blamed |= blamed
            self._doubted |= not blamed
            if not isinstance(report.longrepr, str):  # nothing of ours: somebody has to see it
                self._tracebacks.append(f"{report.nodeid}\n{report.longreprtext}")
        if report.when == "call":
            evidence = getattr(report, EVIDENCE, None)
            self._keep([evidence] if evidence is not None else getattr(report, PROOFS, []))
        found = findings_of(report)
        if found is not None:
            self._findings[found.pair] = found
        if made is not None:  # a later error, of a teardown, does not replace a verdict
            self._rows.setdefault(made.id, made)

    def _keep(self, entries: Iterable[Any]) -> None:
        """Adds to what verdicts rest on."""
        for entry in entries:
            with (self._out / "evidence.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")

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
            silence = Judgement(
                Verdict.ERROR, "it never ran: its worker died, or the run was ended"
            )
            self._planned = {
                cell.id: row(cell, silence)
                for pair in self.pairs
                for cell in self.campaign.cells(pair)
                if cell.id in selected
            }

    # Ending

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Writes the results and turns verdicts into the exit code."""
        if exitstatus == pytest.ExitCode.USAGE_ERROR:
            self._planned = {}  # an expression of -k or -m that is none: nothing was selected
        made = self._matrix()
        if made is not None and self.campaign is not None:
            matrix.write(made, self._out / "matrix.json")
            allure_dir = getattr(self._options, "allure_report_dir", None)
            if allure_dir:
                allure_report.finish(Path(allure_dir), self.campaign)
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            session.exitstatus = self._exit_code()

    def _exit_code(self) -> int:
        if self._blamed:
            return EXIT_NOT_QUALIFIED
        never_ran = self._planned.keys() - self._rows.keys()
        return EXIT_LAB if self._doubted or never_ran else EXIT_QUALIFIED

    def _matrix(self) -> matrix.Matrix | None:
        if self.campaign is None or not (self._planned or self._rows):
            return None
        rows = (self._planned | self._rows).values()
        return matrix.build(
            self.campaign,
            [explained(made, self._findings.get(made.pair)) for made in rows],
            {
                pair: list(found.mitigation.off)
                for pair, found in self._findings.items()
                if found.mitigation
            },
        )

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Prints the matrix."""
        self._print_matrix(terminalreporter)
        for text in self._tracebacks[:_MOST_TRACEBACKS]:
            terminalreporter.section("an error of vxqual itself; please report it")
            terminalreporter.write_line(text)

    def _print_matrix(self, terminalreporter: Any) -> None:
        made = self._matrix()
        if made is None:
            return
        terminalreporter.write_sep("=", "vxqual")
        headline = terminal.headline(made, self._exit_code())
        terminalreporter.write_line(headline.text, bold=True, **_COLOURS[headline.tone])
        for line in terminal.render(made, terminalreporter._tw.fullwidth):
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
