"""Runs that are continued: cells are kept, controls run again, and nothing else may be another."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qualification.results import run_directory

from .conftest import (
    ALONE,
    SMALL,
    SOME,
    TOPOLOGIES,
    Edit,
    Persistent,
    eventually,
    four_only,
    read_until,
    rows,
    running,
    vxqual,
)

pytestmark = pytest.mark.lab

CELLS = (
    *("-k", f"(all-on/ or all-off/ or /tso/) and outer4-csum/inner4 and {ALONE} or culprit"),
    *("-m", "not crafted"),
)
"""Nine cells, and the search for the culprit of those that fail."""


def interrupted(args: tuple[object, ...], cells: int, number: int) -> None:
    """Runs the command until so many cells have a verdict, then sends it a signal."""
    with running(*args, "-v") as process:
        while cells:  # a worker's cell has a line when it begins, too
            line = read_until(process, "::test_cell[").splitlines()[-1]
            cells -= bool(re.search(r"\b(PASS|FAIL)\b", line))
        process.send_signal(number)
        process.communicate(timeout=60)


def verdicts(out: Path) -> dict[str, str]:
    return {id_: cell["verdict"] for id_, cell in rows(out).items()}


def entries(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "latest/evidence.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NIC that leaves the seed in the outer checksum of what it segments."""
    path = tmp_path_factory.mktemp("faulty") / "faulty.yaml"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    path.write_text(text + "  firmwares: {alpha.port0: {model: seed-left}}\n")
    return path


@pytest.fixture(scope="module")
def undisturbed(faulty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    done = vxqual("run", faulty, *SMALL, "--out", out, "--seed", "7", *CELLS)
    assert done.returncode == 1, done.stdout
    return out


@pytest.mark.slow  # CI's scripts/torture --short kills runs and goes on with them, too
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGKILL, "0"), (signal.SIGTERM, "1")])
def test_a_run_that_is_continued_equals_an_undisturbed_one(
    faulty: Path, undisturbed: Path, tmp_path: Path, number: int, workers: str
) -> None:
    """Twice: after some cells, and after most of them."""
    args = ("run", faulty, *SMALL, "--out", tmp_path, "--seed", "7", "-n", workers, *CELLS)
    interrupted(args, 3, number)
    run = (tmp_path / "latest").resolve()
    first = run_directory.read(run)
    assert len(first.finished) >= 3
    interrupted(("run", "--resume", "--out", tmp_path, "-n", workers), 6, number)
    second = run_directory.read(run)
    assert len(second.finished) >= 6
    assert second.finished.items() >= first.finished.items()

    done = vxqual("run", "--resume", run, "-n", workers)
    assert done.returncode == 1, done.stdout
    assert f"run {run.name} goes on: {len(second.finished)} of " in done.stdout
    assert [path.name for path in tmp_path.glob("2*")] == [run.name], "in the same directory"
    assert verdicts(tmp_path) == verdicts(undisturbed)
    culprits = {id_: cell["culprit"] for id_, cell in rows(undisturbed).items()}
    assert {id_: cell["culprit"] for id_, cell in rows(tmp_path).items()} == culprits
    assert any(culprits.values())
    kinds = [entry["kind"] for entry in entries(tmp_path)]
    assert kinds.count("resumed") == 2
    assert kinds[-1] == "end"
    ids = [entry["id"] for entry in entries(tmp_path) if entry["kind"] == "cell"]
    assert len(ids) == len(set(ids)), "what was kept is stored once"
    controls = [
        entry["result"]["name"] for entry in entries(tmp_path) if entry["kind"] == "control"
    ]
    assert controls.count("plain") == 3, "they are run anew each time"
    again = vxqual("judge", tmp_path, "--out", tmp_path / "again")
    assert again.returncode == 1
    assert (tmp_path / "again/matrix.json").read_text() == (run / "matrix.json").read_text()

    # Nothing is missing any more: the search is not made again, nor any cell run.
    before = len(entries(tmp_path))
    idle = vxqual("run", "--resume", run)
    assert idle.returncode == 1, idle.stdout
    added = {entry["kind"] for entry in entries(tmp_path)[before:]}
    assert added == {"resumed", "control", "end"}
    assert verdicts(tmp_path) == verdicts(undisturbed)


def test_a_run_that_goes_on_is_not_continued(lab: Persistent, tmp_path: Path) -> None:
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "-k", "nocsum and tcp")
    with running(*args) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGSTOP)
        refused = vxqual("run", "--resume", "--out", tmp_path)
        process.kill()
    assert refused.returncode == 4, refused.stdout
    assert f"its run goes on: process {process.pid} on " in refused.stdout
    eventually(lambda: lab.pids() == [])


