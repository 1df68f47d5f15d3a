"""The page of a run while it goes on: written again now and then, so that a browser follows."""

from __future__ import annotations

import logging
import os
import sys
import time
import webbrowser
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qualification.judge.culprit.findings import CulpritFindings
from qualification.results.matrix import Matrix
from qualification.results.page import html, stored
from qualification.results.page.build import PageInput, build
from qualification.results.page.details import detail_of
from qualification.results.page.evidence_model import PageDetail
from qualification.results.run_directory import StoredRun
from qualification.results.run_files import LINE, CellEntry
from qualification.run.report_data import ENTRY, row_of

_LOG = logging.getLogger("vxqual.run")
_SHARE = 0.02
"""Share of the time of a run that writing its page may take while it goes on."""
_LEAST_PAUSE = 3.0
"""Seconds between two pages at least; a browser reads it every five."""


class LivePage:
    """Writes the page of a run.

    Args:
        path: The file.
        clock: Returns the time in seconds.

    Attributes:
        begun: Whether the page was written.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._details: dict[str, PageDetail] = {}
        self._next = 0.0
        self.begun = False

    def keep(self, before: StoredRun) -> None:
        """Takes over what a run that is continued has found before."""
        self._details = stored.details(before)

    def take(self, report: pytest.TestReport, confidence: float) -> None:
        """Takes the evidence that the report of a cell carries.

        Args:
            report: The report of any test.
            confidence: The confidence of the run.
        """
        made, dumped = row_of(report), getattr(report, ENTRY, None)
        if made is None or dumped is None or made.id in self._details:
            return
        entry = LINE.validate_python(dumped)
        if isinstance(entry, CellEntry) and entry.evidence is not None:
            port = made.flow.port if made.flow.tunnel else 0
            self._details[made.id] = detail_of(entry.evidence, port, confidence)

    @property
    def due(self) -> bool:
        """Whether it is time to write the page of a run that goes on."""
        return self._clock() >= self._next

    def write(
        self, made: Matrix, found: Sequence[CulpritFindings], *, live: bool, troubles: Sequence[str]
    ) -> None:
        """Writes the page.

        Args:
            made: The results, as far as they came.
            found: What the search for culprits found.
            live: Whether the run goes on.
            troubles: Errors of the lab.

        Raises:
            OSError: It cannot be written.
        """
        start = self._clock()
        now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        given = PageInput(made, self._details, found, now, live, tuple(troubles))
        html.write(build(given), self.path)
        end, self.begun = self._clock(), True
        self._next = end + max(_LEAST_PAUSE, (end - start) / _SHARE)
        _LOG.debug("page written in %.3f s", end - start)


def show(path: Path) -> bool:
    """Opens a page in the user's browser; returns whether there is one.

    Without a display, `webbrowser` would start a browser for text in the terminal of the run.
    """
    named = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform != "darwin" and not any(os.environ.get(name) for name in named):
        return False
    return webbrowser.open(path.absolute().as_uri())
