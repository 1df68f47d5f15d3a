"""Indexes the runs of directories, such as those that came from another machine."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qualification.errors import UsageError
from qualification.progress import Progress

from . import directories
from .index.database import Database
from .index.writing import Done, index
from .run_argument import results

_SAY_SECONDS = 2.0


@dataclass
class Imported:
    """What came of an import.

    Attributes:
        ids: Ids of the runs, by what was done with them.
        refused: Directories that have no usable results, each with the reason.
        going_on: Directories of runs that go on; they index themselves at their end.
    """

    ids: dict[Done, list[str]] = field(
        default_factory=lambda: {"new": [], "changed": [], "there already": []}
    )
    refused: dict[Path, UsageError] = field(default_factory=dict)
    going_on: list[Path] = field(default_factory=list)


def import_runs(database: Database, places: Iterable[Path], say: Progress) -> Imported:
    """Indexes the runs of some directories; those that are there already stay as they are.

    Args:
        database: The store.
        places: Directories of runs, and directories that have such below them.
        say: Gets a line now and then.

    Raises:
        UsageError: A place has no run.
        LabError: The database fails; what came before is there.
    """
    found = dict.fromkeys(path for place in places for path in runs_of(place))
    done = Imported()
    said = time.monotonic()
    for number, path in enumerate(found, 1):
        if directories.holder(path):
            done.going_on.append(path)
            continue
        try:
            indexed = index(database, results(path), path)
        except UsageError as error:
            done.refused[path] = error
            continue
        done.ids[indexed.done].append(indexed.id)
        if time.monotonic() - said > _SAY_SECONDS:
            said = time.monotonic()
            say(f"{number:,} of {len(found):,} runs")
    return done


def runs_of(place: Path) -> Iterator[Path]:
    """Yields the directories of runs in a place, the oldest first: it, or those below it.

    Raises:
        UsageError: There is none.
    """
    if directories.has_run(place):
        yield place
        return
    try:
        below = sorted(path for path in place.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(place)) from None
    some = [path for path in below if directories.has_run(path)]
    if not some:
        raise UsageError(
            "has no stored run",
            where=str(place),
            hint="give directories of runs, or one that --out named",
        )
    yield from some
