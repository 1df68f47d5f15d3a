"""What a RUN argument of a command names: a directory of a run, or of runs, or the id of a run.

One place for every command that takes stored runs, so that they understand the same names.
"""

from __future__ import annotations

import re
from pathlib import Path

from qualification.errors import UsageError

from . import directories, matrix, rejudge, run_directory
from .matrix import Matrix
from .run_files import EVIDENCE, MATRIX, RUN

OUT = Path("out")
"""The directory of runs where an id is looked for, which is the default of `--out`."""
_ID = re.compile(r"[\w.-]+")
_FILES = (MATRIX, RUN, EVIDENCE)


def resolve(run: str | Path, out: Path = OUT) -> Path:
    """Returns the directory of the run that a RUN argument names.

    Args:
        run: The directory of a run; a directory of runs, of which the latest one is meant; one of
            the files of a run; or the id of a run in `out`.
        out: The directory of runs in which an id is looked for.

    Raises:
        UsageError: There is no such run.
    """
    path = Path(run)
    if path.is_file() and path.name in _FILES:
        return path.parent
    if path.exists():
        return directories.find(path)
    text = str(run)
    if _ID.fullmatch(text) and (out / text).is_dir():
        return directories.find(out / text)
    raise UsageError(
        f"there is no such directory, and no run of that id in {out}",
        where=text,
        hint="give the directory of a run, the directory that --out named, or the id of a run",
    )


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
