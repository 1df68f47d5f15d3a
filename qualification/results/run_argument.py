"""What a RUN argument of a command names: a directory of a run, or of runs, or the id of a run.

One place for every command that takes stored runs, so that they understand the same names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from qualification.errors import UsageError

from . import directories, matrix, rejudge, run_directory
from .matrix import Matrix
from .run_files import EVIDENCE, MATRIX, RUN

if TYPE_CHECKING:
    from .index.database import Database

OUT = Path("out")
"""The directory of runs where an id is looked for, which is the default of `--out`."""
STORE = "VXQUAL_STORE"
"""The environment variable that names a store, for all commands."""
_ID = re.compile(r"[\w.-]+")
_FILES = (MATRIX, RUN, EVIDENCE)


def resolve(run: str | Path, out: Path = OUT, store: str | None = None) -> Path:
    """Returns the directory of the run that a RUN argument names.

    Args:
        run: The directory of a run; a directory of runs, of which the latest one is meant; one of
            the files of a run; or the id of a run in `out` or in the store.
        out: The directory of runs in which an id is looked for.
        store: The store in which it is looked for then; by default that of the environment, or
            else that of `out`.

    Raises:
        UsageError: There is no such run, or its directory is not on this machine.
    """
    found = _here(run, out)
    if found is not None:
        return found
    from .index import queries  # noqa: PLC0415  (most runs are named by a directory)

    database = _store(str(run), out, store)
    id_, directory, machine = queries.place(database, str(run))
    if directories.has_run(directory):
        return directory
    raise UsageError(
        f"the store knows this run, and its directory {directory} on {machine} is not here",
        where=id_,
        hint="use the machine that has it, or copy it here and name it",
    )


def load(run: str | Path, out: Path = OUT, store: str | None = None) -> Matrix:
    """Returns the results of the run that a RUN argument names; arguments as for `resolve`.

    Those of a run that is named by its id are taken from the store, wherever its directory is.

    Raises:
        UsageError: There is no such run, or its results are damaged or have another schema.
    """
    found = _here(run, out)
    if found is not None:
        return results(found)
    from .index import queries  # noqa: PLC0415

    database = _store(str(run), out, store)
    return matrix.parse(queries.content(database, str(run)), f"{database.name}, run {run}")


def runs_of(run: str | Path, out: Path = OUT) -> Path:
    """Returns the directory of runs that has a run; `out` for one that only the store knows."""
    found = _here(run, out)
    return out if found is None else found.parent


def results(directory: Path) -> Matrix:
    """Returns the results of a run, from its directory.

    A run that was killed, or that goes on, has written no matrix yet: it is judged by the evidence
    that it has stored so far, as `vxqual judge` does.

    Args:
        directory: The directory of a run, as `resolve` returns it.

    Raises:
        UsageError: It has no results, they are damaged, or they have another schema.
    """
    path = directory / MATRIX
    if path.exists():
        return matrix.read(path)
    stored = run_directory.read(directory)
    return rejudge.judge(stored, stored.campaign.day).matrix


def _here(run: str | Path, out: Path) -> Path | None:
    """Returns the directory of a run that is named by a path, or by its id in `out`."""
    path = Path(run)
    if path.is_file() and path.name in _FILES:
        return path.parent
    if path.exists():
        return directories.find(path)
    named = out / str(run)
    return directories.find(named) if _ID.fullmatch(str(run)) and named.is_dir() else None


def _store(run: str, out: Path, store: str | None) -> Database:
    """Returns the store in which an id is looked for."""
    from .index.database import Database, url_of  # noqa: PLC0415

    place = store or os.environ.get(STORE)
    database = Database(url_of(place or out))
    if not _ID.fullmatch(run) or (
        place is None and database.path is not None and not database.path.exists()
    ):
        raise UsageError(
            f"there is no such directory, and no run of that id in {out}",
            where=run,
            hint="give the directory of a run, the directory that --out named, or the id of a run",
        )
    return database
