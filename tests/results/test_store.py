"""The store on disks that are full, slow, or cut off: real ones, of a few KiB."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from qualification.campaign import Campaign
from qualification.errors import EXIT_LAB, EXIT_PARTIAL
from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.symptom import CallRun, Runs
from qualification.judge.verdict import Verdict
from qualification.messages.calls import Calls, ChannelCalls, Served
from qualification.plan.cells import Cell
from qualification.results import files, rejudge, run_directory
from qualification.results.conclusion import RunEnd
from qualification.results.run_files import (
    CellEntry,
    ControlEntry,
    ResumedEntry,
    SymptomEntry,
    TroubleEntry,
    dump_entry,
)
from qualification.results.store import Store

from .conftest import Make
from .test_run_directory import DEMAND, controls
from .test_run_directory import burst as a_burst

TODAY = date(2026, 1, 3)


@pytest.fixture
def run(campaign: Make) -> Campaign:
    return replace(campaign(x710=("i40e", "8.30")), demand=DEMAND)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small(kib)`: a file system of that size."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    mounted: list[Path] = []

    def mount(kib: int) -> Path:
        path = tmp_path / f"disk{len(mounted)}"
        path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "vxqual-test", path], check=True
        )
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=True)


def some_cells(run: Campaign) -> list[Cell]:
    return [c for c in run.cells("x710") if c.set_id == "all-on" and c.flow in run.flows("x710")]


def entry(cell: Cell, **seen: Any) -> dict[str, object]:
    return dump_entry(
        CellEntry(cell.id, Evidence(cell.offloads.requested, bursts=(a_burst(**seen),)))
    )


def test_files_are_read_by_their_owner_alone(run: Campaign, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.begin(run, [])
    store.end()
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {
        "run.json": 0o600,
        "evidence.jsonl": 0o600,
    }


def test_a_full_disk_keeps_what_was_stored(run: Campaign, small: Callable[[int], Path]) -> None:
    """Entries that find no space are not half there, and the run is judged as far as it got."""
    disk = small(256)
    store = Store(disk)
    cells = some_cells(run)
    store.begin(run, cells)
    store.add(*(dump_entry(ControlEntry("x710", result)) for result in controls()))
    store.add(entry(cells[0]))
    fill(disk)
    with pytest.raises(OSError, match="No space left") as raised:
        for cell in cells[1:]:
            store.add(entry(cell))
    assert raised.value.errno == errno.ENOSPC
    store.add(entry(cells[-1]))
    store.end()
    found = run_directory.read(disk)
    assert found.notes == ()
    assert cells[0].id in found.entries
    judged = rejudge.judge(found, TODAY)
    assert judged.conclusion.outcome == "INTERRUPTED"
    assert judged.conclusion.completeness.run == len(found.entries) < len(cells)


def fill(disk: Path) -> None:
    with (
        (disk / "filler").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            file.write(bytes(1024))


def test_a_file_is_the_old_one_where_the_new_one_finds_no_space(
    small: Callable[[int], Path],
) -> None:
    disk = small(64)
    files.replace(disk / "matrix.json", b"old")
    with pytest.raises(OSError, match="No space left"):
        files.replace(disk / "matrix.json", bytes(100_000))
    assert (disk / "matrix.json").read_bytes() == b"old"
    assert [path.name for path in disk.iterdir()] == ["matrix.json"]


def test_a_slow_disk_takes_one_percent_of_the_time(
    run: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 500 cells of 0.2 s, on a disk whose fsync takes 50 ms."""
    now = waited = 0.0

    def slow(_: int) -> None:
        nonlocal now, waited
        now, waited = now + 0.05, waited + 0.05

    store = Store(tmp_path, lambda: now)
    monkeypatch.setattr(os, "fsync", slow)
    store.begin(run, [])
    start, before = now, waited
    for _ in range(500):
        now += 0.2
        store.add(dump_entry(TroubleEntry("")))
    assert 0.005 < (waited - before) / (now - start) < 0.011


