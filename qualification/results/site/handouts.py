"""The certificates and bundles of a site's runs: found, read once, and laid open as pages.

They are found in the store, where the commands that make them record them; in the directories of
runs; beside these; and beside the store. What lies beside the store counts only if it is ours, as
that may be a directory which others can write to.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qualification.errors import UsageError, VxqualError
from qualification.messages.untrusted import UntrustedError
from qualification.progress import Progress
from qualification.results.bundle.manifest import ADAPTER as MANIFEST
from qualification.results.gate.certificate import Certificate
from qualification.results.handouts import CERTIFICATE, FILES, MOST_BYTES
from qualification.results.stored import files

from .pages import slug
from .sources import Stamp
from .summary import utc

_CERTIFICATE = TypeAdapter(Certificate)


@dataclass(frozen=True)
class Found:
    """A handout that can be read.

    Attributes:
        kind: "certificate" or "bundle".
        place: What tells it from others: its directory, or its row in the store.
        stamp: What changes with its content.
        load: Reads its JSON file; raises a `UsageError` if that cannot be done.
        directory: Its directory; None if that is not on this machine.
    """

    kind: str
    place: str
    stamp: Stamp
    load: Callable[[], bytes]
    directory: Path | None


@dataclass(frozen=True)
class Handout:
    """What the site keeps of a handout.

    Attributes:
        kind: "certificate" or "bundle".
        place: See `Found`.
        stamp: See `Found`.
        run: The id of its run; empty if it cannot be read.
        started: When that run began (ISO 8601, UTC).
        outcome: What a certificate says; "NOT QUALIFIED" of a bundle, which is about a fault.
        told: What it is about, in a phrase.
        digest: The SHA-256 of its JSON file.
        trouble: Why it cannot be read.
    """

    kind: str
    place: str
    stamp: Stamp
    run: str = ""
    started: str = ""
    outcome: str = ""
    told: str = ""
    digest: str = ""
    trouble: str = ""

    @property
    def name(self) -> str:
        """What its page and its files are named."""
        return f"{slug(self.run)}-{self.digest[:12]}"

    @property
    def page(self) -> str:
        """The address of its page."""
        return f"{self.kind}/{self.name}.html"


def found(store: str, runs: list[Path], say: Progress) -> Iterator[Found]:
    """Yields the handouts of a store's runs, each once for each place in which it is.

    Args:
        store: A directory of runs, an SQLite file, or the URL of a database.
        runs: The directories of the runs.
        say: Is told where the store of a directory of runs, which the site can do without, fails.

    Raises:
        LabError: The database fails, and the store is one.
    """
    from qualification.results.index.database import FILE  # noqa: PLC0415  (loads slowly)

    place = Path(store)
    if place.is_dir():
        try:
            yield from list(_recorded(str(place))) if (place / FILE).exists() else ()
        except VxqualError as error:
            say(f"handouts that only {place / FILE} knows are left out: {error.what}")
        beside, ours = [place], [place.resolve().parent]
    else:
        yield from _recorded(store)
        beside, ours = [], ([place.resolve().parent] if place.is_file() else [])
    seen: set[str] = set()
    for directory in dict.fromkeys((*runs, *beside, *ours)):
        for one in _below(directory):
            if one.place not in seen and (directory not in ours or _is_ours(one.directory)):
                seen.add(one.place)
                yield one


def read(one: Found) -> Handout:
    """Returns what is kept of a handout."""
    where = one.kind, one.place, one.stamp
    try:
        content = one.load()
        value = parsed(one.kind, content)
    except UsageError as error:
        return Handout(*where, trouble=error.what)
    digest = hashlib.sha256(content).hexdigest()
    if one.kind == CERTIFICATE:
        run, outcome = value["run"], value["outcome"]
        told = f"policy {value['policy']['name']}, decided {value['decided'][:10]}"
        return Handout(*where, run["id"], utc(run["started"]), outcome, told, digest)
    cells = len(value["cells"])
    told = f"{value['driver']} {value['firmware']}, {cells} cell{'s' * (cells != 1)}"
    return Handout(*where, value["run"], utc(value["started"]), "NOT QUALIFIED", told, digest)


def parsed(kind: str, content: bytes) -> dict[str, Any]:
    """Returns a handout's JSON file as JSON types, each text harmless to show.

    Raises:
        UsageError: It is none.
    """
    adapter: TypeAdapter[Any] = _CERTIFICATE if kind == CERTIFICATE else MANIFEST
    try:
        value: dict[str, Any] = adapter.dump_python(files.valid(adapter, content), mode="json")
    except (ValidationError, UntrustedError) as error:
        why = files.first(error) if isinstance(error, ValidationError) else str(error)
        raise UsageError(f"is no {FILES[kind]}: {why}") from None
    return value


def _recorded(store: str) -> Iterator[Found]:
    from qualification.results.index import handouts  # noqa: PLC0415  (SQLAlchemy loads slowly)
    from qualification.results.index.database import Database, url_of  # noqa: PLC0415

    database = Database(url_of(store))
    for row in handouts.handouts(database):
        directory = Path(row.directory)
        status = _status(directory / FILES[row.kind]) if row.kind in FILES else None
        load = partial(handouts.content, database, row.number)
        here = directory if status else None
        yield Found(row.kind, f"row {row.number}", (row.digest, *(status or ())), load, here)


def _status(path: Path) -> Stamp | None:
    """Returns what changes with the content of a file; None if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return str(status.st_mtime_ns), str(status.st_size)


def _below(place: Path) -> Iterator[Found]:
    """Yields the handouts in a directory: itself, and those that it has directly below it."""
    try:
        with os.scandir(place) as entries:
            below = sorted(one.path for one in entries if one.is_dir(follow_symlinks=False))
    except OSError:
        return
    for directory in (place, *map(Path, below)):
        for kind, name in FILES.items():
            path = directory / name
            stamp = _status(path)
            if stamp is not None:
                load = partial(files.content, path, most=MOST_BYTES)
                yield Found(kind, str(path), stamp, load, directory)


def _is_ours(directory: Path | None) -> bool:
    """Returns whether a directory is this user's, and not everybody can write to it."""
    if directory is None:
        return False
    status = directory.lstat()
    return status.st_uid == os.geteuid() and not status.st_mode & 0o002
