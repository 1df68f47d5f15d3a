"""A peer whose sockets may hold little: its datagrams are dropped behind the capture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qualification.lab.qemu.lab import RunningQemuLab
from qualification.topology import dump

from .conftest import ask

VXQUAL = Path(sys.executable).with_name("vxqual")


@pytest.mark.real_drivers
def test_a_peer_with_little_room_is_sent_less_at_a_time(
    booted: RunningQemuLab, tmp_path: Path
) -> None:
    """Seen with Linux 6.12 in 320 MiB: the controls took full sockets for a firewall.

    Here the UDP sockets of the peer together hold 200 pages, some 350 datagrams.
    """
    pages = ask(booted, "bravo", "cat /proc/sys/net/ipv4/udp_mem").split()
    ask(booted, "bravo", "echo 100 150 200 > /proc/sys/net/ipv4/udp_mem")
    try:
        file = tmp_path / "topology.yaml"
        file.write_text(dump(booted.topology))
        done = subprocess.run(
            [VXQUAL, "run", file, "--plan", "quick", "--pair", "e1000e", "--out", tmp_path / "out",
             "-k", "(all-on/outer4-csum/inner4/udp or all-on/plain4/udp) and not load"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        ask(booted, "bravo", f"echo {' '.join(pages)} > /proc/sys/net/ipv4/udp_mem")
    matrix = json.loads((tmp_path / "out/latest/matrix.json").read_text())
    verdicts = {cell["id"]: cell["verdict"] for cell in matrix["cells"]}
    assert len(verdicts) > 1, done.stdout + done.stderr
    assert set(verdicts.values()) <= {"PASS", "NOT EXERCISED"}, done.stdout
    assert "PASS" in verdicts.values(), done.stdout
    log = (tmp_path / "out/latest/vxqual.log").read_text()
    assert "the peer's sockets had no room for " in log
    assert "does a firewall" not in log
