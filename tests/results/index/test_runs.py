"""Runs in the store: put there once, found by what is known of them, and compared by their ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from qualification.errors import LabError, UsageError
from qualification.results import matrix
from qualification.results.importing import import_runs, runs_of
from qualification.results.index import queries
from qualification.results.index.database import Database, url_of
from qualification.results.index.history import history
from qualification.results.index.listing import models, table
from qualification.results.index.queries import Filter
from qualification.results.index.tables import CELLS
from qualification.results.index.writing import index
from qualification.results.run_argument import load, resolve

from .conftest import CULPRIT, Nights, failing, fine, written


@pytest.fixture(
    params=["sqlite", pytest.param("pg", marks=[pytest.mark.slow, pytest.mark.postgresql])]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A store on each database."""
    sqlite = request.param == "sqlite"
    database = Database(
        url_of(tmp_path / "s.sqlite" if sqlite else request.getfixturevalue("postgresql"))
    )
    yield database
    database.close()


@pytest.fixture
def lab(store: Database, night: Nights, tmp_path: Path) -> Database:
    """Six nights: two firmwares of one driver, and another driver."""
    for results in (
        night(0),
        night(1, failing(), topology="other.yaml"),
        night(2, failing()),
        night(3, firmware="9.20"),
        night(4, firmware="9.20"),
        night(5, fine("e810"), driver="ice", firmware="4.40 0x8001"),
    ):
        index(store, results, written(results, tmp_path / "out"))
    return store


def days(runs: list[queries.ListedRun]) -> list[int]:
    return [int(run.id[6:8]) - 2 for run in runs]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [5, 4, 3, 2, 1, 0]),
        (Filter(limit=2), [5, 4]),
        (Filter(driver="ice"), [5]),
        (Filter(driver="i*e"), [5, 4, 3, 2, 1, 0]),
        (Filter(driver="i%e"), []),
        (Filter(firmware="9.*"), [4, 3]),
        (Filter(firmware="9.20", limit=1), [4]),
        (Filter(driver="ice", firmware="9.20"), []),
        (Filter(pair="e810"), [5]),
        (Filter(topology="other.yaml"), [1]),
        (Filter(outcome="NOT QUALIFIED"), [2, 1]),
        (Filter(since="2026-01-06T00:00:00+00:00"), [5, 4]),
        (Filter(serial="none"), []),
    ],
)
def test_runs_are_found(lab: Database, wanted: Filter, found: list[int]) -> None:
    assert days(queries.runs(lab, wanted)) == found


def test_what_is_known_of_a_run(lab: Database, tmp_path: Path) -> None:
    (run,) = queries.runs(lab, Filter(topology="other.yaml"))
    assert (run.id, run.started) == ("20260103-030405-000000", "2026-01-03T03:04:05+00:00")
    assert (run.outcome, run.plan, run.planned) == ("NOT QUALIFIED", "quick", 2)
    assert run.directory == str(tmp_path / "out" / run.id)
    (dut,) = run.duts
    assert (dut.pair, dut.driver, dut.firmware, dut.pci_id) == ("x710", "i40e", "8.30", "8086:1572")
    assert (dut.cells, dut.passed, dut.failed, dut.known, dut.not_judged) == (2, 1, 1, 0, 0)


def test_the_list_has_a_line_for_each_dut(lab: Database) -> None:
    head, first, *rest = table(queries.runs(lab, Filter()))
    assert head.split() == ["run", "began", "(UTC)", "outcome", "plan", "pair", "NIC", "cells"]
    assert first.split() == [
        *("20260107-030405-000000", "2026-01-07", "03:04", "QUALIFIED", "quick", "e810"),
        *("ice", "4.40", "0x8001", "2", "pass"),
    ]
    assert len(rest) == 5
    assert "NOT QUALIFIED" in rest[2]
    assert rest[2].endswith("i40e 8.30        1 FAIL, 1 pass")


