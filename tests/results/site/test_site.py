"""The lab's site, from stored runs."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from qualification.errors import UsageError
from qualification.inventory import Inventory
from qualification.judge.verdict import Verdict
from qualification.plan.features import TNL_CSUM
from qualification.results import matrix
from qualification.results.bundle.write import write as bundle
from qualification.results.conclusion import RunOutcome
from qualification.results.index.database import Database, url_of
from qualification.results.index.writing import index
from qualification.results.page import html
from qualification.results.page.address import PAGE
from qualification.results.site import fleet
from qualification.results.site.history import history
from qualification.results.site.pages import slug
from qualification.results.site.summary import summary_of
from qualification.results.site.write import write
from tests.browser import accessibility_faults, opened, screenshot, sideways
from tests.results.conftest import ALL_OFF, ALL_ON, TCP, UDP, Make, built, made
from tests.results.page.conftest import FAILING, example_of, failing, ran

HOSTILE = "<script>alert(1)</script>\u202e/../8.30"
FIRST = datetime(2026, 1, 1, 3, tzinfo=UTC)

MODEL = "8086:1572"
"""The PCI id of the NICs of the fixtures."""
BOARD = "8086:0007"

Night = Callable[..., Path]


@pytest.fixture
def night(campaign: Make, tmp_path: Path) -> Night:
    """`night(3, "8.30", False)`: stores the run of the third night, in which a NIC failed."""

    def store(
        number: int,
        firmware: str,
        good: bool,
        cells: int = 3,
        *,
        pci_id: str | None = MODEL,
        also: bool = False,
    ) -> Path:
        other = {"good": ("i40e", firmware)} if also else {}
        run = campaign(**other, x710=("i40e", firmware))
        nics = {
            name: replace(nic, facts=replace(nic.facts, pci_id=pci_id, pci_subsystem=BOARD))
            for name, nic in run.inventory.nics.items()
        }
        run = replace(run, inventory=Inventory(nics))
        began = FIRST + timedelta(days=number)
        run = replace(run, run_id=f"2026-{number:04}", started=began.isoformat())
        rows = [ran(made(ALL_ON, UDP, frames=1000)), ran(made(ALL_OFF, TCP, frames=1000))]
        rows.append(ran(made(ALL_ON, TCP, frames=1000)) if good else failing())
        if also:
            rows.append(ran(made(ALL_ON, TCP, frames=1000, pair="good")))
        rows += [replace(rows[0], id=f"x710/all-on/{n}") for n in range(3, cells)]
        outcome = RunOutcome.QUALIFIED if good else RunOutcome.NOT_QUALIFIED
        path = tmp_path / "out" / run.run_id
        path.mkdir(parents=True)
        mitigation = {} if good else {"x710": [TNL_CSUM]}
        matrix.write(built(run, rows, (), mitigation, outcome), path / "matrix.json")
        return path

    return store


def quiet(text: str) -> None:
    """Nothing takes long in most of these tests."""


def test_the_fleet_has_the_newest_word_and_since_when(night: Night, tmp_path: Path) -> None:
    for number in range(6):
        night(number, "8.30", number < 3)
    night(6, "8.40", True)
    done = write(tmp_path / "out", tmp_path / "site", quiet)
    assert (done.runs, done.new, done.unread) == (7, 7, 0)
    page = (tmp_path / "site/index.html").read_text()
    words = page[page.index("<tbody>") : page.index("</tbody>")]
    assert words.index("8.30") < words.index("8.40")
    assert words.count(">NOT QUALIFIED</a>") == words.count(">QUALIFIED</a>") == 1
    assert "since 2026-01-04, 6 runs, 3 %" in words, "it has failed since the fourth night"
    assert "since 2026-01-07, 1 run<" in words
    run = (tmp_path / "site/run/2026-0005.html").read_text()
    for told in (
        *("NOT QUALIFIED", "i40e", "8.30", "6.1.0-28", "outer L4 (30)", FAILING),
        f"<strong>{TNL_CSUM}</strong>",
        f"ethtool -K p0 {TNL_CSUM} off",
    ):
        assert told in run


def test_of_several_nics_in_a_run_the_worst_one_is_the_word(night: Night, tmp_path: Path) -> None:
    night(0, "8.30", False, also=True)
    write(tmp_path / "out", tmp_path / "site", quiet)
    words = (tmp_path / "site/index.html").read_text()
    words = words[words.index("<tbody>") : words.index("</tbody>")]
    assert ">NOT QUALIFIED</a>" in words
    assert ">QUALIFIED</a>" not in words
    assert "since 2026-01-01, 1 run," in words, "two NICs, but one run"


def test_a_model_has_a_page_by_its_pci_id(night: Night, tmp_path: Path) -> None:
    """One PCI id over firmware and nights; another one with the same driver is kept apart."""
    for number in range(4):
        night(number, "8.30", number != 2)
    night(4, "8.40", True)
    night(5, "9.0", False, pci_id="8086:158b")
    night(6, "1.0", True, pci_id=None)
    site = tmp_path / "site"
    write(tmp_path / "out", site, quiet)
    page = (site / f"model/{slug(MODEL)}.html").read_text()
    assert f"PCI id (vendor and device) <bdi>{MODEL}</bdi>" in page
    assert f"subsystem id <bdi>{BOARD}</bdi>" in page
    assert "9.0" not in page
    assert page.count("<circle") == 2 + 1, "one failed, in each of two plots; and the key"
    assert page.index("8.30") < page.index("8.40")
    index = (site / "index.html").read_text()
    driver = (site / "nic/i40e.html").read_text()
    for pci_id in (MODEL, "8086:158b"):
        assert f'href="model/{slug(pci_id)}.html"' in index
        assert f'href="../model/{slug(pci_id)}.html"' in driver
    assert len(list((site / "model").iterdir())) == 2
    assert f'href="../model/{slug(MODEL)}.html"' in (site / "run/2026-0000.html").read_text()
    assert "/model/" not in (site / "run/2026-0006.html").read_text()
    assert "since 2026-01-04, " not in index[index.index("NIC models") :]
    assert "of 2 seen" in index


def test_runs_that_say_nothing_are_marked_as_such(night: Night, tmp_path: Path) -> None:
    """A NIC of which no cell was judged is not drawn as one that excludes 100 %."""
    path = night(0, "8.30", True) / "matrix.json"
    read = matrix.read(path)
    cells = [replace(cell, verdict=Verdict.INCONCLUSIVE) for cell in read.cells]
    unjudged = replace(read, cells=tuple(cells))
    seen = fleet.sightings([summary_of(unjudged)])
    assert [mark.kind for mark in history(seen).marks] == ["unjudged"]
    matrix.write(unjudged, path)
    write(tmp_path / "out", tmp_path / "site", quiet)
    run = (tmp_path / "site/run/2026-0000.html").read_text()
    assert "they exclude no rate" in run
    assert "100 %" not in run


def test_a_link_in_a_run_leads_nowhere(night: Night, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (night(0, "8.30", True) / PAGE).symlink_to(tmp_path / "secret")
    write(tmp_path / "out", tmp_path / "site", quiet)
    assert not (tmp_path / "site/page").exists()


def test_only_what_is_new_is_read_and_written(night: Night, tmp_path: Path) -> None:
    for number in range(3):
        night(number, "8.30", True)
    write(tmp_path / "out", tmp_path / "site", quiet)
    before = (tmp_path / "site/run/2026-0001.html").stat().st_mtime_ns
    again = write(tmp_path / "out", tmp_path / "site", quiet)
    assert (again.runs, again.new, again.pages) == (3, 0, 0)
    damaged = night(3, "8.30", True)
    (damaged / "matrix.json").write_text("{")
    (tmp_path / "out/2026-0000/matrix.json").unlink()
    more = write(tmp_path / "out", tmp_path / "site", quiet)
    assert (more.runs, more.new, more.unread) == (2, 1, 1)
    assert "is not the matrix of a run" in (tmp_path / "site/index.html").read_text()
    assert (tmp_path / "site/run/2026-0001.html").stat().st_mtime_ns == before
    with pytest.raises(UsageError):
        write(tmp_path / "none", tmp_path / "site", quiet)


def test_a_database_gives_the_same_site(night: Night, tmp_path: Path) -> None:
    database = Database(url_of(tmp_path / "lab.sqlite"))
    for number in range(3):
        path = night(number, "8.30", number != 1)
        index(database, matrix.read(path / "matrix.json"), path)
    database.close()
    (tmp_path / "out/2026-0002" / PAGE).write_text("the whole page")
    write(tmp_path / "out", tmp_path / "one", quiet)
    done = write(tmp_path / "lab.sqlite", tmp_path / "other", quiet)
    assert (done.runs, done.new) == (3, 3)
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.html")}
    assert len(files) == 3 + 1 + 1 + 3 + 1
    for name in files:
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "other" / name).read_text()
    assert write(tmp_path / "lab.sqlite", tmp_path / "other", quiet).new == 0


def test_everybody_can_read_it(
    browser: Browser, campaign: Make, night: Night, tmp_path: Path
) -> None:
    """In a browser, offline: fleet, history, run and the whole page of a run."""
    for number in range(12):
        path = night(number, HOSTILE if number > 8 else "8.30", number % 5 != 0)
    html.write(example_of(campaign), path / PAGE)
    write(tmp_path / "out", tmp_path / "site", quiet)
    model = f"model/{slug(MODEL)}.html"
    pages = ["index.html", "runs.html", "nic/i40e.html", model, "run/2026-0010.html"]
    for name in pages:
        for width, dark in ((1440, False), (390, True)):
            file = tmp_path / "site" / name
            with opened(browser, file, width=width, dark=dark, ready="main h1") as page:
                screenshot(page, f"site-{slug(name)}-{width}{'-dark' if dark else ''}")
                assert accessibility_faults(page) == []
                assert sideways(page) == [width, width]
                assert page.locator("script").count() == 0
    with opened(browser, tmp_path / "site/nic/i40e.html", ready="svg") as page:
        assert page.locator("svg.history circle").count() == 2 * 3
        assert page.locator("svg.history path").count() == 2 * 9
        assert "\\u202e/../8.30" in page.inner_text("table.runs")
    with opened(browser, tmp_path / "site/run/2026-0011.html", ready="h1") as page:
        href = page.get_by_role("link", name="The matrix").get_attribute("href")
        assert (tmp_path / "site/run" / str(href)).resolve().stat().st_mode & 0o777 == 0o644


def test_names_become_addresses_that_stay_apart() -> None:
    assert slug("i40e") == "i40e"
    names = {slug(name) for name in ("../etc", "a/b", "a b", "a?b", "", ".", HOSTILE, "x" * 999)}
    assert len(names) == 8
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzTA0123456789-_") for name in names)


@pytest.mark.slow
def test_a_thousand_runs(night: Night, stored: Path, tmp_path: Path) -> None:
    """Under a minute for all, five seconds for one more, and a first page of 300 KB at most.

    Each tenth run has a bundle.
    """
    manifest = json.loads((bundle(stored, (), tmp_path / "vendor")[0] / "bundle.json").read_text())
    for number in range(1000):
        path = night(number, f"8.{number // 100}", number % 3 != 0, cells=500)
        if number % 10 == 0:
            read = json.loads((path / "matrix.json").read_text())["run"]
            shutil.copytree(tmp_path / "vendor", path / "vendor")
            about = {**manifest, "run": read["id"], "started": read["started"]}
            (path / "vendor/bundle.json").write_text(json.dumps(about))
    start = time.process_time()
    write(tmp_path / "out", tmp_path / "site", quiet)
    whole = time.process_time() - start
    night(1000, "8.99", True)
    start = time.process_time()
    done = write(tmp_path / "out", tmp_path / "site", quiet)
    one = time.process_time() - start
    size = (tmp_path / "site/index.html").stat().st_size
    print(f"\n1,000 runs: {whole:.1f} s, one more: {one:.2f} s, first page: {size / 1e3:.0f} KB")
    assert (done.runs, done.new) == (1002, 1), "and the one that the bundle is of"
    assert len(list((tmp_path / "site/bundle").iterdir())) == 101, "the first lies beside the runs"
    assert whole < 60
    assert one < 5
    assert size < 300_000
    assert json.loads((tmp_path / "site/runs.json").read_text())
