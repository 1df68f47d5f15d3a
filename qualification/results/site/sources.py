"""The runs that a site is made of: those of a directory, or those of a store in a database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qualification.errors import UsageError
from qualification.results import matrix
from qualification.results.directories import LATEST
from qualification.results.matrix import Matrix
from qualification.results.run_files import MATRIX

Stamp = tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A run that can be read.

    Attributes:
        name: What tells it from all others of the store.
        stamp: What changes with its results.
        load: Reads its results; raises a `UsageError` if that cannot be done.
        directory: Its directory, which may be on another machine.
    """

    name: str
    stamp: Stamp
    load: Callable[[], Matrix]
    directory: Path


def sources(store: str) -> list[Source]:
    """Returns the runs of a store that have results.

    Args:
        store: A directory of runs, an SQLite file, or the URL of a database.

    Raises:
        UsageError: There is no such store.
        LabError: The database fails.
    """
    path = Path(store)
    return _of_directory(path) if path.is_dir() else _of_database(store)


def _of_directory(out: Path) -> list[Source]:
    try:
        names = sorted(one.name for one in out.iterdir() if one.name != LATEST)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}",
            where=str(out),
            hint="give the directory that --out of `vxqual run` named",
        ) from None
    found = []
    for name in names:
        path = out / name / MATRIX
        try:
            status = path.stat()
        except OSError:
            continue  # no run, or one that goes on
        stamp = str(status.st_mtime_ns), str(status.st_size)
        found.append(Source(name, stamp, partial(matrix.read, path), out / name))
    return found


def _of_database(store: str) -> list[Source]:
    from qualification.results.index import queries  # noqa: PLC0415  (SQLAlchemy loads slowly)
    from qualification.results.index.database import Database, url_of  # noqa: PLC0415

    database = Database(url_of(store))

    def load(run: str) -> Matrix:
        return matrix.parse(queries.content(database, run), f"{database.name}, run {run}")

    return [
        Source(
            run.id,
            (run.finished or "", str(run.carried_out), run.directory),
            partial(load, run.id),
            Path(run.directory),
        )
        for run in queries.runs(database, queries.Filter())
    ]
