"""The gate on whole runs of the incident: which rule fails, and what heals it at which price."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from qualification.plan.features import TNL_CSUM

from .conftest import ALONE, SMALL, TOPOLOGIES, four_only, vxqual

pytestmark = pytest.mark.lab

POLICY = """\
version: 1
name: nodes
run: {plan: quick, rate: 0.05, confidence: 0.9, complete: %s}
nic:
  features: [tx-tcp-segmentation]
mitigation: {allowed: %s, throughput_loss: 1, cpu_increase: 1}
"""
BULK = f"(all-on or all-off or culprit) and not crafted and not receive and {ALONE}"
"""The essential cells, and what the search for the culprit begins with."""


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a selection of the incident's faulty pair, on a path of IPv4."""
    directory = tmp_path_factory.mktemp("incident")
    topology = directory / "incident.yaml"
    text = four_only((TOPOLOGIES / "incident.yaml").read_text())
    topology.write_text(text.replace("p: 0.03", "p: 0.3"))
    done = vxqual(
        *("run", topology, *SMALL, "--pair", "faulty", "--no-symptom", "--out", directory / "out"),
        *("-k", BULK),
    )
    assert done.returncode == 1, done.stdout
    return directory / "out"


def policy(directory: Path, *, complete: bool = False, mitigation: bool = True) -> Path:
    path = directory / "policy.yaml"
    path.write_text(POLICY % (str(complete).lower(), str(mitigation).lower()))
    return path


def test_a_mitigation_opens_the_gate_where_it_is_allowed(incident: Path, tmp_path: Path) -> None:
    asked = ("gate", incident, "--policy", policy(tmp_path))
    done = vxqual(*asked)
    assert done.returncode == 13, done.stdout
    assert done.stdout.startswith("QUALIFIED WITH MITIGATION by policy nodes: run 20")
    assert f"\n      ethtool -K port0 {TNL_CSUM} off\n" in done.stdout
    assert re.search(r"\n  it gives (over 100|[\d.]+) times the throughput, ", done.stdout)
    out = tmp_path / "certificate"
    done = vxqual(*asked, "--mitigation-ok", "--out", out, "--pdf")
    assert done.returncode == 0
    assert f"certificate: {out}/certificate.json, {out}/certificate.html, {out}/" in done.stdout
    written = json.loads((out / "certificate.json").read_text())
    assert written["outcome"] == "QUALIFIED WITH MITIGATION"
    paper = subprocess.run(
        ["pdftotext", "-layout", out / "certificate.pdf", "-"], capture_output=True, check=True
    ).stdout.decode()
    for text in ("firmware 8.30 0x8000af86", f"ethtool -K port0 {TNL_CSUM} off", "outer L4"):
        assert text in paper

    done = vxqual("gate", incident, "--policy", policy(tmp_path, mitigation=False))
    assert done.returncode == 1
    assert "\nfaulty: NOT QUALIFIED: charlie port0 (tun, firmware 8.30 0x8000af86)\n" in done.stdout
    assert "not met         nic.verdicts: " in done.stdout


def test_a_selection_fails_the_rule_of_completeness(incident: Path, tmp_path: Path) -> None:
    done = vxqual("gate", incident / "latest", "--policy", policy(tmp_path, complete=True))
    assert done.returncode == 1
    assert done.stdout.count("not met  ") == 1
    assert "  not met         run.complete: every cell of the plan ran: " in done.stdout


def test_a_run_judged_again_keeps_what_the_mitigation_costs(incident: Path) -> None:
    """More gets through without the feature by which every third segment is corrupted."""
    document = json.loads((incident / "latest/matrix.json").read_text())
    (cost,) = document["costs"]
    assert (cost["pair"], cost["off"], cost["turns"]) == ("faulty", [TNL_CSUM], 3)
    assert cost["throughput_mitigated"]["median"] > 2 * cost["throughput_all_on"]["median"]
    said = vxqual("judge", incident).stdout
    heals = said[said.index(f"\n      ethtool -K port0 {TNL_CSUM} off\n") :].splitlines()[2]
    assert re.fullmatch(
        r"      gives .+ times the throughput, .+ times the CPU per byte "
        r"\(outer4-csum/inner4/tcp, 3 turns\)",
        heals,
    )


def test_it_writes_nothing_into_the_run(incident: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in (incident / "latest").iterdir()}
    vxqual("gate", incident, "--policy", policy(tmp_path))
    assert {path.name: path.read_bytes() for path in (incident / "latest").iterdir()} == before
    assert json.loads(before["matrix.json"])["run"]["outcome"] == "NOT QUALIFIED"
