"""Reads the runs of a directory, each once: what was read is kept in the site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.results import files, matrix
from qualification.results.directories import LATEST
from qualification.results.run_files import MATRIX

from .summary import RunSummary, summary_of

KEPT = "runs.json"
"""In the site: what it has read."""
_EVERY = 100


@dataclass(frozen=True)
class Read:
    """A run that was read, or the reason why it could not be.

    Attributes:
        name: Name of its directory.
        stamp: Time of change (ns) and size of its matrix, by which a change is noticed.
        run: The run; None if it cannot be read.
        trouble: Why it cannot be read.
    """

    name: str
    stamp: tuple[int, int]
    run: RunSummary | None
    trouble: str = ""


@dataclass(frozen=True)
class _Kept:
    """What the site keeps; a file of another form is made anew."""

    form: int
    runs: tuple[Read, ...]


_FORM = 1
_KEPT = TypeAdapter(_Kept)


def collect(store: Path, site: Path, say: Progress) -> tuple[list[Read], set[str]]:
    """Reads what has changed since the site was written.

    Args:
        store: A directory of runs.
        site: The site's directory.
        say: Is told how far it is.

    Returns:
        Every run, the newest first, and the names of those that were read anew.

    Raises:
        UsageError: There is no such directory.
    """
    try:
        names = sorted(one.name for one in store.iterdir() if one.name != LATEST)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}",
            where=str(store),
            hint="give the directory that --out of `vxqual run` named",
        ) from None
    before = {one.name: one for one in _kept(site / KEPT)}
    found: list[Read] = []
    new: set[str] = set()
    for name in names:
        path = store / name / MATRIX
        try:
            status = path.stat()
        except OSError:
            continue  # no run, or one that goes on
        stamp = status.st_mtime_ns, status.st_size
        one = before.get(name)
        if one is None or one.stamp != stamp:
            one = _read(name, stamp, path)
            new.add(name)
            if len(new) % _EVERY == 0:
                say(f"{len(new)} runs read")
        found.append(one)
    found.sort(key=lambda one: one.run.started if one.run else "", reverse=True)
    return found, new


def keep(site: Path, runs: list[Read]) -> None:
    """Writes down what was read."""
    files.replace(site / KEPT, _KEPT.dump_json(_Kept(_FORM, tuple(runs))))


def _kept(path: Path) -> tuple[Read, ...]:
    try:
        kept = _KEPT.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return ()
    return kept.runs if kept.form == _FORM else ()


def _read(name: str, stamp: tuple[int, int], path: Path) -> Read:
    try:
        return Read(name, stamp, summary_of(matrix.read(path)))
    except UsageError as error:
        return Read(name, stamp, None, str(error))
