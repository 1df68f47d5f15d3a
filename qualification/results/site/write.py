"""Writes the site: pages that any web server serves and any browser opens from disk."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from qualification.printable import printable
from qualification.progress import Progress
from qualification.results.page.address import PAGE, address
from qualification.shipped import PACKAGE, REPORTS, report_file

from . import collect
from .fleet import Sighting, fleet, sightings
from .history import HEIGHT, WIDTH, history
from .summary import RunSummary

_LATEST_RUNS = 30
_MOST_ROWS = 300
_TONES = {"QUALIFIED": "PASS", "NOT QUALIFIED": "FAIL"}


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
    seen = sightings(runs)
    drivers: dict[str, list[Sighting]] = {}
    for one in seen:
        drivers.setdefault(one.nic.driver, []).append(one)
    pages = _Pages(site)
    pages.write(
        "index.html",
        "index",
        fleet=fleet(seen),
        runs=runs[:_LATEST_RUNS],
        total=len(runs),
        unread=unread,
    )
    pages.write("runs.html", "runs", runs=runs)
    for driver, some in drivers.items():
        pages.write(
            f"nic/{slug(driver)}.html",
            "nic",
            driver=driver,
            fleet=fleet(some),
            plot=history(some),
            seen=some[:_MOST_ROWS],
            total=len(some),
        )
    for entry in read:
        if entry.run is None:
            continue
        page = _run_page(entry.run)
        if entry.name in new or not (site / page).exists():
            whole = _copied(Path(entry.directory, PAGE), site / "page" / slug(entry.run.id) / PAGE)
            pages.write(page, "run", run=entry.run, whole=whole)
    collect.keep(site, read)
    return Written(len(runs), len(new), pages.written, len(unread))


def _copied(source: Path, target: Path) -> bool:
    """Copies the page of a run, for everybody to read; returns whether there is one."""
    if not source.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o644)
    return True


def slug(name: str) -> str:
    """Returns a name as a part of an address; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _run_page(run: RunSummary) -> str:
    return f"run/{slug(run.id)}.html"


class _Pages:
    """Makes pages of the templates of `reports/site/`, and writes those that have changed."""

    def __init__(self, site: Path) -> None:
        self._site, self.written = site, 0
        names = ("page/common.css", "site/site.css")
        style = "".join(report_file(name).read_text(encoding="utf-8") for name in names)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader(PACKAGE, f"{REPORTS}/site"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: printable(value) if type(value) is str else value,
        )
        self._environment.globals |= {
            "style": Markup(style),  # noqa: S704  (our own files)
            "policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'",
            "address": address,
            "slug": slug,
            "width": WIDTH,
            "height": HEIGHT,
        }
        self._environment.filters |= {
            "percent": lambda rate: f"{rate * 100:.3g} %",
            "time": lambda time: time.replace("T", " ").removesuffix("+00:00"),
            "day": lambda time: time[:10],
            "shape": lambda outcome: f"v v-{_TONES.get(outcome, 'INCONCLUSIVE')}",
        }

    def write(self, path: str, template: str, **values: Any) -> None:
        """Writes a page completely or not at all, if it is another one than before."""
        up = "../" * path.count("/")
        text = self._environment.get_template(f"{template}.html.j2").render(up=up, **values)
        content = text.encode(errors="replace")
        target = self._site / path
        if target.exists() and target.read_bytes() == content:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.{os.getpid()}")
        part.write_bytes(content)  # for everybody to read; it can be made again, and is not synced
        part.replace(target)
        self.written += 1
