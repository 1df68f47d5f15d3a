"""Hosts that are left changed: it is told whatever else happens, and `vxqual restore` mends it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from .conftest import SMALL, Persistent, eventually, read_until, rows, run, running, vxqual

pytestmark = pytest.mark.lab

FEW = ("-k", "nocsum and tcp and not vlan and not load and not both", "-m", "not crafted")


AGENTS_DIE = """
import os
import subprocess
import pytest

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    for host in os.environ["HOSTS"].split():
        pids = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True).stdout
        for pid in pids.split():
            os.kill(int(pid), 9)
    return result
"""


def test_what_killed_agents_left_is_put_back_by_hand_and_live_ones_are_not_disturbed(
    lab: Persistent, tmp_path: Path
) -> None:
    before = lab.state()
    nothing = vxqual("restore", lab.topology)
    assert (nothing.returncode, nothing.stdout) == (
        0,
        "alpha: nothing to put back\nbravo: nothing to put back\n",
    )
    with running("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", *FEW) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGSTOP)
        during = lab.state()
        busy = vxqual("restore", lab.topology)
        assert busy.returncode == 10, busy.stdout
        for nic in ("alpha.port0", "bravo.port0"):
            assert f"{nic}: port0 is leased by root@" in busy.stdout
        assert lab.state() == during != before
        for pid in lab.pids():
            os.kill(pid, signal.SIGKILL)
        process.kill()
    eventually(lambda: lab.pids() == [])
    assert lab.state() != before
    done = vxqual("restore", lab.topology)
    assert done.returncode == 0, done.stdout
    assert "alpha.port0: put back: address interface=port0 address=" in done.stdout
    assert "bravo.port0: put back: features interface=port0 wanted=" in done.stdout
    assert lab.state() == before
    assert vxqual("restore", lab.topology).stdout == nothing.stdout
    for host in ("alpha", "bravo"):  # neither a journal nor a lease
        assert not (lab.topology.parent / "hosts" / host / "journals").exists()


@pytest.mark.parametrize("workers", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_host_that_is_left_changed_is_told_after_an_interruption(
    lab: Persistent, tmp_path: Path, workers: str
) -> None:
    """Somebody changes a NIC in the middle of a run, which Ctrl-C ends: what is it that stays?"""
    before = lab.state()
    told = "host bravo is left changed: port0: MTU is 1400, and was 1500"
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v")
    with running(*args, "-n", workers, *FEW) as process:
        read_until(process, "PASS")
        lab.ip("bravo", "link", "set", "port0", "mtu", "1400")
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=90)[0]
    assert process.returncode == 2, rest
    assert "Traceback" not in rest
    assert told in rest, rest
    assert "next: put it back with: vxqual restore TOPOLOGY" in rest
    judged = vxqual("judge", tmp_path).stdout
    assert f"lab error in that run: pair soft: {told}" in judged

    one = vxqual(*args, "-k", "all-on/outer4-nocsum/inner4/tcp]")
    assert one.returncode == 10, one.stdout
    assert "port0 was left changed by an earlier run:" in one.stdout

    done = vxqual("restore", lab.topology)
    assert done.returncode == 0, done.stdout
    assert "bravo.port0: put back: state interface=port0: MTU is 1400, and was 1500" in done.stdout
    eventually(lambda: lab.state() == before)


def test_an_agent_that_dies_at_the_last_cell_is_made_up_for(
    lab: Persistent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session follows in which a new agent would put the host back: one is started for that."""
    before = lab.state()
    one = ("-k", "all-on/outer4-nocsum/inner4/tcp]")
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", "--partial-ok", *one)
    (tmp_path / "agents_die.py").write_text(AGENTS_DIE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("HOSTS", " ".join(map(lab.namespace, ("alpha", "bravo"))))
    rest = vxqual(*args, "-p", "agents_die").stdout
    assert "left changed" not in rest, rest
    assert lab.state() == before
    assert "put back what an agent has left changed" in (tmp_path / "latest/vxqual.log").read_text()


def test_a_lab_that_does_not_stay_has_nothing_to_restore(lab: Persistent) -> None:
    done = vxqual("restore", lab.source)
    assert done.returncode == 4
    assert "there is nothing to restore" in done.stdout


@pytest.mark.slow
def test_a_pair_whose_host_is_left_changed_is_not_used_again(
    lab: Persistent, tmp_path: Path
) -> None:
    """An agent dies; the other's closing report says that its host is not what it was."""
    before = lab.state()
    args = ("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-v", *FEW)
    with running(*args) as process:
        read_until(process, "PASS")
        process.send_signal(signal.SIGSTOP)
        lab.ip("bravo", "link", "set", "port0", "mtu", "1400")
        for pid in run("ip", "netns", "pids", lab.namespace("alpha")).split():
            os.kill(int(pid), signal.SIGKILL)
        process.send_signal(signal.SIGCONT)
        rest = process.communicate(timeout=120)[0]
    assert process.returncode == 10, rest
    told = "host bravo is left changed: port0: MTU is 1400, and was 1500"
    verdicts = [cell["verdict"] for cell in rows(tmp_path).values()]
    assert set(verdicts) == {"PASS", "ERROR"}
    reasons = [c["reason"] for c in rows(tmp_path).values() if c["verdict"] == "ERROR"]
    assert len(reasons) > 2
    assert sum(told in reason for reason in reasons) >= len(reasons) - 1, reasons
    assert f"vxqual: pair soft: {told}" in rest
    assert vxqual("restore", lab.topology).returncode == 0
    eventually(lambda: lab.state() == before)