KILLED = """
import sys, os, signal
from qualification.results.store import Store
from qualification.results.run_files import TroubleEntry, dump_entry
from pathlib import Path
store = Store(Path(sys.argv[1]))
store._open(os.O_CREAT)
store._append([{"kind": "head"}])
while True:
    store.add(dump_entry(TroubleEntry("x" * 3000)), dump_entry(TroubleEntry("y" * 3000)))
    print(store._lines, flush=True)
"""


def test_an_entry_that_was_added_survives_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for _ in range(300):
            added = int(process.stdout.readline())
        process.kill()
        rest = process.stdout.read().split("\n")
    added = max([added, *(int(line) for line in rest[:-1])])
    whole = (tmp_path / "evidence.jsonl").read_bytes().split(b"\n")[:-1]
    assert len(whole) >= added
    assert [json.loads(line)["n"] for line in whole] == list(range(1, len(whole) + 1))


def test_calls_are_stored_with_the_verdicts(run: Campaign, tmp_path: Path) -> None:
    calls = CallRun(("outer4-csum/inner4",), Calls((ChannelCalls((0.001, 0.002)),), 0.1), Served(2))
    store = Store(tmp_path)
    store.begin(run, [])
    store.add(dump_entry(SymptomEntry("x710", Runs(1.0, calls, calls, calls))))
    store.end()
    (symptom,) = rejudge.judge(run_directory.read(tmp_path), TODAY).matrix.symptoms
    assert (symptom.pair, symptom.tunnel.calls) == ("x710", 2)


# A run that was continued


def continued(directory: Path, *entries: dict[str, object], end: bool = True) -> None:
    found = run_directory.read(directory)
    store = Store(directory)
    store.resume(found.lines, found.size, ResumedEntry("2026-01-02T04:00:00+00:00"))
    store.add(*entries)
    if end:
        store.end(RunEnd("2026-01-02T05:00:00+00:00"))


def of(results: list[ControlResult]) -> list[dict[str, object]]:
    return [dump_entry(ControlEntry("x710", result)) for result in results]


def begun(run: Campaign, directory: Path, done: int) -> list[Cell]:
    """A run that was killed while it wrote a line, after some of its cells."""
    cells = some_cells(run)
    store = Store(directory)
    store.begin(run, cells)
    store.add(*of(controls()), *map(entry, cells[:done]))
    with (directory / "evidence.jsonl").open("ab") as file:
        file.write(b'{"n": 99, "kind": "ce')
    return cells


def test_a_run_that_was_continued_is_one_run(run: Campaign, tmp_path: Path) -> None:
    cells = begun(run, tmp_path, 5)
    continued(tmp_path, *of(controls()), *map(entry, cells[5:]))
    found = run_directory.read(tmp_path)
    assert (found.notes, found.end.interrupted) == ((), False)
    assert found.resumed == ("2026-01-02T04:00:00+00:00",)
    assert [found.part_of[cell.id] for cell in cells] == [0] * 5 + [1] * 7
    judged = rejudge.judge(found, TODAY)
    assert {row.verdict for row in judged.matrix.cells} == {Verdict.PASS}
    assert judged.conclusion.completeness.run == 12
    assert judged.matrix.run.resumed == found.resumed


@pytest.mark.parametrize("bad", [0, 1])
def test_controls_of_every_part_must_be_right(run: Campaign, tmp_path: Path, bad: int) -> None:
    cells = some_cells(run)
    wrong = [replace(controls()[0], bursts={"plain4/udp": a_burst(500, drops=7)}), *controls()[1:]]
    shown = [controls(), controls()]
    shown[bad] = wrong
    store = Store(tmp_path)
    store.begin(run, cells)
    store.add(*of(shown[0]), *map(entry, cells[:5]))
    continued(tmp_path, *of(shown[1]), *map(entry, cells[5:]))
    judged = rejudge.judge(run_directory.read(tmp_path), TODAY)
    assert {row.verdict for row in judged.matrix.cells} == {Verdict.UNTRUSTED}