def test_a_run_is_there_once_however_often_it_is_put_there(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    results = night(0)
    directory = written(results, tmp_path)
    said = [index(store, results, directory).done for _ in range(3)]
    assert said == ["new", "there already", "there already"]
    later = replace(results, run=replace(results.run, resumed=("2026-01-02T04:00:00+00:00",)))
    assert index(store, later, directory).done == "changed", "it was continued"
    assert len(queries.runs(store, Filter())) == 1
    assert matrix.parse(queries.content(store, results.run.id), "") == later


def test_another_run_of_the_same_id_is_refused(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    results = night(0)
    index(store, results, written(results, tmp_path))
    with pytest.raises(UsageError, match=f"another run of the id {results.run.id} is there"):
        index(store, night(1, id=results.run.id), tmp_path)


def test_a_copy_takes_the_place_of_a_directory_that_is_gone(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    results = night(0)
    first, copy = written(results, tmp_path / "a"), written(results, tmp_path / "b")
    index(store, results, first)
    assert index(store, results, copy).done == "there already"
    assert resolve(results.run.id, tmp_path, str(store.path or store.url)) == first
    first.rename(tmp_path / "moved")
    assert index(store, results, copy).done == "changed"
    assert resolve(results.run.id, tmp_path, str(store.path or store.url)) == copy


def test_cells_say_how_many_frames_were_wrong_and_where_their_evidence_is(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    results = night(0, failing())
    directory = written(results, tmp_path)
    first, other = (cell.id for cell in results.cells)
    (directory / "evidence.jsonl").write_text(
        '{"n": 1, "kind": "head", "schema": 3, "run": "x"}\n'
        f'{{"n": 2, "id": "{first}", "evidence": null, "verdict": "ERROR", "kind": "cell"}}\n'
        f'{{"n": 3, "id": "{first}", "evidence": {{"bursts": []}}, "kind": "cell"}}\n'
        f'{{"n": 4, "id": "{other}#proof", "evidence": {{"bursts": []}}, "kind": "proof"}}\n'
        '{"n": 5, "id": "half'
    )
    index(store, results, directory)
    with store.reading() as connection:
        rows = connection.execute(sqlalchemy.select(CELLS).order_by(CELLS.c.position)).all()
    assert [(row.verdict, row.frames, row.wrong, row.evidence_line) for row in rows] == [
        ("FAIL", 7000, 210, 3),
        ("PASS", 7000, 0, None),
    ]
    assert (rows[0].signature, rows[0].culprit) == ("noise, outer L4", CULPRIT[0])
    assert (rows[0].offload_set, rows[0].flow) == ("all-on", "outer4-csum/inner4/tcp")


def test_an_id_is_enough_and_so_is_its_beginning(
    lab: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(lab.path or lab.url)
    elsewhere = tmp_path / "elsewhere"
    assert resolve("20260104", elsewhere, place) == tmp_path / "out" / "20260104-030405-000000"
    assert load("20260104", elsewhere, place).run.id == "20260104-030405-000000"
    monkeypatch.setenv("VXQUAL_STORE", place)
    assert resolve("20260104", elsewhere).name == "20260104-030405-000000"
    with pytest.raises(UsageError, match="several runs begin like that\n  next: give more of the"):
        resolve("2026010", elsewhere)
    for name in ("20270104", "%", "2026_104"):
        with pytest.raises(UsageError, match="there is no such directory, and no run of that id"):
            resolve(name, elsewhere)


def test_results_are_had_of_a_run_whose_directory_is_elsewhere(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    results = night(0)
    index(store, results, tmp_path / "never there")
    place = str(store.path or store.url)
    with pytest.raises(UsageError, match=r"never there on .* is not here\n  next: use the machine"):
        resolve(results.run.id, tmp_path, place)
    assert load(results.run.id, tmp_path, place) == results


# History


def test_the_history_of_each_model(lab: Database) -> None:
    old, new, other = history(lab)
    assert (old.driver, old.pci_id, old.firmware) == ("i40e", "8086:1572", "8.30")
    assert (old.runs, old.failed, old.nics) == (3, 2, 1)
    assert (old.first[:10], old.last[:10]) == ("2026-01-02", "2026-01-04")
    assert old.passed_before == "2026-01-02T03:04:05+00:00"
    (fault,) = old.faults
    assert (fault.signature, fault.culprit) == ("noise, outer L4", CULPRIT[0])
    assert (fault.cells, fault.runs, fault.first[:10]) == (1, 2, "2026-01-03")
    assert (new.firmware, new.failed, new.faults) == ("9.20", 0, ())
    assert other.driver == "ice"
    assert [one.firmware for one in history(lab, "8086:1572")] == ["8.30", "9.20", "4.40 0x8001"]
    assert [one.firmware for one in history(lab, "ice")] == ["4.40 0x8001"]
    assert history(lab, "mlx5*") == []


def test_the_history_says_what_failed_and_since_when(lab: Database) -> None:
    lines = list(models(history(lab, "i40e")))
    assert lines == [
        "i40e 8086:1572",
        "  firmware 8.30: FAILS, 1 of 2 cells in the last run",
        "    3 runs of 1 NIC, 2026-01-02 to 2026-01-04, kernel 6.1.0-28",
        "    since 2026-01-03: noise, outer L4, culprit tx-udp_tnl-csum-segmentation; 1 cells in "
        "2 runs",
        "    no cell failed up to the run of 2026-01-02 03:04",
        "  firmware 9.20: has not failed",
        "    2 runs of 1 NIC, 2026-01-05 to 2026-01-06, kernel 6.1.0-28",
    ]


# Import


def test_directories_are_imported_with_all_their_runs(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    for day in range(3):
        written(night(day), tmp_path / "a")
    (tmp_path / "a" / "latest").symlink_to("20260102-030405-000000")
    (tmp_path / "a" / "notes").mkdir()
    alone = written(night(3), tmp_path / "b")
    alone = alone.rename(tmp_path / "from another machine")
    places = [tmp_path / "a", alone, tmp_path / "a"]
    done = import_runs(store, places, lambda _: None)
    assert {what: len(some) for what, some in done.ids.items()} == {
        "new": 4, "changed": 0, "there already": 0,
    }  # fmt: skip
    again = import_runs(store, places, lambda _: None)
    assert len(again.ids["there already"]) == 4
    assert len(queries.ids(store)) == 4


def test_a_damaged_run_keeps_no_other_out(store: Database, night: Nights, tmp_path: Path) -> None:
    written(night(0), tmp_path / "a")
    damaged = written(night(1), tmp_path / "a")
    (damaged / "matrix.json").write_text("{}")
    done = import_runs(store, [tmp_path / "a"], lambda _: None)
    assert len(done.ids["new"]) == 1
    assert list(done.refused) == [damaged]


def test_a_run_that_makes_no_sense_is_refused(
    store: Database, night: Nights, tmp_path: Path
) -> None:
    results = night(0)
    some = replace(results.cells[0], frames=10**19)
    for wrong in (
        replace(results, run=replace(results.run, id="a", started="yesterday")),
        replace(results, run=replace(results.run, id="b"), cells=(some,)),
    ):
        with pytest.raises((UsageError, LabError)):
            index(store, wrong, tmp_path)
    with pytest.raises(UsageError, match=r"there is no store|no run of that id"):
        queries.place(store, "a")


@pytest.mark.parametrize("name", [".", "nothing"])
def test_a_place_without_a_run_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"has no stored run|cannot be read"):
        list(runs_of(tmp_path / name))
