"""A NIC gets the same verdict however slow it is, or its peer, in whole runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import SMALL, TOPOLOGIES, Persistent, four_only, rows, vxqual

pytestmark = pytest.mark.lab

SOME = "all-on and outer4-csum and (inner4 or inner6)"


def lab(path: Path, nic: str, firmware: str) -> Path:
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    path.write_text(text + f"  firmwares: {{{nic}: {{{firmware}}}}}\n")
    return path


@pytest.mark.parametrize(
    ("nic", "firmware", "carried"),
    [
        ("alpha.port0", "model: slow-nic, rate: 20000, ring: 500", 20_000),
        pytest.param(
            "alpha.port0", "model: slow-nic, rate: 2000, ring: 500", 2_000, marks=pytest.mark.slow
        ),
        pytest.param(
            "alpha.port0", "model: slow-nic, rate: 200, ring: 500", 200, marks=pytest.mark.slow
        ),
        pytest.param(
            "bravo.port0",
            "model: small-ring, rate: 20000, ring: 64",
            20_000,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_slow_nic_that_is_good_qualifies(
    tmp_path: Path, nic: str, firmware: str, carried: int
) -> None:
    topology = lab(tmp_path / "slow.yaml", nic, firmware)
    # Sets and bulk: the bursts of a cell are far longer than the ring.
    demand = ("--rate", "0.005") if carried > 2_000 else SMALL[2:]
    some = SOME if carried > 200 else f"{SOME} and (lengths or boundaries or udp])"
    done = vxqual(
        *("run", "-t", topology, "--plan", "quick", *demand, "--out", tmp_path, "--partial-ok"),
        *("-k", some),
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    assert {cell["verdict"] for cell in rows(tmp_path).values()} == {"PASS"}
    (dut,) = (
        n for n in json.loads((tmp_path / "latest/matrix.json").read_text())["nics"] if n["pace"]
    )
    assert carried / 10 < dut["pace"] <= carried * 1.1
    assert f"at {dut['pace']:,} frames/s: with all offloads off, " in done.stdout
    log = (tmp_path / "latest/vxqual.log").read_text()
    assert f"the pace of its bursts is {dut['pace']:,} frames/s (" in log
    again = vxqual("judge", tmp_path, "--out", tmp_path / "again")
    assert again.returncode == 0, again.stdout
    stored = json.loads((tmp_path / "again/matrix.json").read_text())["nics"]
    assert dut in stored


def test_what_a_queue_of_the_host_drops_is_sent_again_at_a_slower_pace(
    lab: Persistent, tmp_path: Path
) -> None:
    """As fq_codel drops in front of a slow NIC: what never reached the driver blames nobody."""
    queue = ("dev", "port0", "root")
    shaped = ("tbf", "rate", "300mbit", "burst", "140kb", "limit", "280kb")
    lab.inside("alpha", "tc", "qdisc", "replace", *queue, *shaped)
    try:
        done = vxqual(
            *("run", "-t", lab.topology, "--plan", "quick", "--rate", "0.005", "--out", tmp_path),
            *("--partial-ok", "-k", "all-on/outer4-csum/inner4 and not both and not load"),
        )
    finally:
        lab.inside("alpha", "tc", "qdisc", "del", *queue)
    log = (tmp_path / "latest/vxqual.log").read_text()
    assert "a queue of the DUT's kernel dropped " in log
    assert done.returncode == 0, done.stdout
    assert {cell["verdict"] for cell in rows(tmp_path).values()} == {"PASS"}


@pytest.mark.slow
def test_a_path_that_loses_at_any_pace_qualifies_nothing_and_blames_nobody(tmp_path: Path) -> None:
    topology = lab(tmp_path / "lossy.yaml", "alpha.port0", "model: lossy, p: 0.01")
    done = vxqual(
        *("run", "-t", topology, "--plan", "quick", "--rate", "0.005", "--out", tmp_path),
        *("-k", "all-on and outer4-csum/inner4 and (udp or tcp) and not both and not load"),
    )
    assert done.returncode == 10, done.stdout
    cells = rows(tmp_path)
    verdicts = {cell["verdict"] for cell in cells.values()}
    assert "INCONCLUSIVE" in verdicts
    assert verdicts <= {"INCONCLUSIVE", "PASS"}, cells
    assert "the path loses frames at any pace" in " ".join(done.stdout.split())


def test_a_nic_that_drops_what_it_should_offload_is_to_blame(tmp_path: Path) -> None:
    topology = lab(tmp_path / "drop.yaml", "alpha.port0", "model: silent-drop, p: 0.02")
    done = vxqual(
        *("run", "-t", topology, "--plan", "quick", "--rate", "0.005", "--out", tmp_path),
        *("-k", "all-on/outer4-csum/inner4 and udp]"),
    )
    assert done.returncode == 1, done.stdout
    assert {cell["verdict"] for cell in rows(tmp_path).values()} == {"LOSS"}
    assert "never reached the peer, none of" in " ".join(done.stdout.split())
