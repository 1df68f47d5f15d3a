"""Reads the runs of a store, each once: what was read is kept in the site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.results import files

from .sources import Source, Stamp, sources
from .summary import RunSummary, summary_of

KEPT = "runs.json"
"""In the site: what it has read."""
_FORM = 3
"""Number of the form of that file; one of another form is made anew."""
_EVERY = 100


@dataclass(frozen=True)
class Read:
    """A run that was read, or the reason why it could not be; see `Source`.

    Attributes:
        run: The run; None if it cannot be read.
        trouble: Why it cannot be read.
    """

    name: str
    stamp: Stamp
    directory: str
    run: RunSummary | None
    trouble: str = ""


@dataclass(frozen=True)
class _Kept:
    form: int
    runs: tuple[Read, ...]


_KEPT = TypeAdapter(_Kept)


def collect(store: str, site: Path, say: Progress) -> tuple[list[Read], set[str]]:
    """Reads what has changed since the site was written.

    Args:
        store: A directory of runs, an SQLite file, or the URL of a database.
        site: The site's directory.
        say: Is told how far it is.

    Returns:
        Every run, the newest first, and the names of those that were read anew.

    Raises:
        UsageError: There is no such store.
        LabError: The database fails.
    """
    before = {one.name: one for one in _kept(site / KEPT)}
    found: list[Read] = []
    new: set[str] = set()
    for source in sources(store):
        one = before.get(source.name)
        if one is None or one.stamp != source.stamp:
            one = _read(source)
            new.add(source.name)
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


def _read(source: Source) -> Read:
    directory = str(source.directory)
    try:
        return Read(source.name, source.stamp, directory, summary_of(source.load()))
    except UsageError as error:
        return Read(source.name, source.stamp, directory, None, str(error))
