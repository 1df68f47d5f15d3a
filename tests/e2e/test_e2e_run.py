"""Runs from the command line to exit code, matrix and reports."""

from __future__ import annotations

import json
import os
import re
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from qualification.plan.features import TNL_CSUM, TSO, TSO6, USO
from qualification.results.matrix import read

from .conftest import (
    SMALL,
    TOPOLOGIES,
    Standing,
    eventually,
    four_only,
    read_until,
    rows,
    run,
    running,
    vxqual,
)

pytestmark = pytest.mark.lab

CUTTERS = {("tcp", 4): TSO, ("tcp", 6): TSO6, ("udp", 4): USO, ("udp", 6): USO}
CRASH = """
import os
import pytest

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    if "inner6/udp]" in item.nodeid:
        os._exit(7)
"""


def test_the_loopback_lab_qualifies(tmp_path: Path) -> None:
    out, junit, allure = tmp_path / "out", tmp_path / "junit.xml", tmp_path / "allure"
    done = vxqual(
        *("run", "-t", TOPOLOGIES / "loopback.yaml", *SMALL, "--seed", "7", "--out", out),
        *("-k", "all-on and inner6 and tcp", f"--junitxml={junit}", f"--alluredir={allure}", "-v"),
    )
    assert done.returncode == 0, done.stdout

    matrix = read(out / "matrix.json")
    assert matrix.run.seed == 7
    assert matrix.run.topology == str(TOPOLOGIES / "loopback.yaml")
    assert [(nic.role, nic.host, nic.driver, nic.firmware) for nic in matrix.nics] == [
        ("dut", "alpha", "tun", "good"),
        ("peer", "bravo", "tun", "good"),
    ]
    outers = ("outer4-csum", "outer4-nocsum", "outer6-csum", "outer6-nocsum")
    ids = {f"soft/all-on/{outer}/inner6/tcp" for outer in outers}
    assert {cell.id for cell in matrix.cells} == ids
    for cell in matrix.cells:
        assert (cell.verdict, cell.bad, cell.lost) == ("PASS", 0, 0)
        assert cell.requested.items() <= cell.effective.items()
        assert cell.frames >= 45
        assert cell.rate == cell.rate_low == 0
        assert 0 < cell.rate_high <= 0.05
        assert f"::test_cell[{cell.id}] PASS" in done.stdout

    evidence = [json.loads(line) for line in (out / "evidence.jsonl").read_text().splitlines()]
    assert {entry["id"] for entry in evidence} == ids
    assert all(entry["evidence"]["bursts"] for entry in evidence)

    for case in ET.parse(junit).iter("testcase"):
        told = {p.get("name"): p.get("value") for p in case.iter("property")}
        assert told["verdict"] == "PASS"
        assert int(told["frames"]) >= 45
    assert len(list(allure.glob("*-result.json"))) == len(ids)
    assert "soft.firmware=good" in (allure / "environment.properties").read_text().splitlines()
    (namespace,) = re.findall(r"host alpha: namespace (\S+)", done.stdout)
    assert namespace not in run("ip", "netns"), "the lab is gone"


def test_the_incident(tmp_path: Path) -> None:
    """The faulty NIC fails wherever it cut and made an outer checksum, and nowhere else."""
    sets = " or ".join(
        f"/{name}/outer4" for name in ("all-on", "all-but-tnl-csum-seg", "all-but-uso", "tso6")
    )
    done = vxqual(
        *("run", "-t", TOPOLOGIES / "incident.yaml", "--plan", "quick", "--out", tmp_path),
        # In so many frames, of which it spoils 3 %, it cannot hide.
        *("--rate", "0.005", "--confidence", "0.9", "-n", "2", "-k", sets),
    )
    assert done.returncode == 1, done.stdout
    verdicts = {}
    for id_, cell in rows(tmp_path).items():
        flow, on = cell["flow"], cell["effective"]
        spoiled = (
            cell["pair"] == "faulty"
            and flow["outer_checksum"]
            and flow["segmentation"]
            and on[TNL_CSUM]
            and on[CUTTERS[flow["l4"], flow["inner"]]]
        )
        assert cell["verdict"] == ("FAIL" if spoiled else "PASS"), cell
        verdicts[id_] = cell["verdict"]
        if spoiled:
            assert 0.005 < cell["rate_low"] <= cell["rate"] <= cell["rate_high"] < 0.12
            assert "outer L4" in cell["reason"]
    assert len(verdicts) == 2 * 4 * 12
    # all-on: 4 flows that are cut; all-but-uso: 2; tso6 has no tunnel segmentation in effect.
    assert list(verdicts.values()).count("FAIL") == 4 + 2
    assert re.search(r"^  all-on +F \. F  F \. F ", done.stdout, re.MULTILINE)
    assert f"faulty: it fails exactly where the NIC uses {TNL_CSUM}\n" in done.stdout
    assert "no wrong frame in " in done.stdout  # of the healthy pair
    assert "driver tun, firmware 8.30 0x8000af86" in done.stdout