@pytest.fixture(scope="module")
def begun(lab: Persistent, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one cell on the persistent lab."""
    out = tmp_path_factory.mktemp("begun")
    one = ("-k", "all-on/outer4-nocsum/inner4/tcp]", SOME)
    done = vxqual("run", "-t", lab.topology, *SMALL, "--seed", "7", "--out", out, *one)
    assert done.returncode == 0, done.stdout
    return out


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (("--plan", "full"), "the run was made with --plan quick, and full is asked for now"),
        (("--seed", "8"), "the run was made with --seed 7, and 8 is asked for now"),
        (("--rate", "0.01"), "the run was made with --rate 0.05, and 0.01 is asked for now"),
        (("-k", "all-off"), "the run was made with -k all-on/outer4-nocsum/inner4/tcp], and all-"),
        (("-m", "crafted"), "the run was made with -m nothing, and crafted is asked for now"),
        (("--symptom",), "the run was made with --symptom off, and on is asked for now"),
        (("--pair", "other"), "the run was made with --pair soft, and other is asked for now"),
    ],
)
def test_another_option_is_refused(begun: Path, args: tuple[str, ...], what: str) -> None:
    before = (begun / "latest/evidence.jsonl").read_bytes()
    done = vxqual("run", "--resume", "--out", begun, *args)
    assert done.returncode == 4, done.stdout
    assert what in done.stdout
    assert "Traceback" not in done.stdout
    assert (begun / "latest/evidence.jsonl").read_bytes() == before


def mtu(document: dict[str, Any]) -> None:
    document["hosts"]["alpha"]["nics"]["port0"]["firmware"] = "9.99"


def port(document: dict[str, Any]) -> None:
    document["pairs"]["soft"]["port"] = 4790


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (mtu, "the topology's hosts.alpha.nics.port0.firmware was good, and is 9.99 now"),
        (port, "the topology's pairs.soft.port was "),
    ],
)
def test_another_topology_is_refused(
    begun: Path, changed: Callable[[Edit], Path], edit: Edit, what: str
) -> None:
    done = vxqual("run", changed(edit), "--resume", "--out", begun)
    assert done.returncode == 4, done.stdout
    assert f"the run cannot be continued: {what}" in done.stdout
    assert (begun / "latest/matrix.json").exists()


def test_another_kernel_or_driver_is_refused(begun: Path, tmp_path: Path) -> None:
    """As if it had been upgraded since: the stored run says another one."""
    run = begun / "latest"
    for was, now, what in (
        ('"driver": "tun"', '"driver": "tap"', "the driver was tap, and is tun now"),
        (r'"kernel": "[^"]*", "os"', '"kernel": "5.4.0", "os"', "the kernel of the host was 5.4.0"),
        (r'"version": "0[^"]*"', '"version": "0.0.9"', "vxqual was 0.0.9, and is "),
    ):
        other = tmp_path / what[:10]
        other.mkdir()
        text, count = re.subn(was, now, (run / "run.json").read_text())
        assert count, was
        (other / "run.json").write_text(text)
        subprocess.run(["cp", run / "evidence.jsonl", other], check=True)
        done = vxqual("run", "--resume", other)
        assert done.returncode == 4, done.stdout
        assert what in done.stdout


def test_errors_are_tried_again_and_the_rest_is_kept(
    lab: Persistent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaks.py").write_text(BREAKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    out = tmp_path / "out"
    args = ("-k", f"all-on/outer4-nocsum and {ALONE}", "-m", "not crafted", SOME)
    done = vxqual("run", "-t", lab.topology, *SMALL, "--out", out, *args, "-p", "breaks")
    assert done.returncode == 10, done.stdout
    assert f"continue it: vxqual run --resume {(out / 'latest').resolve()}" in done.stdout
    broken = {id_ for id_, verdict in verdicts(out).items() if verdict == "ERROR"}
    assert 0 < len(broken) < len(rows(out))
    done = vxqual("run", "--resume", "--out", out)
    assert done.returncode == 0, done.stdout
    assert set(verdicts(out).values()) == {"PASS"}
    number = [entry["kind"] for entry in entries(out)].index("resumed")
    ran = {entry["id"] for entry in entries(out)[number:] if entry["kind"] == "cell"}
    assert ran == broken


BREAKS = """
import pytest
from qualification.errors import HostError

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if "inner6/tcp]" in item.nodeid:
        raise HostError("the cable fell out", where="alpha")
"""
