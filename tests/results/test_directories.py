"""The directory of each run: its own, locked while it goes on, and `latest`."""

from __future__ import annotations

import multiprocessing
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from qualification.errors import UsageError
from qualification.results.directories import LATEST, RunDirectory, find, holder, run_id

NOW = datetime(2026, 11, 29, 5, 33, 15, 482913, tzinfo=UTC)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[RunDirectory]:
    directory = RunDirectory.create(tmp_path / "some" / "out", NOW)
    yield directory
    directory.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def run_in(path: Path) -> Path:
    """As if a run had stored something in its directory."""
    (path / "run.json").touch()
    return path


def test_the_names_sort_by_time_wherever_the_clock_is() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=9)))
    assert run_id(NOW) == run_id(east) == "20261129-053315-482913"
    times = [NOW + timedelta(seconds=1.7**n) for n in range(40)]
    assert [run_id(time) for time in times] == sorted(run_id(time) for time in times)


def test_a_run_has_a_directory_that_others_cannot_read(made: RunDirectory) -> None:
    assert made.path.name == run_id(NOW)
    out = made.path.parent
    assert [mode(path) for path in (out, made.path, made.path / "lock")] == [0o700, 0o700, 0o600]
    assert (out / LATEST).readlink() == Path(made.path.name), "relative: it can be moved"


def test_runs_of_the_same_moment_have_directories_of_their_own(made: RunDirectory) -> None:
    out = made.path.parent
    other = RunDirectory.create(out, NOW)
    assert other.path != made.path
    assert other.path.name > made.path.name
    assert (out / LATEST).readlink() == Path(other.path.name)
    other.close()


def make(out: Path, start: Barrier) -> None:
    start.wait()
    (RunDirectory.create(out, NOW).path / "run.json").write_text(str(os.getpid()))


def test_many_runs_that_start_at_once_are_not_mixed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(8)
    processes = [context.Process(target=make, args=(tmp_path, start)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    written = {path.read_text() for path in tmp_path.glob("2*/run.json")}
    assert written == {str(process.pid) for process in processes}
    assert find(tmp_path) in tmp_path.glob("2*")
    assert [path.name for path in tmp_path.glob(".*")] == [], "no half link is left"


def test_a_run_that_goes_on_is_locked(made: RunDirectory) -> None:
    assert holder(made.path).startswith(f"process {os.getpid()} on ")
    with pytest.raises(UsageError, match=rf"{made.path}: its run goes on: process {os.getpid()} "):
        RunDirectory.reopen(made.path)
    made.close()
    assert holder(made.path) == ""
    again = RunDirectory.reopen(made.path)
    assert holder(made.path)
    again.close()


def test_a_killed_run_is_not_locked(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(1)
    process = context.Process(target=make, args=(tmp_path, start))
    process.start()
    process.join(30)
    assert holder(find(tmp_path)) == ""


def test_what_was_no_run_leaves_nothing(made: RunDirectory) -> None:
    out = made.path.parent
    made.discard()
    assert not out.exists()
    assert out.parent.is_dir(), "it was somebody else's"


def test_what_was_no_run_leaves_the_run_before_it(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path, NOW)
    first.close()
    RunDirectory.create(tmp_path, NOW + timedelta(hours=1)).discard()
    assert find(tmp_path) == first.path
    late = RunDirectory.create(tmp_path, NOW - timedelta(hours=1))
    second = RunDirectory.create(tmp_path, NOW + timedelta(hours=2))
    late.discard()
    assert find(tmp_path) == second.path, "it was not what latest pointed to"
    second.close()


def test_a_run_is_found_by_any_of_its_names(made: RunDirectory) -> None:
    run_in(made.path)
    out = made.path.parent
    for name in (out, made.path, out / LATEST):
        assert find(name).resolve() == made.path
    (out / LATEST).unlink()
    assert find(out) == made.path, "file systems without links have no latest"


def test_the_latest_run_is_that_which_began_last_whatever_its_clock(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, NOW).close()
    late = RunDirectory.create(tmp_path, NOW - timedelta(hours=1))  # the clock was put back
    late.close()
    assert find(tmp_path) == late.path


@pytest.mark.parametrize(
    ("name", "what"), [("none", "there is no such directory"), (".", "has no")]
)
def test_where_there_is_no_run(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        find(tmp_path / name)


def test_a_latest_that_is_no_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / LATEST).mkdir()
    with pytest.raises(UsageError, match="results cannot be written to"):
        RunDirectory.create(tmp_path, NOW)
    assert [path.name for path in tmp_path.iterdir()] == [LATEST]