def test_a_failure_wins_over_doubt_and_what_never_ran_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker dies after a FAIL: exit 1, and the cells that it left behind are ERROR."""
    (tmp_path / "crash.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    topology = tmp_path / "faulty.yaml"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    topology.write_text(text + "  firmwares: {alpha.port0: {model: random-p, p: 0.3}}\n")
    args = ("run", "-t", topology, *SMALL, "-p", "crash", "-n", "1", "--out")

    done = vxqual(*args, tmp_path, "-k", "all-on/outer4-csum and not inner4/udp")
    assert done.returncode == 1, done.stdout
    cells = rows(tmp_path)
    assert {id_.partition("csum/")[2]: cell["verdict"] for id_, cell in cells.items()} == {
        "inner4/tcp": "FAIL",
        "inner6/tcp": "FAIL",
        "inner6/udp": "ERROR",
        "inner6/udp-seg": "ERROR",
    }
    assert "never ran" in cells["soft/all-on/outer4-csum/inner6/udp-seg"]["reason"]
    assert "Traceback" not in done.stdout

    done = vxqual(*args, tmp_path, "-k", "all-on/outer4-nocsum and inner6")
    assert done.returncode == 10, done.stdout
    assert [cell["verdict"] for cell in rows(tmp_path).values()] == ["PASS", "ERROR", "ERROR"]


# On a lab that stands


def test_a_standing_lab_is_run_against_as_any_other(lab: Standing, tmp_path: Path) -> None:
    assert lab.document.get("lab") is None
    assert all("proxy_command" in host["ssh"] for host in lab.document["hosts"].values())
    assert vxqual("lab", "up", lab.source).stdout.startswith(
        f"the lab of {lab.source} stands already"
    )
    status = vxqual("lab", "status", lab.source)
    assert status.returncode == 0
    for host in ("alpha", "bravo"):
        assert f"host {host}: namespace {lab.namespace(host)}" in status.stdout
        assert f"NIC {host}.port0: port0, firmware good, pid " in status.stdout

    before = lab.state()
    ready = vxqual("check", lab.topology)
    assert (ready.returncode, ready.stdout.splitlines()) == (
        0,
        [f"{lab.topology}: ready", "  alpha.port0: ready", "  bravo.port0: ready"],
    )
    planned = vxqual("plan", "-t", lab.topology, *SMALL, "--cells")
    assert planned.returncode == 0
    assert "1 pair, plan quick: 132 cells of 45 frames" in planned.stdout
    assert len(re.findall(r"^    soft/", planned.stdout, re.MULTILINE)) == 132
    listed = vxqual("run", "-t", lab.topology, *SMALL, "--collect-only", "-q", "--out", tmp_path)
    assert listed.returncode == 0
    assert listed.stdout.count("::test_cell[") == 132
    assert list(tmp_path.iterdir()) == [], "listing is no run"
    assert lab.state() == before

    done = vxqual(
        "run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "all-off or tso/outer4-csum"
    )
    assert done.returncode == 0, done.stdout
    assert lab.state() == before
    assert lab.pids() == []

    nothing = vxqual("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "no_such_cell")
    assert nothing.returncode == 5
    assert not (tmp_path / "matrix.json").exists(), "an earlier run's results are not this one's"


def test_an_expression_that_is_none_is_no_run(lab: Standing, tmp_path: Path) -> None:
    done = vxqual("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "((")
    assert done.returncode == 4
    assert "Wrong expression passed to '-k'" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_tells_what_it_has(lab: Standing, tmp_path: Path) -> None:
    before = lab.state()
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "-k", "nocsum and tcp")
    with running(*args) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 2, rest
    verdicts = [cell["verdict"] for cell in rows(tmp_path).values()]
    assert set(verdicts) == {"PASS", "ERROR"}
    assert len(verdicts) == 22
    silent = [cell for cell in rows(tmp_path).values() if "never ran" in cell["reason"]]
    assert len(silent) >= 15
    assert "Traceback" not in rest
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before


def test_a_killed_run_leaves_nothing_behind(lab: Standing, tmp_path: Path) -> None:
    before = lab.state()
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "-k", "nocsum and tcp")
    with running(*args) as process:
        read_until(process, "PASS")
        assert lab.state() != before
        process.kill()
    # Its agents see their channels end.
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before

    with running(*args) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGSTOP)  # so that it does not see what is done to its agents
        for pid in lab.pids():
            os.kill(pid, signal.SIGKILL)
        process.kill()
    eventually(lambda: lab.pids() == [])
    assert lab.state() != before, "nobody was left to put the hosts back"

    done = vxqual(
        "run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "all-on/outer4-csum and tcp"
    )
    assert done.returncode == 0, done.stdout
    assert lab.state() == before
