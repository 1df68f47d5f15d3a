"""`scripts/torture`: what it says, and that it can fail."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qualification.remote.host import open_agent
from qualification.topology import load
from torture import mishaps, runs
from torture.kills import VICTIMS, kills
from torture.lab import await_that, children, command_line, descendants, kill, lab
from torture.scenarios import SCENARIOS
from torture.side_by_side import Labs
from torture.trial import Setting, Trial

ROOT = Path(__file__).parents[2]


def torture(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "torture", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_the_scenarios() -> None:
    said = torture("--help").stdout
    assert all(f"  {name}" in said for name in SCENARIOS)
    assert torture("nothing").returncode == 2


def sleeping(pid: int, found: list[int]) -> int:
    """Puts the children of a shell that have become `sleep` into a list; returns their number."""
    found[:] = [child for child in children(pid) if command_line(child) == "sleep 60 "]
    return len(found)


def test_a_process_and_those_below_it_are_found_and_killed() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & sleep 60 & wait"]) as shell:
        below: list[int] = []
        assert await_that(lambda: sleeping(shell.pid, below) == 2, 20)
        assert sorted(children(shell.pid)) == sorted(below) == sorted(descendants(shell.pid))
        assert all(kill(pid, signal.SIGKILL) for pid in below)
    assert command_line(shell.pid) == ""
    assert not kill(shell.pid, signal.SIGKILL)


def test_a_traceback_that_a_user_sees_is_a_problem() -> None:
    assert runs.traces("Traceback (most recent call last)") != []
    assert runs.traces("NOT QUALIFIED") == []


def test_a_clock_goes_back_and_what_waits_by_another_does_not_notice(tmp_path: Path) -> None:
    back = tmp_path / "back"
    code = """if True:
        import pathlib, sys, time
        before = time.time(), time.monotonic()
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(0.01)
        print(round(time.time() - before[0]), round(time.monotonic() - before[1]))"""
    done = subprocess.run(
        [sys.executable, "-c", code, back],
        env={"LD_PRELOAD": str(mishaps.clock_library(tmp_path)), "VXQUAL_CLOCK_BACK": str(back)},
        capture_output=True,
        text=True,
        check=True,
    )
    hour, nothing = map(int, done.stdout.split())
    assert -3600 <= hour < -3500
    assert 0 <= nothing < 100


@pytest.mark.lab
@pytest.mark.slow
def test_each_kind_of_process_is_killed_once(tmp_path: Path) -> None:
    said: list[str] = []
    with Labs(tmp_path, said.append) as labs:
        setting = Setting(len(VICTIMS), random.Random(7), tmp_path, 100, labs)
        trials: list[Trial] = list(kills(setting))
    assert [trial.problems for trial in trials] == [()] * len(VICTIMS), trials


@pytest.mark.lab
def test_the_agents_of_a_run_are_found(tmp_path: Path) -> None:
    with (
        lab(tmp_path, "lab") as built,
        runs.started(tmp_path / "out", "--version") as run,
        contextlib.ExitStack() as stack,
    ):
        agents = [
            stack.enter_context(open_agent(name, host.ssh))
            for name, host in load(built.topology).hosts.items()
            if host.ssh
        ]
        pids = {agent.greeting.pid for agent in agents}
        assert len(pids) == 2
        assert set(VICTIMS["agent"](built, run)) == pids
