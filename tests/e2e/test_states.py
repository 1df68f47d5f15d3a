"""NICs that are right until their state changes; VLAN tags, jumbo frames and load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import SMALL, SOME, TOPOLOGIES, four_only, rows, vxqual

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def lab_of(tmp_path: Path, firmware: str, more: str = "") -> Path:
    """The loopback lab, IPv4 alone, with a DUT of this firmware."""
    topology = tmp_path / "lab.yaml"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    text += f"{more}  firmwares:\n    alpha.port0: {{model: {firmware}}}\n"
    topology.write_text(text)
    return topology


@pytest.mark.parametrize(
    ("model", "cells", "wrong"),
    [
        ("after-reset", "udp/lengths and not mtu", {("reset", 4789)}),
        ("after-reset, on: mtu", "udp/lengths and not two", {("mtu", 4789)}),
        # The second port has replaced the first one, and is right itself.
        ("port-stolen", "udp/lengths and not reset and not mtu", {("two-ports", 4789)}),
    ],
)
def test_a_nic_that_is_wrong_after_a_change(
    tmp_path: Path, model: str, cells: str, wrong: set[tuple[str, int]]
) -> None:
    topology, out = lab_of(tmp_path, f"{model}, large: cut"), tmp_path / "out"
    done = vxqual(
        *("run", "-t", topology, *SMALL, "--no-symptom", "--out", out),
        *("-k", f"all-on and outer4-csum and not vlan and inner4 and ({cells}) or culprit"),
    )
    assert done.returncode == 1, done.stdout
    found = rows(out)
    for cell in found.values():
        flow = cell["flow"]
        expected = "FAIL" if (flow["state"], flow["port"]) in wrong else "PASS"
        assert cell["verdict"] == expected, cell
        assert cell["culprit"] is None
    states = {(cell["flow"]["state"], cell["flow"]["port"]) for cell in found.values()}
    assert states > wrong
    [(state, _)] = wrong
    assert f" @{state}" in done.stdout


@pytest.mark.parametrize(
    ("firmware", "flows", "signature", "failing"),
    [
        # Only some frames of the crafted packet set are shorter than 65 bytes inside.
        ("vlan-lost-short", "vlan", "vlan-lost", {"vlan-nic", "vlan-kernel"}),
        ("vlan-shift, tag: outer", "vlan", "vlan-shift", {"vlan-nic", "vlan-kernel"}),
        ("zero-not-ffff, layer: outer", "outer-sums", "zero-not-ffff", {"csum"}),
    ],
)
def test_outer_headers_that_only_some_flows_have(
    tmp_path: Path, firmware: str, flows: str, signature: str, failing: set[str]
) -> None:
    out = tmp_path / "out"
    done = vxqual(
        *("run", "-t", lab_of(tmp_path, firmware), *SMALL, "--no-symptom", "--out", out),
        *("-k", f"all-on and udp and inner4 and ({flows} or lengths) or culprit"),
    )
    assert done.returncode == 1, done.stdout
    found = rows(out).values()
    wrong = [cell for cell in found if cell["verdict"] == "FAIL"]
    assert {cell["verdict"] for cell in found} == {"PASS", "FAIL"}
    assert {cell["flow"]["id"].split("/")[0].partition("outer4-csum-")[2] or "csum"
            for cell in wrong} == failing  # fmt: skip
    for cell in wrong:
        assert cell["signature"].startswith(signature), cell
        assert cell["culprit"] == ["tx-checksum-ip-generic"]


def test_a_path_without_tags_affects_the_tagged_flows_only(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = vxqual(
        *("run", "-t", lab_of(tmp_path, "untagged-only"), *SMALL, "--no-symptom", "--out", out),
        *("-k", "all-on and inner4 and udp and lengths and not mtu and not reset or test_control"),
        SOME,
    )
    assert done.returncode == 0, done.stdout
    for cell in rows(out).values():
        assert cell["verdict"] == ("UNSUPPORTED" if cell["flow"]["vlan"] else "PASS"), cell
        if cell["flow"]["vlan"]:
            assert "no tagged frame gets through" in cell["reason"]
    judged = vxqual("judge", out)
    assert judged.returncode == 0, judged.stdout
    assert judged.stdout.startswith("PARTIAL: ")


@pytest.mark.parametrize("frames", [300, 400])
def test_a_path_that_has_yet_to_learn_the_vlan(tmp_path: Path, frames: int) -> None:
    """What the control for tags loses once, in part or whole, says nothing about the path."""
    out = tmp_path / "out"
    topology = lab_of(tmp_path, f"late-vlan, frames: {frames}")
    done = vxqual(
        *("run", "-t", topology, *SMALL, "--no-symptom", "--out", out),
        *("-k", "all-on and outer4-csum-vlan and inner4 and udp and lengths or test_control", SOME),
    )
    assert done.returncode == 0, done.stdout
    found = rows(out)
    assert {cell["verdict"] for cell in found.values()} == {"PASS"}
    assert {cell["flow"]["vlan"] for cell in found.values()} == {"nic", "kernel"}
    assert "control, try 1 of 3: " in (out / "latest/vxqual.log").read_text()


def test_jumbo_frames_where_the_link_has_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    topology = lab_of(tmp_path, "good", more="  mtu: 9000\n")
    done = vxqual(
        *("run", "-t", topology, *SMALL, "--no-symptom", "--out", out),
        *("-k", "all-on and outer4-csum and inner4 and not port", SOME),
    )
    assert done.returncode == 0, done.stdout
    assert ", MTU 9,000" in done.stdout
    assert {cell["verdict"] for cell in rows(out).values()} == {"PASS"}
    assert {nic["mtu"] for nic in json.loads((out / "latest/matrix.json").read_text())["nics"]} == {
        9000
    }


def test_load_and_reverse_traffic(tmp_path: Path) -> None:
    """A fault is detected under load and with reverse traffic, with the culprit of bulk traffic."""
    out = tmp_path / "out"
    done = vxqual(
        *("run", "-t", lab_of(tmp_path, "seed-left, layer: outer"), *SMALL, "--no-symptom"),
        *("--out", out, "-k", "all-on and (both or load) or culprit"),
    )
    assert done.returncode == 1, done.stdout
    found = rows(out)
    assert {cell["flow"]["load"] for cell in found.values()} == {"both", "load"}
    for cell in found.values():
        assert cell["verdict"] == "FAIL"
        assert cell["signature"].startswith("seed-left")
        assert cell["culprit"] in (["tx-udp_tnl-csum-segmentation"], ["tx-checksum-ip-generic"])
