"""Writes the site: pages that any web server serves and any browser opens from disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.results.page.address import PAGE
from qualification.results.stored import files as stored_files

from . import collect, fleet, handout_pages
from .fleet import Model, Sighting
from .history import history
from .pages import Pages, slug
from .summary import RunSummary

_LATEST_RUNS = 30
_MOST_ROWS = 300


@dataclass(frozen=True)
class Written:
    """What was done.

    Attributes:
        runs: Runs of the site.
        new: Runs that were read anew.
        pages: Pages that were written, because they are new or have changed.
        unread: Runs that cannot be read.
    """

    runs: int
    new: int
    pages: int
    unread: int


def write(store: str | Path, site: Path, say: Progress) -> Written:
    """Writes what has changed of the site of a store.

    Args:
        store: A directory of runs, an SQLite file, or the URL of a database.
        site: The directory of the site, which is made if there is none.
        say: Is told how far it is.

    Raises:
        UsageError: There is no such store.
        LabError: The database fails.
        OSError: The site cannot be written.
    """
    site.mkdir(parents=True, exist_ok=True)
    read, new = collect.collect(str(store), site, say)
    runs = [one.run for one in read if one.run is not None]
    unread = [one for one in read if one.run is None]
    seen = fleet.sightings(runs)
    models = fleet.models(seen)
    pages = Pages(site)
    pages.write(
        "index.html",
        "index",
        fleet=fleet.fleet(seen),
        models=models,
        runs=runs[:_LATEST_RUNS],
        total=len(runs),
        unread=unread,
    )
    pages.write("runs.html", "runs", runs=runs)
    _write_nics(pages, seen, models)
    of_run, changed = handout_pages.write(
        pages,
        str(store),
        {run.id: run for run in runs},
        [Path(one.directory) for one in read],
        say,
    )
    for entry in read:
        run = entry.run
        if run is None:
            continue
        page = _run_page(run)
        if entry.name in new or run.id in changed or not (site / page).exists():
            whole = _copied(pages, Path(entry.directory, PAGE), f"page/{slug(run.id)}/{PAGE}")
            pages.write(page, "run", run=run, whole=whole, handouts=of_run.get(run.id, []))
    collect.keep(site, read)
    return Written(len(runs), len(new), pages.written, len(unread))


def _write_nics(pages: Pages, seen: list[Sighting], models: list[Model]) -> None:
    """Writes the page of each driver, and of each model."""
    drivers: dict[str, list[Sighting]] = {}
    for one in seen:
        drivers.setdefault(one.nic.driver, []).append(one)
    for driver, some in drivers.items():
        ids = dict.fromkeys(one.nic.pci_id for one in some if one.nic.pci_id)
        _write_nic(pages, f"nic/{slug(driver)}.html", some, kind="Driver", name=driver, models=ids)
    for model in models:
        path, some = f"model/{slug(model.pci_id)}.html", list(model.seen)
        _write_nic(pages, path, some, kind="NIC model", name=model.pci_id, model=model)


def _write_nic(pages: Pages, path: str, seen: list[Sighting], **about: Any) -> None:
    several = len({one.nic.firmware for one in seen}) > 1
    pages.write(
        path,
        "nic",
        fleet=fleet.fleet(seen),
        over_nights=history(seen),
        over_firmware=history(seen, by_firmware=True) if several else None,
        seen=seen[:_MOST_ROWS],
        total=len(seen),
        **{"model": None, "models": (), **about},
    )


def _copied(pages: Pages, source: Path, target: str) -> bool:
    """Copies the page of a run, for everybody to read; returns whether there is one."""
    try:
        pages.put(target, stored_files.content(source))
    except UsageError:  # there is none, or a link that leads out of the run
        return False
    return True


def _run_page(run: RunSummary) -> str:
    return f"run/{slug(run.id)}.html"
