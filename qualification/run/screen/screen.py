"""What a run shows on the terminal: its progress while it goes on, and the report at its end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qualification.campaign import Campaign
from qualification.errors import VxqualError
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.known.matching import findings
from qualification.printable import printable
from qualification.results.matrix import Matrix
from qualification.results.terminal import report
from qualification.run.report_data import row_of

from .progress import RunProgress

_LOG = logging.getLogger("vxqual.run")
_MOST_TRACEBACKS = 2
_COLOURS = {"good": {"green": True}, "bad": {"red": True}, "doubt": {"yellow": True}}


class Screen:
    """The terminal of a run, by pytest's reporter; it shows nothing where there is none.

    Args:
        reporter: Pytest's plugin `terminalreporter`, or None.
    """

    def __init__(self, reporter: Any) -> None:
        self._reporter = reporter
        self._progress = RunProgress(time.monotonic)

    def say(self, text: str) -> None:
        """Writes a line for people, and to the log."""
        _LOG.debug("%s", text)
        if self._reporter is not None:
            if self._reporter._tw.width_of_current_line:  # dots, after which no line has begun
                self._reporter._tw.line()
            self._reporter.currentfspath = None
            self._reporter.write_line(f"vxqual: {printable(text, lines=True)}")

    def begin(self, cells: int) -> None:
        """Begins to show the progress; `cells` is the number of those selected."""
        self._progress.begin(cells)

    def ran(self, report: pytest.TestReport) -> None:
        """Shows how far the run is, now and then."""
        made = row_of(report)
        if made is None or report.when == "teardown":
            return
        line = self._progress.ran(made.pair, made.id)
        if line is not None and self._reporter is not None and self._reporter.verbosity >= 0:
            self.say(line)

    def interrupted(self) -> None:
        """Says in one line that the run was interrupted, in place of pytest's three."""
        if self._reporter is not None:
            self._reporter._keyboardinterrupt_memo = None
            self._reporter._report_keyboardinterrupt = lambda: None
        self.say("interrupted; hosts are put back, and what has run is reported")

    def print(
        self,
        made: Matrix | None,
        campaign: Campaign,
        culprits: Sequence[CulpritFindings],
        files: dict[str, Path | str | None],
    ) -> None:
        """Prints the report, and where to find the files.

        Args:
            made: The results; None if there are none.
            campaign: The run.
            culprits: What the search for culprits found.
            files: Files by what is in them.
        """
        reporter = self._reporter
        reporter.write_sep("=", "vxqual")
        if made is None:
            reporter.write_line(report.NO_CELL, bold=True, yellow=True)
            return
        headline, *lines = report.report(
            made,
            reporter._tw.fullwidth,
            findings(campaign.expectations, made.cells, campaign.duts, campaign.day),
            culprits,
            every=reporter.verbosity > 0,
        )
        reporter.write_line(printable(headline.text), bold=True, **_COLOURS[headline.tone])
        for line in lines:
            reporter.write_line(printable(line.text), **_COLOURS.get(line.tone, {}))
        reporter.write_line("")
        for what, path in files.items():
            if path:
                reporter.write_line(f"{what}: {path}")

    def leave_dead_terminal(self) -> None:
        """Writes to nowhere from now on if the terminal was closed: writing to it would fail."""
        for number in (1, 2):
            try:
                os.write(number, b"")
            except OSError:
                nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                os.dup2(nowhere, number)
                os.close(nowhere)

    def print_failure(self, failure: VxqualError) -> None:
        """Prints why results could not be stored."""
        self._reporter.write_line(f"vxqual: {failure}", bold=True, red=True)

    def print_left_changed(self, sentences: Sequence[str]) -> None:
        """Prints what hosts are left changed by."""
        for text in sentences:
            self._reporter.write_line(f"vxqual: {text}", bold=True, red=True)

    def print_tracebacks(self, tracebacks: Sequence[str]) -> None:
        """Prints errors of vxqual itself, the first ones of many."""
        for text in tracebacks[:_MOST_TRACEBACKS]:
            self._reporter.section("an error of vxqual itself; please report it")
            self._reporter.write_line(text)
