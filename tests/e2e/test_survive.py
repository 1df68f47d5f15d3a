"""Runs on labs of which a part is lost, at the start or in the middle: what can be judged is."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qualification.errors import AgentError, LabError
from qualification.judge.verdict import Demand
from qualification.messages.lease import Lessee
from qualification.remote.discover import Found, discover
from qualification.remote.host import open_host
from qualification.remote.leases import open_agents
from qualification.remote.pair.session import PairSession
from qualification.run.hosts.sessions import Sessions
from qualification.run.prepare import make_campaign
from qualification.topology import load

from .conftest import (
    ALONE,
    SMALL,
    SOME,
    Edit,
    Persistent,
    eventually,
    read_until,
    rows,
    run,
    running,
    vxqual,
)
from .test_mistakes import ONE_FLOW, reported

pytestmark = pytest.mark.lab

Changed = Callable[[Edit], Path]
ADDRESS = "198.18.0.3/24"
"""Of the host with another name."""


def also_called(host: str, other: str, folder: Path, **ssh: Any) -> Edit:
    """Adds a host under another name, which is reached by the script `charlie` of a folder."""

    def edit(document: dict[str, Any]) -> None:
        there = document["hosts"][host]
        lines = Path(there["ssh"]["known_hosts"]).read_text().splitlines()
        [key] = [line.partition(" ")[2] for line in lines if line.startswith(f"{host} ")]
        (folder / "known_hosts").write_text(f"{other} {key}\n")
        settings = {
            "address": other,
            "known_hosts": str(folder / "known_hosts"),
            "proxy_command": str(folder / "proxy"),
        }
        nics = {"port0": {"interface": "port0", "underlay": [ADDRESS]}}
        document["hosts"][other] = {"ssh": {**there["ssh"], **settings, **ssh}, "nics": nics}

    return edit


def proxy(folder: Path, command: str) -> None:
    script = folder / "proxy"
    script.write_text(f"#!/bin/sh\nexec {command}\n")
    script.chmod(0o755)


@pytest.fixture
def three_pairs(changed: Changed, tmp_path: Path) -> Path:
    """A topology with one pair that is well, and two with a host that `proxy` leads to."""

    def edit(document: dict[str, Any]) -> None:
        also_called("bravo", "charlie", tmp_path)(document)
        document["pairs"]["back"] = {"dut": "charlie.port0", "peer": "alpha.port0"}
        document["pairs"]["half"] = {"dut": "alpha.port0", "peer": "charlie.port0"}

    return changed(edit)


def by_pair(out: Path) -> dict[str, dict[str, Any]]:
    return {row["pair"]: row for row in rows(out).values()}


def test_a_host_that_is_down_costs_its_own_pairs_only(three_pairs: Path, tmp_path: Path) -> None:
    proxy(tmp_path, "false")
    out = tmp_path / "out"
    done = vxqual("run", three_pairs, *SMALL, "--out", out, "--no-symptom", *ONE_FLOW)
    reported(done, 10, "2 of 3 pairs cannot run now", "end in ERROR: back, half")
    assert "vxqual: charlie: " in done.stdout.partition("3 pairs, plan")[0], "before anything runs"
    found = by_pair(out)
    assert {pair: row["verdict"] for pair, row in found.items()} == {
        "soft": "PASS",
        "back": "ERROR",
        "half": "ERROR",
    }
    for pair in ("back", "half"):
        assert "charlie: the proxy command failed" in found[pair]["reason"]
    again = vxqual("judge", out, "--out", tmp_path / "again")
    assert again.returncode == 10, again.stdout
    assert "lab error in that run" not in again.stdout
    matrix = (out / "latest/matrix.json").read_text()
    assert (tmp_path / "again/matrix.json").read_text() == matrix

    pairs = ("--pair", "back", "--pair", "half")
    only = vxqual("run", three_pairs, *SMALL, "--out", tmp_path / "only", *pairs, *ONE_FLOW)
    reported(only, 10, "charlie: the proxy command failed", "nothing was judged")
    assert not (tmp_path / "only/latest/matrix.json").exists()


@pytest.mark.slow
def test_a_run_is_continued_once_the_host_is_up(
    lab: Persistent, three_pairs: Path, tmp_path: Path
) -> None:
    proxy(tmp_path, "false")
    out = tmp_path / "out"
    done = vxqual("run", three_pairs, *SMALL, "--out", out, "--no-symptom", *ONE_FLOW)
    assert done.returncode == 10, done.stdout
    before = by_pair(out)["soft"]

    proxy(tmp_path, lab.document["hosts"]["bravo"]["ssh"]["proxy_command"])
    resumed = vxqual("run", "--resume", "--out", out, SOME)
    assert resumed.returncode == 0, resumed.stdout
    assert "1 of 3 cells are kept" in resumed.stdout
    found = by_pair(out)
    assert {pair: row["verdict"] for pair, row in found.items()} == dict.fromkeys(found, "PASS")
    assert found["soft"] == before

    # It is down again: what was found stays, and stays good.
    proxy(tmp_path, "false")
    kept = vxqual("run", "--resume", "--out", out, SOME)
    assert "3 of 3 cells are kept" in kept.stdout
    assert by_pair(out) == found
    again = vxqual("judge", out, "--out", tmp_path / "again")
    matrix = (out / "latest/matrix.json").read_text()
    assert (tmp_path / "again/matrix.json").read_text() == matrix, again.stdout


# In the middle


def slay(lab: Persistent, host: str, name: str) -> int:
    """Kills processes of a host by their name, and returns how many."""
    pids = [int(word) for word in run("ip", "netns", "pids", lab.namespace(host)).split()]
    slain = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().startswith(name):
                os.kill(pid, signal.SIGKILL)
                slain += 1
    return slain


@pytest.mark.slow
def test_a_cell_whose_sshd_is_killed_is_tried_again(lab: Persistent, tmp_path: Path) -> None:
    before = lab.state()
    args = ("run", lab.topology, *SMALL, "--out", tmp_path, "--no-symptom", "-v", SOME)
    cells = ("-k", f"outer4-csum/inner4/udp] and {ALONE}", "-m", "not crafted")
    with running(*args, *cells) as process:
        read_until(process, "PASS")
        assert slay(lab, "alpha", "sshd")
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 0, said
    found = rows(tmp_path)
    assert {row["verdict"] for row in found.values()} <= {"PASS", "NOT EXERCISED"}, said
    (noted,) = [row for row in found.values() if row["note"]]
    assert noted["note"].startswith("it was tried twice, the second time with new agents; the ")
    assert "alpha: the SSH connection was lost" in noted["note"]
    again = vxqual("judge", tmp_path, "--out", tmp_path / "again", SOME)
    matrix = (tmp_path / "latest/matrix.json").read_text()
    assert (tmp_path / "again/matrix.json").read_text() == matrix, again.stdout
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before


@pytest.fixture
def sessions(lab: Persistent) -> Iterator[Sessions]:
    topology = load(lab.topology)
    found = Found(discover(topology, ["soft"], str))
    asked = ("quick", Demand(0.05, 0.9), 7)
    with contextlib.closing(
        Sessions(make_campaign(topology, "lab", ("soft",), *asked, str, found), lambda _pair: None)
    ) as made:
        yield made


def test_what_is_tried_again(lab: Persistent, sessions: Sessions) -> None:
    """Only what ended because an agent went away, once, from its beginning, with new agents."""
    before = lab.state()
    tried: list[PairSession] = []

    def killed(times: int) -> Callable[[PairSession], str]:
        tried.clear()

        def act(session: PairSession) -> str:
            tried.append(session)
            if len(tried) <= times:
                assert slay(lab, "alpha", "python3")
            session.states.tag(False)
            session.endpoints.reach()
            return "done"

        return act

    assert (sessions.use("soft", killed(0)), sessions.first_try) == ("done", "")
    with pytest.warns(UserWarning, match="an agent that died had left changed"):
        assert sessions.use("soft", killed(1)) == "done"
    assert len({*map(id, tried)}) == 2
    assert sessions.first_try == "alpha: the agent was killed by a signal during request 'reach'"
    assert (sessions.use("soft", killed(0)), sessions.first_try) == ("done", "")

    with (
        pytest.warns(UserWarning),
        pytest.raises(LabError, match=r"signal .*; it was tried twice, the first time: the"),
    ):
        sessions.use("soft", killed(2))
    assert len(tried) == 2

    def refused(session: PairSession) -> None:
        tried.append(session)
        session.endpoints.call("dut", "no_such_order")

    tried.clear()
    with pytest.warns(UserWarning), pytest.raises(AgentError, match="no operation 'no_such_order'"):
        sessions.use("soft", refused)
    assert len(tried) == 1
    sessions.close()
    assert lab.state() == before


# Two controllers


LEASED = (
    r"alpha\.port0: port0 is leased by kim@desk since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ.*, "
    r"for run other"
)


def test_nics_that_another_run_has_leased(lab: Persistent, tmp_path: Path) -> None:
    """A run stops once, `check` says so as well, and a run that waits goes on after it."""
    topology, before = load(lab.topology), lab.state()
    with open_agents() as agents:
        agents["alpha"] = open_host(topology, "alpha")
        lessee = Lessee("kim@desk", "other")
        agents["alpha"].call("lease", timeout=30, interface="port0", lessee=lessee)
        for args in (("run", *SMALL, "--out", tmp_path, *ONE_FLOW), ("check",)):
            done = vxqual(args[0], lab.topology, *args[1:])
            reported(done, 10, "--wait SECONDS does so")
            assert len(re.findall(LEASED, " ".join(done.stdout.split()))) == 1, done.stdout
        assert not (tmp_path / "latest/matrix.json").exists()
        args = ("run", lab.topology, *SMALL, "--out", tmp_path, "--no-symptom", *ONE_FLOW, SOME)
        with running(*args, "--wait", "120") as process:
            said = read_until(process, "waiting up to 120 s: ")
            assert re.search(LEASED, said), said
            assert agents.pop("alpha").close() == []
            rest = process.communicate(timeout=120)[0]
        assert process.returncode == 0, rest
    (cell,) = rows(tmp_path).values()
    assert cell["verdict"] == "PASS"
    eventually(lambda: lab.pids() == [])
    assert lab.state() == before


@pytest.mark.slow
def test_a_second_controller_meets_a_running_one(lab: Persistent, tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    args = ("run", lab.topology, *SMALL, "--no-symptom", SOME)
    cells = ("-k", f"outer4-csum/inner4 and {ALONE}", "-m", "not crafted")
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running(*args, *cells, "--out", one, "-v"))
        read_until(first, "PASS")
        first.send_signal(signal.SIGSTOP)  # or it might end before the others have started
        waiting = (*ONE_FLOW, "--out", three, "--wait", "200")
        last = stack.enter_context(running(*args, *waiting))
        stopped = vxqual(*args, *ONE_FLOW, "--out", two)
        name = (one / "latest").resolve().name
        reported(stopped, 10, "port0 is leased by root@", f"for run {name}")
        assert not (two / "latest/matrix.json").exists()
        read_until(last, "vxqual: waiting up to ")
        first.send_signal(signal.SIGCONT)
        for process in (first, last):
            said = process.communicate(timeout=200)[0]
            assert process.returncode == 0, said
    assert {row["verdict"] for row in rows(one).values()} <= {"PASS", "NOT EXERCISED"}
    assert [row["verdict"] for row in rows(three).values()] == ["PASS"]
    assert not [row for row in rows(one).values() if row["note"]], "nobody was disturbed"


@pytest.mark.slow
def test_of_two_controllers_at_once_one_goes_on(lab: Persistent, tmp_path: Path) -> None:
    """And the other one stops once: there is no cell in ERROR, and no pair of each."""
    for turn in range(4):
        outs = [tmp_path / f"{turn}-{number}" for number in range(2)]
        args = ("run", lab.topology, *SMALL, "--no-symptom", *ONE_FLOW, SOME, "--out")
        with running(*args, outs[0]) as one, running(*args, outs[1]) as two:
            said = [process.communicate(timeout=120)[0] for process in (one, two)]
        codes = [one.returncode, two.returncode]
        assert sorted(codes) == [0, 10], said
        loser = codes.index(10)
        assert said[loser].count("port0 is leased by root@") == 1, said[loser]
        assert not (outs[loser] / "latest/matrix.json").exists()
        assert [row["verdict"] for row in rows(outs[1 - loser]).values()] == ["PASS"]
