"""Reads a run for its report: by its evidence, or by its results alone where that is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import UsageError
from qualification.judge.culprit.findings import CulpritFindings
from qualification.results import rejudge, run_directory
from qualification.results.matrix import Matrix
from qualification.results.rejudge import Judged
from qualification.results.run_argument import OUT, load, resolve
from qualification.results.run_directory import StoredRun


@dataclass(frozen=True)
class ReadRun:
    """A run as its report tells of it, with the demand and the day of the run.

    Attributes:
        results: Its results.
        stored: The run by its directory; None if the results alone are here.
        judged: The same, judged by its evidence.
        note: Why the results alone are here; empty otherwise.
    """

    results: Matrix
    stored: StoredRun | None = None
    judged: Judged | None = None
    note: str = ""

    @property
    def runs(self) -> Path:
        """The directory of runs that has it; `out` if its directory is elsewhere."""
        return self.stored.directory.parent if self.stored else OUT

    @property
    def named(self) -> str:
        """What a command takes to find it."""
        return str(self.stored.directory) if self.stored else self.results.run.id

    @property
    def culprits(self) -> Sequence[CulpritFindings]:
        """What the search for culprits found; the results alone do not have it."""
        return self.judged.culprits if self.judged else ()


def read(run: str, store: str | None = None) -> ReadRun:
    """Reads a run.

    Args:
        run: The RUN argument of a command.
        store: The store, as for `run_argument.resolve`.

    Raises:
        UsageError: There is no such run, or it is damaged or of another schema.
        LabError: The store fails.
    """
    try:
        stored = run_directory.read(resolve(run, store=store))
    except UsageError as error:
        try:
            return ReadRun(load(run, store=store), note=error.what)
        except UsageError:
            raise error from None
    judged = rejudge.judge(stored, stored.campaign.day)
    return ReadRun(judged.matrix, stored, judged)
