"""`scripts/bench` on small inputs: every kind runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.kinds import KINDS
from bench.processes import run, started
from qualification.errors import LabError

ROOT = Path(__file__).parents[2]


def bench(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *options],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def quick(tmp_path: Path, *kinds: str) -> dict[str, Any]:
    """Returns the document of a quick run, which must succeed."""
    path = tmp_path / "bench.json"
    done = bench("--quick", "--rounds=1", f"--json={path}", *kinds)
    assert done.returncode == 0, done.stdout + done.stderr
    made: dict[str, Any] = json.loads(path.read_text())
    assert {row["kind"] for row in made["rows"]} == set(kinds)
    assert all(value > 0 for row in made["rows"] for value in row["ours"]["values"])
    for row in made["rows"]:
        assert row["work"] in done.stdout
    return made


def test_files(tmp_path: Path) -> None:
    made = quick(tmp_path, "verify", "mixed", "answer", "memory", "kernel")
    assert len(made["rows"]) == 16
    assert made["machine"]["tools"]["tcpdump"].startswith("tcpdump version")
    assert os.uname().nodename not in made["machine"].values()


@pytest.mark.lab
def test_networks(tmp_path: Path) -> None:
    made = quick(tmp_path, "live", "generator", "softnic")
    live = [row for row in made["rows"] if row["kind"] == "live"]
    assert [row["note"].partition(",")[0] for row in live] == ["dropped by vxqual 0"] * 2


@pytest.mark.lab
@pytest.mark.slow
def test_runs(tmp_path: Path) -> None:
    assert len(quick(tmp_path, "plan", "excluding", "pairs")["rows"]) == 8


def test_every_kind_is_tried_above() -> None:
    text = Path(__file__).read_text()
    assert all(f'"{name}"' in text for name in KINDS)


def test_a_missing_tool_is_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = bench("--quick", "--rounds=1", "verify", "answer", PATH=f"{tmp_path / 'empty'}")
    assert done.returncode == 10
    assert "not measured: vxqual verify: " in done.stdout
    assert "tcpdump" in done.stdout
    assert "verify 1,000 frames" in done.stdout, "everything else is measured"


def test_the_help_names_every_kind() -> None:
    done = bench("--help")
    assert all(f"  {name} " in done.stdout for name in KINDS)


def test_a_quick_run_makes_no_page(tmp_path: Path) -> None:
    done = bench("--quick", f"--page={tmp_path / 'page.md'}", "answer")
    assert done.returncode == 2
    assert not (tmp_path / "page.md").exists()


def test_the_cost_of_a_command() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done')"
    cost = run([sys.executable, "-c", f"held = bytearray(80 << 20)\n{busy}"], keep=True)
    assert cost.output == "done\n"
    assert 0.3 <= cost.cpu < 1
    assert cost.wall >= cost.cpu * 0.9
    nothing = run([sys.executable, "-c", "pass"])
    assert 78 << 20 < cost.peak - nothing.peak < 90 << 20
    assert nothing.output == ""


def test_a_command_does_not_count_the_memory_of_its_caller() -> None:
    held = bytearray(200 << 20)
    assert run([sys.executable, "-c", "pass"]).peak < len(held) / 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('too bad')"], "ended with 1: too bad"),
        (["/nonexistent/program"], "cannot run /nonexistent/program"),
    ],
)
def test_a_command_that_fails_is_an_error(command: list[str], message: str) -> None:
    with pytest.raises(LabError, match=message):
        run(command)


def test_a_command_does_not_outlive_a_failure() -> None:
    code = "import sys, time; sys.stderr.write('here'); sys.stderr.flush(); time.sleep(60)"
    with pytest.raises(ZeroDivisionError), started([sys.executable, "-c", code]) as running:
        while "here" not in running.errors():
            assert not running.over()
            time.sleep(0.005)
        raise ZeroDivisionError
    assert running.over()
