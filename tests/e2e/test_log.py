"""The log of whole runs, with and without workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import SMALL, SOME, TOPOLOGIES, Persistent, four_only, rows, vxqual

pytestmark = pytest.mark.lab


def test_a_run_is_explained_by_its_log(lab: Persistent, tmp_path: Path) -> None:
    done = vxqual(
        *("run", "-t", lab.topology, *SMALL, "--seed", "7", "--out", tmp_path),
        *("-k", "all-off/outer4-nocsum/inner4/udp] or test_control", SOME),
    )
    assert done.returncode == 0, done.stdout
    run = tmp_path / (tmp_path / "latest").readlink()
    assert f"log: {run / 'vxqual.log'}" in done.stdout
    text = (run / "vxqual.log").read_text()
    ((id_, cell),) = rows(tmp_path).items()
    for sentence in (
        r"command line: \S*vxqual run -t ",
        r"run \S+, plan quick, seed 7$",
        r"pair soft, DUT alpha\.port0: port0, driver tun .*firmware good, MTU 1500",
        r"1 cells selected$",
        r"pair soft: its session is open after \d",
        r"control soft/all-off passed: [\d,]+ frames, ",
        rf"cell {re.escape(id_)}: PASS in \d+\.\d\d s: {re.escape(cell['reason'])}$",
        r"pair soft: its hosts are as they were before the run$",
        r"PARTIAL: 1 of \d+ cells: 1 pass$",
        r"the run ends with exit code 0$",
    ):
        assert len(re.findall(sentence, text, re.MULTILINE)) == 1, f"{sentence}: {text}"
    assert all(" main " in line for line in text.splitlines() if line.startswith("20"))


def test_workers_write_to_the_same_log(tmp_path: Path) -> None:
    topology = tmp_path / "incident.yaml"
    topology.write_text(four_only((TOPOLOGIES / "incident.yaml").read_text()))
    out = tmp_path / "out"
    done = vxqual(
        *("run", "-t", topology, *SMALL, "-n", "2", "--out", out),
        *("-k", "all-off/outer4-nocsum/inner4/udp]", SOME),
    )
    assert done.returncode == 0, done.stdout
    lines = (out / "latest/vxqual.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d .{20} (main|gw[01]) ", line) for line in lines), lines
    cells = [
        match[0]
        for line in lines
        if (match := re.findall(r" (gw\d) .* cell (\w+)/\S+: PASS in ", line))
    ]
    assert sorted(pair for _, pair in cells) == ["faulty", "healthy"]
    assert sorted(worker for worker, _ in cells) == ["gw0", "gw1"]
    for worker in ("gw0", "gw1"):
        assert sum(line.endswith(f"worker {worker} is ready") for line in lines) == 1
        assert sum(line.endswith(f"worker {worker} has ended") for line in lines) == 1
    assert lines[-1].endswith("the run ends with exit code 0")