def test_a_cell_in_error_is_what_it_was_when_it_ran_again(run: Campaign, tmp_path: Path) -> None:
    cells = some_cells(run)
    store = Store(tmp_path)
    store.begin(run, cells)
    error = dump_entry(CellEntry(cells[3].id, None, Verdict.ERROR, "the cable fell out"))
    store.add(*of(controls()), *map(entry, cells[:3]), error, *map(entry, cells[4:]))
    store.end(RunEnd("2026-01-02T03:00:00+00:00"))
    continued(tmp_path, *of(controls()), entry(cells[3]))
    judged = rejudge.judge(run_directory.read(tmp_path), TODAY)
    assert {row.verdict for row in judged.matrix.cells} == {Verdict.PASS}


def test_errors_of_the_lab_before_it_was_continued_are_told(run: Campaign, tmp_path: Path) -> None:
    """They leave no doubt where everything came out right afterwards."""
    store = Store(tmp_path)
    store.begin(run, some_cells(run))
    store.add(dump_entry(TroubleEntry("alpha: unreachable")))
    store.end()
    assert rejudge.judge(run_directory.read(tmp_path), TODAY).exit_code == EXIT_LAB
    continued(tmp_path, *of(controls()), *map(entry, some_cells(run)))
    judged = rejudge.judge(run_directory.read(tmp_path), TODAY)
    assert judged.exit_code == EXIT_PARTIAL
    assert judged.notes == ("before the run was continued: alpha: unreachable",)


def test_evidence_outlives_a_part_in_which_the_host_was_away(run: Campaign, tmp_path: Path) -> None:
    cells = begun(run, tmp_path, 12)
    away = dump_entry(CellEntry(cells[3].id, None, Verdict.ERROR, "alpha: unreachable"))
    continued(tmp_path, away)
    found = run_directory.read(tmp_path)
    assert rejudge.judge(found, TODAY).matrix.cells[3].verdict is Verdict.ERROR
    part, kept = found.finished[cells[3].id]
    assert (part, kept.evidence is not None) == (0, True)


def test_losses_are_compared_with_the_controls_of_their_own_part(
    run: Campaign, tmp_path: Path
) -> None:
    """A path that lost frames then, and loses none now: cells of then are not a NIC's fault."""
    cells = some_cells(run)
    lossy = controls()
    lossy[1] = replace(lossy[1], bursts={name: lost(500, 50) for name in lossy[1].bursts})
    store = Store(tmp_path)
    store.begin(run, cells)
    store.add(*of(lossy), *(cell_losing(cell, 40) for cell in cells))
    store.end()
    alone = rejudge.judge(run_directory.read(tmp_path), TODAY)
    continued(tmp_path, *of(controls()))
    again = rejudge.judge(run_directory.read(tmp_path), TODAY)
    assert [row.verdict for row in again.matrix.cells] == [
        row.verdict for row in alone.matrix.cells
    ]
    assert Verdict.LOSS not in {row.verdict for row in alone.matrix.cells}
    other = tmp_path / "other"
    other.mkdir()
    store = Store(other)
    store.begin(run, cells)
    store.add(*of(controls()), *(cell_losing(cell, 40) for cell in cells))
    store.end()
    assert Verdict.LOSS in {
        row.verdict for row in rejudge.judge(run_directory.read(other), TODAY).matrix.cells
    }, "the same frames are lost by the NIC where the path loses none"


def lost(frames: int, missing: int) -> Burst:
    made = a_burst(frames)
    return replace(
        made,
        received=replace(
            made.received,
            captured=replace(made.received.captured, frames=frames - missing),
            delivered=replace(made.received.delivered, received=frames - missing),
        ),
    )


def cell_losing(cell: Cell, missing: int) -> dict[str, object]:
    return dump_entry(
        CellEntry(cell.id, Evidence(cell.offloads.requested, bursts=(lost(400, missing),)))
    )
