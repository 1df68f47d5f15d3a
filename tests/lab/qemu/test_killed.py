"""A guest that is killed in the middle of a run: its pair is in ERROR, and the others finish."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qualification.lab.records import ROOT
from qualification.topology import Topology, dump

VXQUAL = Path(sys.executable).with_name("vxqual")


def guest_of(owner: int, host: str) -> int | None:
    """Returns the pid of the QEMU of a host in the lab of a process."""
    for state in ROOT.glob("*/state.json"):
        if json.loads(state.read_text())["owner"] != owner:
            continue
        for line in (state.parent / "processes").read_text().splitlines():
            pid = int(line.split()[0])
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            if words[words.index("-name") + 1] == host:
                return pid
    return None


@pytest.mark.real_drivers
def test_the_other_pair_finishes_and_nothing_is_left(
    ready: None, guests: Callable[..., Topology], tmp_path: Path
) -> None:
    found = guests("e1000e", "igb").model_dump(mode="json")
    # The second pair has a peer of its own, so that it loses nothing with the first one's.
    nic = found["hosts"]["bravo"]["nics"].pop("igb")
    found["hosts"]["charlie"] = {"nics": {"igb": nic}}
    found["pairs"]["igb"]["peer"] = "charlie.igb"
    file = tmp_path / "topology.yaml"
    file.write_text(dump(Topology.model_validate(found)))
    command = [
        VXQUAL, "run", "--topology", file, "--plan", "quick", "--rate", "0.02", "-n", "0",
        "--out", tmp_path / "out", "-v", "-k", "all-off and outer4-csum and inner4 and not rx",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        for line in run.stdout:
            if "[e1000e/all-off/" in line:
                break
        victim = guest_of(run.pid, "bravo")
        assert victim
        left = [victim, guest_of(run.pid, "alpha"), guest_of(run.pid, "charlie")]
        os.kill(victim, signal.SIGKILL)
        said = run.stdout.read()
    matrix = json.loads((tmp_path / "out/latest/matrix.json").read_text())
    verdicts = {cell["id"]: cell["verdict"] for cell in matrix["cells"]}
    e1000e = [verdict for name, verdict in verdicts.items() if name.startswith("e1000e/")]
    # Cells that were complete when the guest was killed keep their verdicts.
    before = e1000e.index("ERROR")
    assert set(e1000e[:before]) <= {"PASS"}, said
    assert set(e1000e[before:]) == {"ERROR"}, said
    assert {v for name, v in verdicts.items() if name.startswith("igb/")} == {"PASS"}, said
    assert run.returncode == 10
    reasons = [cell["reason"] for cell in matrix["cells"] if cell["verdict"] == "ERROR"]
    assert all("bravo" in reason for reason in reasons)
    until = time.monotonic() + 10
    while any(pid and Path(f"/proc/{pid}").exists() for pid in left):
        assert time.monotonic() < until
        time.sleep(0.05)
    owners = [json.loads(state.read_text())["owner"] for state in ROOT.glob("*/state.json")]
    assert run.pid not in owners
