"""Writes the pages of certificates and bundles, and their files beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.results.bundle.write import zipped
from qualification.results.files import replace
from qualification.results.gate.paper import NAMESPACE
from qualification.results.handouts import CERTIFICATE, FILES
from qualification.results.stored import files

from .handouts import Found, Handout, found, parsed, read
from .pages import Pages
from .summary import RunSummary

KEPT = "handouts.json"
"""In the site: what it has read of handouts."""
_FORM = 1
_BESIDE = {"certificate.json.sig": "", "certificate.pdf": ""}
"""Of a certificate, what may lie beside its JSON file; its page is made of that anew."""


@dataclass(frozen=True)
class _Kept:
    form: int
    handouts: tuple[Handout, ...]


_KEPT = TypeAdapter(_Kept)


def write(
    pages: Pages,
    store: str,
    runs: Mapping[str, RunSummary],
    directories: Sequence[Path],
    say: Progress,
) -> tuple[dict[str, list[Handout]], set[str]]:
    """Writes what is new of the handouts of a site.

    Args:
        pages: The site.
        store: A directory of runs, an SQLite file, or the URL of a database.
        runs: The runs of the site by id; handouts of others are left out.
        directories: The directories of the runs.
        say: See `handouts.found`.

    Returns:
        The handouts of each run, and the ids of runs whose handouts are others than before.

    Raises:
        LabError: The database fails.
        OSError: The site cannot be written.
    """
    before = {(one.kind, one.place): one for one in _kept(pages.site / KEPT)}
    all_: list[Handout] = []
    of_run: dict[str, list[Handout]] = {}
    pages_of: set[str] = set()
    for one in found(store, list(directories), say):
        kept = before.get((one.kind, one.place))
        handout = kept if kept is not None and kept.stamp == one.stamp else read(one)
        all_.append(handout)
        run = runs.get(handout.run)
        if run is None or run.started != handout.started or handout.page in pages_of:
            continue
        pages_of.add(handout.page)
        of_run.setdefault(run.id, []).append(handout)
        if handout is not kept or not (pages.site / handout.page).exists():
            _write(pages, one, handout)
    changed = _by_run(before.values()) ^ _by_run(all_)
    order = {id_: place for place, id_ in enumerate(runs)}
    pages.write(
        "handouts.html",
        "handouts",
        handouts=[one for id_ in sorted(of_run, key=order.__getitem__) for one in of_run[id_]],
        unread=[one for one in all_ if one.trouble],
    )
    replace(pages.site / KEPT, _KEPT.dump_json(_Kept(_FORM, tuple(all_))))
    return of_run, {run for run, _ in changed}


def _by_run(handouts: Iterable[Handout]) -> set[tuple[str, str]]:
    return {(one.run, one.page) for one in handouts if one.run}


def _kept(path: Path) -> tuple[Handout, ...]:
    try:
        kept = _KEPT.validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return ()
    return kept.handouts if kept.form == _FORM else ()


def _write(pages: Pages, one: Found, handout: Handout) -> None:
    try:
        content = one.load()
        value = parsed(handout.kind, content)
    except UsageError:  # it has gone since it was read
        return
    if handout.kind == CERTIFICATE:
        names = _copied(pages, one, handout, content, _BESIDE)
        about = {"certificate": value, "sha256": handout.digest, "namespace": NAMESPACE}
        pages.write(handout.page, "certificate", handout=handout, files=names, **about)
        return
    right = {each["name"]: each["sha256"] for each in value["files"]}
    names = _copied(pages, one, handout, content, right)
    archive = ""
    if set(names) >= set(right):
        archive = f"bundle-{handout.name}.zip"
        whole = {name: (pages.site / "files" / handout.name / name).read_bytes() for name in names}
        pages.put(f"files/{handout.name}/{archive}", zipped(whole, handout.name, handout.started))
    pages.write(handout.page, "bundle", handout=handout, bundle=value, files=names, archive=archive)


def _copied(
    pages: Pages, one: Found, handout: Handout, content: bytes, others: Mapping[str, str]
) -> list[str]:
    """Copies the files of a handout, for everybody to read; returns their names.

    Args:
        pages: The site.
        one: Where the handout is.
        handout: The handout.
        content: Its JSON file, which is always copied.
        others: The SHA-256 that other files must have to be copied; empty if any will do. None is,
            unless the directory still is that of this handout.
    """
    main = FILES[handout.kind]
    made = {main: content}
    if one.directory is not None and _content(one.directory / main) == content:
        for name, right in others.items():
            octets = _content(one.directory / name) if _is_plain(name) else None
            if octets is not None and right in ("", hashlib.sha256(octets).hexdigest()):
                made[name] = octets
    for name, octets in made.items():
        pages.put(f"files/{handout.name}/{name}", octets)
    return list(made)


def _content(path: Path) -> bytes | None:
    try:
        return files.content(path)
    except UsageError:
        return None


def _is_plain(name: str) -> bool:
    """Returns whether a name is that of a file in a directory, and of none that is hidden."""
    return bool(name) and not name.startswith(".") and Path(name).name == name
