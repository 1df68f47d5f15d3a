"""Runs that are killed, cut off, or find no space: what they have found is not lost."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qualification.results import run_directory
from qualification.results.matrix import read

from .conftest import SMALL, VXQUAL, Persistent, eventually, read_until, running, vxqual

pytestmark = pytest.mark.lab

FEW = ("-k", "nocsum and tcp and not vlan and not load and not both", "-m", "not crafted")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "vxqual-test", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def fill(disk: Path) -> None:
    """Takes all the space that is left."""
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))


def without_traceback(said: str) -> None:
    for word in ("Traceback", "INTERNALERROR", "Logging error"):
        assert word not in said, said


def test_a_killed_run_is_judged_as_far_as_it_got(lab: Persistent, tmp_path: Path) -> None:
    before = lab.state()
    with running("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", *FEW) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGSTOP)
        goes_on = vxqual("judge", tmp_path)
        process.kill()
    assert f"note: the run goes on: process {process.pid} on " in goes_on.stdout
    judged = vxqual("judge", tmp_path)
    assert judged.returncode == 2, judged.stdout
    assert re.match(r"INTERRUPTED, (\d+) of \d+ done: \1 pass\n", judged.stdout)
    assert "goes on" not in judged.stdout
    eventually(lambda: lab.pids() == [] and lab.state() == before)


def on_a_terminal(args: tuple[object, ...]) -> tuple[int, int]:
    """Starts the command on a terminal of its own; returns its pid and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(VXQUAL, [str(VXQUAL), *map(str, args)])
    return pid, terminal


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_terminal_that_is_closed_ends_the_run_in_order(
    lab: Persistent, tmp_path: Path, workers: str
) -> None:
    """The kernel sends SIGHUP, and nothing can be written to the terminal any more."""
    before = lab.state()
    pid, terminal = on_a_terminal(
        ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "-n", workers, *FEW)
    )
    said = b""
    until = time.monotonic() + 60
    while said.count(b"::test_cell[") < 3:
        assert time.monotonic() < until, said
        if select.select([terminal], [], [], 1)[0]:
            said += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before
    made = read(tmp_path / "latest/matrix.json").run
    assert made.outcome == "INTERRUPTED"
    assert made.completeness.run >= 1
    assert run_directory.read(tmp_path).end.finished, "its end is stored"
    log = (tmp_path / "latest/vxqual.log").read_text()
    assert "the run ends with exit code 2\n" in log
    without_traceback(log)


def test_a_run_that_ignores_the_terminal_goes_on(lab: Persistent, tmp_path: Path) -> None:
    """As nohup(1) starts it."""
    one = ("-k", "all-on/outer4-nocsum/inner4/tcp]")
    command = [VXQUAL, "run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "--partial-ok"]
    ignored = subprocess.Popen(
        ["nohup", *command, *one],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    with ignored as process:
        read_until(process, "session starts")
        process.send_signal(signal.SIGHUP)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 0, said


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_disk_that_gets_full_ends_the_run_in_order(
    lab: Persistent, small: Path, workers: str
) -> None:
    before = lab.state()
    args = ("run", "-t", lab.topology, *SMALL, "--out", small, "-v", "-n", workers, *FEW)
    with running(*args) as process:
        said = read_until(process, "::test_cell[") + read_until(process, "PASS")
        fill(small)
        rest = process.communicate(timeout=100)[0]
    without_traceback(said + rest)
    assert process.returncode == 10, rest
    (done,) = re.findall(r"\nINTERRUPTED, (\d+) of \d+ done: \1 pass\n", rest)
    run = small / (small / "latest").readlink()
    assert f"vxqual: results cannot be written to {run}: No space left on device" in rest
    assert f"\n  next: free some space (df -h {run}; df -i {run})" in rest
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before
    judged = vxqual("judge", small)
    assert judged.returncode == 2, judged.stdout
    stored = len(run_directory.read(small).entries)
    assert 1 <= stored <= int(done)


@pytest.mark.parametrize("moment", ["before it starts", "with its last cell"])
def test_a_disk_that_is_full(
    lab: Persistent, small: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moment: str
) -> None:
    one = ("-k", "all-on/outer4-nocsum/inner4/tcp]", "--partial-ok")
    if moment == "before it starts":
        fill(small)
    else:
        (tmp_path / "fills.py").write_text(FILLS)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setenv("FILLED", str(small / "filler"))
        one = (*one, "-p", "fills")
    done = vxqual("run", "-t", lab.topology, *SMALL, "--out", small, *one)
    without_traceback(done.stdout)
    assert done.returncode == 10, done.stdout
    assert f"results cannot be written to {small}" in done.stdout
    assert "No space left on device" in done.stdout
    if moment != "before it starts":
        assert re.search(r"\nPARTIAL: 1 of \d+ cells: 1 pass\n", done.stdout)


FILLS = """
import os
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    with open(os.environ["FILLED"], "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    return (yield)
"""
