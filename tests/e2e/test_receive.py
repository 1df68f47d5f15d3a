"""NICs that report a wrong checksum status for what they receive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import SMALL, TOPOLOGIES, four_only, rows, vxqual

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_a_blind_nic_fails_and_is_judged_again(tmp_path: Path) -> None:
    topology, out, allure = tmp_path / "lab.yaml", tmp_path / "out", tmp_path / "allure"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    topology.write_text(text + "  firmwares: {alpha.port0: {model: rx-blind}}\n")
    run = ("run", "-t", topology, *SMALL, "--no-symptom", "--out", out, f"--allure={allure}")
    done = vxqual(*run, "-k", "rx/ or culprit", "-m", "receive or not crafted")
    assert done.returncode == 1, done.stdout
    found = rows(out)
    assert len(found) == 2 * 4
    for id_, cell in found.items():
        assert "/rx/outer4-csum/" in id_
        assert cell["flow"]["direction"] == "receive"
        assert (cell["verdict"], cell["signature"].split(",")[0]) == ("FAIL", "rx-blind"), cell
        assert set(cell["requested"]) == {"rx-gro"}
        assert cell["effective"] == {"rx-checksum": False, "rx-gro": cell["requested"]["rx-gro"]}
    assert "  all-on received   F F    F F" in done.stdout
    assert "unknown, 8 failing cells of 4 flows: no offload heals it" in done.stdout
    failed = [
        made
        for path in allure.glob("*-result.json")
        if (made := json.loads(path.read_text()))["status"] == "failed"
        and not made["fullName"].endswith("/outcome")
    ]
    assert len(failed) == 8
    for result in failed:
        names = {attached["name"] for attached in result["attachments"]}
        base = result["fullName"].replace("/", "_")
        assert names == {f"{base}.txt", f"{base}.evidence.json", f"{base}.pcapng"}
    again = vxqual("judge", out, "--out", tmp_path / "again")
    assert again.returncode == 1, again.stdout
    cells = json.loads((tmp_path / "again/matrix.json").read_text())["cells"]
    assert {cell["id"]: cell for cell in cells} == found


def test_a_strict_nic_fails_although_the_controls_of_sending_fail_too(tmp_path: Path) -> None:
    topology, out = tmp_path / "lab.yaml", tmp_path / "out"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    topology.write_text(text + "  firmwares: {alpha.port0: {model: rx-strict}}\n")
    run = ("run", "-t", topology, *SMALL, "--no-symptom", "--out", out)
    done = vxqual(*run, "-k", "all-on and inner4 and udp and not nocsum", "-m", "not slow")
    assert done.returncode == 1, done.stdout
    found = rows(out)
    received = {id_ for id_, cell in found.items() if cell["flow"]["direction"] == "receive"}
    assert received
    for id_, cell in found.items():
        expected = "FAIL" if id_ in received else "UNTRUSTED"
        assert cell["verdict"] == expected, cell
        if id_ in received:
            assert cell["signature"].startswith("rx-strict, frame: ")
            assert "zero-outer (all " in cell["reason"]
