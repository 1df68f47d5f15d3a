"""The directory of a run while it goes on, and what to do where it cannot be written to."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qualification.campaign import Campaign
from qualification.errors import UsageError, VxqualError
from qualification.results import allure_report, matrix
from qualification.results.directories import JUNIT, RunDirectory, unwritable
from qualification.results.run_files import MATRIX

from . import junit, log

_LOG = logging.getLogger("vxqual.run")


class RunOutput:
    """The directory of a run, with its log, its matrix and its JUnit report.

    Attributes:
        keep: Whether the directory stays; it does not where there was no run.
        failure: Why something could not be written; None if everything was.
    """

    def __init__(self) -> None:
        self._directory: RunDirectory | None = None
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
        if before is None:
            self._directory = RunDirectory.create(Path(config.option.vx_out), datetime.now(UTC))
        else:
            self._directory, self.keep = RunDirectory.reopen(before), True
        try:
            log.configure(config, self._directory.path)
        except UsageError:
            self.close()
            raise
        if getattr(config.option, "xmlpath", "") is None:
            config.option.xmlpath = str(self._directory.path / JUNIT)
        return self._directory.path

    def write(self, made: matrix.Matrix, campaign: Campaign, allure_dir: str | None) -> None:
        """Writes the matrix, and what describes the run to Allure."""
        if self._directory is None:
            return
        try:
            matrix.write(made, self._directory.path / MATRIX)
            if allure_dir:
                allure_report.finish(Path(allure_dir), campaign)
        except OSError as error:
            self.note(error)

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
            "log": getattr(config.option, "log_file", None),
            "continue it": f"vxqual run --resume {path}" if incomplete else None,
        }

    def close(self) -> None:
        """Releases the directory, or removes it if there was no run."""
        if self._directory is not None:
            if not self.keep:
                self._directory.discard()
            self._directory.close()
