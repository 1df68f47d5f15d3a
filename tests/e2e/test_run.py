"""Whole runs: from the command line to the exit code, the matrix and the reports."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from qualification.errors import EXIT_NO_CELL, EXIT_PARTIAL
from qualification.plan.cells import CONTROLS_OF
from qualification.plan.features import TNL_CSUM, TSO, TSO6, USO
from qualification.results.matrix import read
from qualification.run.versions import commit_of

from .conftest import (
    ALONE,
    SMALL,
    SOME,
    TOPOLOGIES,
    Persistent,
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

LEFT_CHANGED = """
import pytest
from qualification.errors import HostError

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item):
    if "inner6/udp]" in item.nodeid:
        raise HostError("left changed", where="alpha")
"""


def test_the_loopback_lab_qualifies(tmp_path: Path) -> None:
    out, junit, allure = tmp_path / "out", tmp_path / "junit.xml", tmp_path / "allure"
    live = tmp_path / "live"
    done = vxqual(
        *("run", "-t", TOPOLOGIES / "loopback.yaml", *SMALL, "--seed", "7", "--out", out),
        *(
            "-k",
            f"all-on and inner6 and tcp and {ALONE}",
            "-m",
            "not crafted",
            f"--junitxml={junit}",
            f"--allure={allure}",
            f"--alluredir={live}",
            "-v",
        ),
    )
    assert done.returncode == EXIT_PARTIAL, done.stdout

    matrix = read(out / "latest/matrix.json")
    assert matrix.run.seed == 7
    done_of = matrix.run.completeness
    assert (matrix.run.outcome, done_of.selected, done_of.run) == ("PARTIAL", 4, 4)
    assert f"\nPARTIAL: 4 of {done_of.planned} cells: 4 pass\n" in done.stdout
    assert "QUALIFIED" not in done.stdout
    assert "warning" not in done.stdout.lower()
    assert matrix.run.selection.keyword.startswith("all-on and inner6")
    assert (matrix.run.selection.marks, matrix.run.plan) == ("not crafted", "quick")
    assert (matrix.run.demand.rate, matrix.run.demand.confidence) == (0.05, 0.9)
    assert (matrix.run.python, matrix.run.kernel) == (
        platform.python_version(),
        platform.release(),
    )
    assert matrix.run.started < (matrix.run.finished or "")
    assert matrix.run.commit == commit_of(TOPOLOGIES.parent)
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

    evidence = [
        json.loads(line) for line in (out / "latest/evidence.jsonl").read_text().splitlines()
    ]
    cells = [entry for entry in evidence if entry["kind"] == "cell"]
    assert {entry["id"] for entry in cells} == ids
    assert all(entry["evidence"]["bursts"] for entry in cells)
    controls = [entry["result"] for entry in evidence if entry["kind"] == "control"]
    assert [control["name"] for control in controls] == [*CONTROLS_OF["send"]]
    assert all(control["bursts"] or control["received"] for control in controls)

    for case in ET.parse(junit).iter("testcase"):
        properties = {p.get("name"): p.get("value") for p in case.iter("property")}
        assert properties["verdict"] == "PASS"
        assert int(properties["frames"]) >= 45
    told = [json.loads(path.read_text())["fullName"] for path in allure.glob("*-result.json")]
    others = {f"soft/control/{name}" for name in CONTROLS_OF["send"]} | {"soft/outcome"}
    assert sorted(told) == sorted(ids | others)
    # While the run went on, allure-pytest told of each cell, with the time that it took.
    for path in live.glob("*-result.json"):
        test = json.loads(path.read_text())
        labels = {label["name"]: label["value"] for label in test["labels"]}
        assert (labels["driver"], labels["firmware"], labels["verdict"]) == ("tun", "good", "PASS")
        assert {"name": "firmware", "value": "good", "excluded": True} in [
            {**one, "value": one["value"].strip("'")} for one in test["parameters"]
        ]
        assert test["stop"] > test["start"]
        (name,) = (one["name"] for one in test["attachments"])
        assert name.endswith(".evidence.json")
    assert len(list(live.glob("*-result.json"))) == len(ids)
    again = vxqual("report", out, "--allure", tmp_path / "again")
    assert again.returncode == 0, again.stdout
    for path in allure.iterdir():  # what the run itself wrote
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path
    assert "soft.firmware=good" in (allure / "environment.properties").read_text().splitlines()
    (namespace,) = re.findall(r"host alpha: namespace (\S+)", done.stdout)
    assert namespace not in run("ip", "netns"), "the lab is down"


def test_the_incident(tmp_path: Path) -> None:
    """The faulty NIC fails wherever it segments and fills an outer checksum, and nowhere else."""
    sets = " or ".join(
        f"/{name}/outer4" for name in ("all-on", "all-but-tnl-csum-seg", "all-but-uso", "tso6")
    )
    done = vxqual(
        *("run", "-t", TOPOLOGIES / "incident.yaml", "--plan", "quick", "--out", tmp_path),
        # It corrupts 3 % of the frames, which shows in this many.
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
        # A set that is named for segmentation, and under which the NIC segments nothing of a flow.
        idle = "/tso6/" in id_ and flow["segmentation"]
        assert cell["verdict"] == ("FAIL" if spoiled else "NOT EXERCISED" if idle else "PASS"), cell
        if flow["packet_set"] or flow["load"]:
            continue  # too few frames to estimate the rate
        verdicts[id_] = cell["verdict"]
        if spoiled:
            assert 0.005 < cell["rate_low"] <= cell["rate"] <= cell["rate_high"] < 0.12
            assert "outer L4" in cell["reason"]
    assert len(verdicts) == 2 * 4 * 12
    # all-on: 4 flows that are segmented; all-but-uso: 2; tso6: no tunnel segmentation in effect.
    assert list(verdicts.values()).count("FAIL") == 4 + 2
    assert re.search(r"^  all-on +F \. F  F \. F ", done.stdout, re.MULTILINE)
    assert f"faulty: it fails exactly where the NIC uses {TNL_CSUM}\n" in done.stdout
    assert "driver tun, firmware 8.30 0x8000af86" in done.stdout
    assert "warning" not in done.stdout.lower()
    assert re.search(
        r"^vxqual: \d+ % of \d+ cells, pair (healthy|faulty), "
        r"cell \S+/outer4\S+, about \d+ s left$",
        done.stdout,
        re.MULTILINE,
    )
    assert re.search(r"^  faulty   NOT QUALIFIED  charlie port0 ", done.stdout, re.MULTILINE)
    assert "alpha port0 -> bravo port0" not in done.stdout, "its matrix is shown with -v"
    assert done.stdout.count("\n  FAIL faulty/") <= 2

    # One NIC against the other: what a firmware before and after its fault comes to.
    worse = vxqual("compare", tmp_path, tmp_path, "--map", "healthy=faulty")
    assert worse.returncode == 1, worse.stdout
    firmwares = "(tun, firmware good -> 8.30 0x8000af86)"
    assert worse.stdout.startswith(f"REGRESSED: healthy -> faulty {firmwares}. ")
    better = vxqual("compare", tmp_path, tmp_path, "--map", "faulty=healthy")
    assert better.returncode == 0, better.stdout
    assert better.stdout.startswith("HEALED: faulty -> healthy ")
    found = vxqual("history", "tun", "--store", tmp_path).stdout
    assert "  firmware good: has not failed\n" in found
    assert "  firmware 8.30 0x8000af86: FAILS, " in found


@pytest.mark.slow
def test_a_failure_outweighs_doubt_and_cells_that_never_ran_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker dies after a FAIL: exit code 1, and the cells that it has not run are ERROR."""
    (tmp_path / "crash.py").write_text(CRASH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    topology = tmp_path / "faulty.yaml"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    topology.write_text(text + "  firmwares: {alpha.port0: {model: random-p, p: 0.3}}\n")
    args = ("run", "-t", topology, *SMALL, "-p", "crash", "-n", "1", "--out")

    args = (*args, tmp_path, "-m", "not crafted", "-k")
    done = vxqual(*args, f"all-on/outer4-csum and not inner4/udp and {ALONE}")
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

    done = vxqual(*args, f"all-on/outer4-nocsum and inner6 and {ALONE}")
    assert done.returncode == 10, done.stdout
    assert [cell["verdict"] for cell in rows(tmp_path).values()] == ["PASS", "ERROR", "ERROR"]


@pytest.mark.slow
def test_a_known_failure_does_not_fail_a_run(tmp_path: Path) -> None:
    """KNOWN in a run, and judged again with expectations: expired, healed, others, none."""
    entry = {
        "driver": "tun",
        "firmware": ">=8.0, <9",
        "features": {TNL_CSUM: True},
        "flow": "outer4-csum/*/tcp",
        "reason": "wrong outer sums",
        "link": "https://example.net/7",
        "expires": "2999-12-31",
    }
    sound = entry | {"flow": "outer4-nocsum/*", "features": {}}

    def known(**entries: dict[str, object]) -> Path:
        path = tmp_path / f"{'-'.join(entries)}.yaml"
        path.write_text(json.dumps({"version": 1, "known": entries}))
        return path

    out, junit = tmp_path / "out", tmp_path / "junit.xml"
    args = ("run", "-t", TOPOLOGIES / "incident.yaml", "--plan", "quick", "--pair", "faulty")
    some = (
        "-k",
        f"all-on/outer4 and tcp and {ALONE}",
        "-m",
        "not crafted",
        f"--junitxml={junit}",
        "-v",
        "--out",
        out,
    )
    demand = ("--rate", "0.005", "--confidence", "0.9", SOME)
    expectations = known(broken=entry, sound=sound, other=entry | {"driver": "ice"})
    done = vxqual(*args, *demand, *some, "--expectations", expectations)
    assert done.returncode == 0, done.stdout
    assert re.search(
        r"\nPARTIAL except for known failures: 4 of \d+ cells: 2 pass, 2 known to fail\n",
        done.stdout,
    )
    assert re.search(r"^  all-on +K +K +\. +\.$", done.stdout, re.MULTILINE)
    assert "::test_cell[faulty/all-on/outer4-csum/inner4/tcp] KNOWN" in done.stdout
    assert re.search(r"= 2 passed, .* 2 xfailed in ", done.stdout)
    said = " ".join(done.stdout.split())
    assert "and 1 more: wrong outer sums (https://example.net/7; broken, until 2999-12-31)" in said
    assert "UNEXPECTED PASS sound: all 2 cells pass" in said
    assert "UNUSED other: it matches no cell that ran" in said
    for id_, cell in rows(out).items():
        hidden = "outer4-csum" in id_
        assert (cell["verdict"], cell["expectation"]) == (
            ("KNOWN", "broken") if hidden else ("PASS", None)
        )
        assert (cell["bad"] > 0 and cell["rate_low"] > 0.005) == hidden
    skipped = [case.find("skipped") for case in ET.parse(junit).iter("testcase")]
    kinds = [skip.get("type") for skip in skipped if skip is not None]
    assert kinds == ["pytest.xfail"] * 2

    again = vxqual("judge", out, "--out", tmp_path / "again")
    assert again.returncode == 0, again.stdout
    assert (tmp_path / "again/matrix.json").read_bytes() == (
        out / "latest/matrix.json"
    ).read_bytes()
    assert "UNEXPECTED PASS sound" in again.stdout
    late = vxqual("judge", out, "--expectations", known(old=entry | {"expires": "2001-01-01"}))
    assert late.returncode == 1, late.stdout
    assert "EXPIRED old: it expired on 2001-01-01" in late.stdout
    nothing = tmp_path / "nothing.yaml"
    nothing.write_text("version: 1\nknown: {}\n")
    assert vxqual("judge", out, "--expectations", nothing).returncode == 1


# On a persistent lab


def test_a_persistent_lab_is_used_as_any_other(lab: Persistent, tmp_path: Path) -> None:
    assert lab.document.get("lab") is None
    assert all("proxy_command" in host["ssh"] for host in lab.document["hosts"].values())
    assert vxqual("lab", "up", lab.source).stdout.startswith(
        f"the lab of {lab.source} is already up"
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
        [
            f"{lab.topology}: ready",
            "  alpha.port0: ready",
            "  bravo.port0: ready",
            "  soft: whether UDP port 4789 passes over IPv4 cannot be probed yet: only the run "
            "adds 198.18.0.1/24 to alpha.port0 and 198.18.0.2/24 to bravo.port0",
        ],
    )
    planned = vxqual("plan", "-t", lab.topology, *SMALL, "--cells")
    assert planned.returncode == 0
    (cells,) = re.findall(r"1 pair, plan quick: (\d+) cells of 45 frames", planned.stdout)
    assert len(re.findall(r"^    soft/", planned.stdout, re.MULTILINE)) == int(cells) > 200
    listed = vxqual("run", "-t", lab.topology, *SMALL, "--collect-only", "-q", "--out", tmp_path)
    assert listed.returncode == 0
    assert len(re.findall(r"::test_(?:cell|received)\[", listed.stdout)) == int(cells)
    *_, last, end = re.split(r"::test_(?:culprit|symptom)\[.*\n", listed.stdout)
    assert last == end or "@" not in last
    assert end.count("@two-ports]") == 16, "they come after all others"
    assert end.count("@reset]") == listed.stdout.count("@reset]") == 8
    assert list(tmp_path.iterdir()) == [], "listing writes nothing"
    assert lab.state() == before

    done = vxqual(
        "run",
        "-t",
        lab.topology,
        *SMALL,
        "--out",
        tmp_path,
        "-k",
        "all-off or tso/outer4-csum or reset",
        SOME,
    )
    assert done.returncode == 0, done.stdout
    assert lab.state() == before
    assert lab.pids() == []

    nothing = vxqual("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "no_such_cell")
    assert nothing.returncode == 5
    assert not (tmp_path / "latest/matrix.json").exists()
    runs = sorted(path.name for path in tmp_path.glob("2*"))
    assert (tmp_path / "latest").readlink() == Path(runs[-1])
    assert (tmp_path / runs[0] / "matrix.json").exists(), "an earlier run keeps its results"


def test_a_stored_run_is_judged_again(lab: Persistent, tmp_path: Path) -> None:
    """Without its topology and its hosts, in a directory of another name."""
    topology = tmp_path / "gone.yaml"
    topology.write_text(lab.topology.read_text())
    out = tmp_path / "out"
    args = ("run", "-t", topology, *SMALL, "--out", out, "-k", f"all-on/outer4-csum and {ALONE}")
    done = vxqual(
        *args, "-m", "not crafted", "--store", "postgresql+psycopg://nobody@127.0.0.1:1/x"
    )
    assert done.returncode == EXIT_PARTIAL
    assert "warning: the run is not in the store, and complete in its directory: " in done.stdout
    assert re.search(rf"next: vxqual import {out}/\S+ --store postgresql", done.stdout)
    topology.unlink()
    out = out.rename(tmp_path / "yesterday")
    before = {path.name: path.read_bytes() for path in (out / "latest").iterdir()}

    same = vxqual("judge", out, "--out", tmp_path / "again")
    assert same.returncode == EXIT_PARTIAL, same.stdout
    assert re.match(r"PARTIAL: 6 of \d+ cells: 6 pass\n", same.stdout)
    assert vxqual("judge", out, SOME).returncode == 0
    assert (tmp_path / "again/matrix.json").read_bytes() == before["matrix.json"]

    # A clean control stays clean: what is too little now is too little of the cells.
    (out / "latest/matrix.html").unlink()
    again = vxqual("page", out)
    assert again.stdout.startswith(f"page: {(out / 'latest').resolve()}"), again.stdout
    written = re.compile(r'"written":"[^"]*"')
    pages = [(out / "latest/matrix.html").read_text(), before["matrix.html"].decode()]
    assert len({written.sub("", page) for page in pages}) == 1
    (out / "latest/matrix.html").write_bytes(before["matrix.html"])

    surer = vxqual("judge", out, "--confidence", "0.9999")
    assert surer.returncode == 10, surer.stdout
    assert "6 inconclusive" in surer.stdout
    stricter = vxqual("judge", out, "--rate", "0.0001")
    assert stricter.returncode == 10, stricter.stdout
    assert "6 inconclusive" in stricter.stdout
    assert {path.name: path.read_bytes() for path in (out / "latest").iterdir()} == before
    (run_directory,) = out.glob("2*")
    store = tmp_path / "lab.sqlite"
    assert vxqual("import", out, "--store", store).stdout == "runs: 1 new\n"
    assert f"{run_directory.name}  " in vxqual("runs", "--store", store, "--pair", "soft").stdout
    again = vxqual("report", run_directory.name, "--store", store)
    assert again.stdout.splitlines()[0] == same.stdout.splitlines()[0]
    moved = run_directory.rename(tmp_path / "moved")
    assert vxqual("judge", moved).stdout == vxqual("judge", moved, "--rate", "0.05").stdout


def test_an_error_of_the_lab_is_stored_with_the_verdicts(
    lab: Persistent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is left changed: every cell passes, and yet the run and judging it again fail."""
    (tmp_path / "left_changed.py").write_text(LEFT_CHANGED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    out = tmp_path / "out"
    args = ("run", "-t", lab.topology, *SMALL, "--out", out, "-p", "left_changed")
    done = vxqual(*args, "-k", "all-on/outer4-csum/inner6/udp")
    assert done.returncode == 10, done.stdout
    assert {cell["verdict"] for cell in rows(out).values()} == {"PASS"}
    again = vxqual("judge", out)
    assert again.returncode == 10, again.stdout
    assert again.stdout.count("lab error in that run: ") == 1
    assert "alpha: left changed" in again.stdout


def test_an_invalid_expression_is_no_run(lab: Persistent, tmp_path: Path) -> None:
    done = vxqual("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "((")
    assert done.returncode == 4
    assert "Wrong expression passed to '-k'" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_reports_what_it_has(lab: Persistent, tmp_path: Path) -> None:
    before = lab.state()
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "-k", "nocsum and tcp")
    with running(*args, "-m", "not crafted") as process:
        said = read_until(process, "PASS")
        # The page is there from the first cell on, and says that the run goes on.
        page = tmp_path / "latest/matrix.html"
        assert f"vxqual: the page {page.resolve()} follows the run" in said.replace("\n", "")
        assert page.read_text().count("<title>RUNNING ") == 1
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
    assert process.returncode == 2, rest
    assert page.read_text().count("<title>INTERRUPTED ") == 1
    assert f"\npage: {page.resolve()}\n" in rest
    assert "KeyboardInterrupt" not in rest
    assert rest.count("vxqual: interrupted; hosts are put back") == 1
    (finished,) = re.findall(r"\nINTERRUPTED, (\d+) of 22 done: \1 pass\n", rest)
    made = read(tmp_path / "latest/matrix.json").run
    assert made.outcome == "INTERRUPTED"
    assert (made.completeness.run, made.completeness.selected) == (int(finished), 22)
    assert "QUALIFIED" not in rest
    judged = vxqual("judge", tmp_path)
    assert judged.returncode == 2
    assert judged.stdout.startswith(f"INTERRUPTED, {finished} of 22 done: {finished} pass\n")
    verdicts = [cell["verdict"] for cell in rows(tmp_path).values()]
    assert set(verdicts) == {"PASS", "ERROR"}
    assert len(verdicts) == 22
    silent = [cell for cell in rows(tmp_path).values() if "never ran" in cell["reason"]]
    assert len(silent) >= 15
    assert "Traceback" not in rest
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before


def test_a_killed_run_leaves_nothing_behind(lab: Persistent, tmp_path: Path) -> None:
    before = lab.state()
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "-k", "nocsum and tcp")
    with running(*args) as process:
        read_until(process, "PASS")
        assert lab.state() != before
        process.kill()
    # Its agents notice the end of their channels. An agent whose main thread is in its tunnel
    # namespace at that moment is in neither list of processes, and restores its host, too.
    eventually(lambda: lab.pids() == [] and lab.state() == before)

    with running(*args) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGSTOP)  # so that it does not notice the end of its agents
        for pid in lab.pids():
            os.kill(pid, signal.SIGKILL)
        process.kill()
    eventually(lambda: lab.pids() == [])
    assert lab.state() != before, "no process was left to put the hosts back"

    done = vxqual(
        *("run", "-t", lab.topology, *SMALL, "--out", tmp_path, SOME),
        *("-k", "all-on/outer4-csum and tcp"),
    )
    assert done.returncode == 0, done.stdout
    assert lab.state() == before


@pytest.mark.slow
def test_the_symptom_is_reported_with_the_verdicts(tmp_path: Path) -> None:
    topology, out = tmp_path / "faulty.yaml", tmp_path / "out"
    junit, allure = tmp_path / "junit.xml", tmp_path / "allure"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    topology.write_text(text + "  firmwares: {alpha.port0: {model: random-p, p: 0.3}}\n")
    small = ("run", "-t", topology, *SMALL, "--out", out)

    done = vxqual(
        *(*small, "-k", "test_symptom or tso6/outer4-csum/inner4/udp]", "-n", "1", "--symptom"),
        *(f"--junitxml={junit}", f"--allure={allure}", SOME),
    )
    assert done.returncode == 0, f"it gives no verdict: {done.stdout}"
    found = read(out / "latest/matrix.json")
    assert {cell.verdict for cell in found.cells} == {"PASS"}
    (symptom,) = found.symptoms
    assert symptom.pair == "soft"
    assert symptom.tunnel.calls > 0
    assert symptom.tunnel.retransmitted > 10 * max(1, symptom.all_off.retransmitted)
    (line,) = (line for line in done.stdout.splitlines() if "symptom of soft: " in line)
    assert symptom.errors.startswith(line.partition(": ")[2])
    assert done.stdout.index("tso6") < done.stdout.index("symptom of soft")
    properties = {p.get("name"): p.get("value") for p in ET.parse(junit).iter("property")}
    assert properties["symptom"] == symptom.errors
    documents = [json.loads(file.read_text()) for file in allure.glob("*-attachment.json")]
    (attached,) = (document for document in documents if "runs" in document)
    assert attached["symptom"]["errors"] == symptom.errors
    channels = attached["runs"]["tunnel"]["client"]["channels"]
    assert sum(len(channel["latencies"]) for channel in channels) == (
        symptom.tunnel.calls - symptom.tunnel.errors
    )

    done = vxqual(*small, "-k", "test_symptom", "-v", "-rs", SOME)
    assert done.returncode == EXIT_NO_CELL, "it qualifies nothing"
    assert "test_symptom[soft/symptom] SKIPPED" in done.stdout
    assert "symptom.py: not requested" in done.stdout
