"""The directory of a run while it goes on, and what to do where it cannot be written to."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qualification.campaign import Campaign
from qualification.errors import UsageError, VxqualError
from qualification.progress import Progress
from qualification.results import matrix, run_directory
from qualification.results.directories import JUNIT, RunDirectory, unwritable
from qualification.results.forms.allure import writing as allure
from qualification.results.page.address import PAGE
from qualification.results.run_argument import STORE
from qualification.results.run_files import MATRIX
from qualification.run.run_results import RunResults

from . import junit, log, store
from .live_page import LivePage, show

_LOG = logging.getLogger("vxqual.run")


class RunOutput:
    """The directory of a run, with its log, its matrix and its JUnit report.

    Attributes:
        keep: Whether the directory stays; it does not where there was no run.
        failure: Why something could not be written; None if everything was.
    """

    def __init__(self) -> None:
        self._directory: RunDirectory | None = None
        self._page: LivePage | None = None
        self._show_page = False
        self._allure: Path | None = None
        self._store: str | Path = ""
        self._not_stored: str | None = None
        self.keep = False
        self.failure: VxqualError | None = None

    @property
    def path(self) -> Path | None:
        """The directory; None where nothing runs."""
        return None if self._directory is None else self._directory.path

    def open(self, config: pytest.Config, before: Path | None) -> Path | None:
        """Makes the directory of a run, with its log; listing the tests is no run.

        Args:
            config: The configuration of pytest, before its plugins read it.
            before: The directory of the run that is continued; None for a new run.

        Returns:
            The directory, which is locked; None where nothing runs.

        Raises:
            VxqualError: Results or the log cannot be written, or the run goes on.
        """
        if config.option.collectonly:
            log.configure(config, None)
            return None
        place = config.option.vx_store or os.environ.get(STORE)
        if place is not None:
            store.check(place)  # what nobody can use is refused now, not after hours
        self._store = place or Path(before.parent if before else config.option.vx_out)
        if before is None:
            self._directory = RunDirectory.create(Path(config.option.vx_out), datetime.now(UTC))
        else:
            self._directory, self.keep = RunDirectory.reopen(before), True
        try:
            log.configure(config, self._directory.path)
        except UsageError:
            self.close()
            raise
        self._page = LivePage(self._directory.path / PAGE)
        self._show_page = config.option.vx_open
        self._allure = config.option.vx_allure and Path(config.option.vx_allure)
        if getattr(config.option, "xmlpath", "") is None:
            config.option.xmlpath = str(self._directory.path / JUNIT)
        return self._directory.path

    def begin_page(self, results: RunResults, campaign: Campaign, say: Progress) -> None:
        """Writes the page of a run whose cells have been selected, and says where it is.

        Args:
            results: The results, of which there are none yet, or those of a run that is continued.
            campaign: The run.
            say: Is told where the page is.
        """
        if self._page is None or self._page.begun:
            return
        with self._without_page_if_it_fails():
            if results.before is not None:
                self._page.keep(results.before)
        self.follow(None, results, campaign)
        if self._page is None or not self._page.begun:
            return
        say(f"the page {self._page.path} follows the run")
        if self._show_page and not show(self._page.path):
            say("there is no browser to open it in: open it on another machine, or set BROWSER")

    def follow(
        self, report: pytest.TestReport | None, results: RunResults, campaign: Campaign | None
    ) -> None:
        """Takes the report of a test, and now and then writes the page anew."""
        if self._page is None or campaign is None:
            return
        with self._without_page_if_it_fails():
            if report is not None:
                self._page.take(report, campaign.demand.confidence)
            if self._page.due:
                self._write_page(results.matrix(campaign), results, live=True)

    @contextmanager
    def _without_page_if_it_fails(self) -> Generator[None]:
        """Goes on without a page where that fails: results are stored apart from it, and count."""
        try:
            yield
        except OSError as error:
            _LOG.warning("the page cannot be written: %s", error)
        except Exception:
            _LOG.exception("an error of vxqual itself: the page of the run cannot be made")
            self._page = None

    def _write_page(self, made: matrix.Matrix | None, results: RunResults, *, live: bool) -> None:
        if self._page is not None and made is not None:
            found = tuple(results.findings.values())
            self._page.write(made, found, live=live, troubles=results.troubles)

    def write(self, results: RunResults, campaign: Campaign | None) -> None:
        """Writes the matrix, its page and files for Allure, and puts the run into the store."""
        made = None if campaign is None else results.matrix(campaign)
        if self._directory is None or campaign is None or made is None:
            return
        with self._without_page_if_it_fails():
            self._write_page(made, results, live=False)
        try:
            matrix.write(made, self._directory.path / MATRIX)
        except OSError as error:
            self.note(error)
        else:
            if self.keep:
                self._not_stored = store.put(self._store, made, self._directory.path)
        if self._allure is not None:
            self._write_allure(made, self._directory.path, self._allure)

    def _write_allure(self, made: matrix.Matrix, run: Path, to: Path) -> None:
        """Writes the run for Allure by what is stored of it, as it can be written at any time."""
        try:
            allure.write(made, run_directory.read(run), to, os.environ)
        except OSError as error:
            self.failure = self.failure or unwritable(to, error)
        except UsageError as error:
            self.failure = self.failure or error

    @contextmanager
    def junit(self, config: pytest.Config) -> Generator[None]:
        """Writes the JUnit report before pytest does."""
        with junit.written_early(config) as failure:
            self.note(failure)
            yield

    def note(self, failure: OSError | None) -> None:
        """Notes why something could not be written; the first reason counts."""
        if failure is None or self.failure is not None or self._directory is None:
            return
        self.failure = unwritable(self._directory.path, failure)
        _LOG.error("%s", self.failure)

    def files(self, config: pytest.Config, *, incomplete: bool) -> dict[str, Path | str | None]:
        """Returns what a user looks for after a run, by what it is."""
        if self._directory is None:
            return {}
        path = self._directory.path
        return {
            "results": path / MATRIX,
            "page": self._page.path if self._page is not None and self._page.begun else None,
            "log": getattr(config.option, "log_file", None),
            "continue it": f"vxqual run --resume {path}" if incomplete else None,
            "warning": self._not_stored,
        }

    def close(self) -> None:
        """Releases the directory, or removes it if there was no run."""
        if self._directory is not None:
            if not self.keep:
                self._directory.discard()
            self._directory.close()
