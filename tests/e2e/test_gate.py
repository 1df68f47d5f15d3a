"""The gate on whole runs of the incident: which rule fails, and what heals it at which price."""

from __future__ import annotations

import hashlib
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
    # All frames: of a share, what gets through depends on the CPU that others leave.
    topology.write_text(text.replace("p: 0.03", "p: 1.0"))
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


def test_a_partial_run_an_old_one_and_one_of_another_plan_fail_their_rules(
    incident: Path, tmp_path: Path
) -> None:
    path = policy(tmp_path, complete=True)
    path.write_text(path.read_text().replace("plan: quick", "plan: full, age_days: 0"))
    done = vxqual("gate", incident / "latest", "--policy", path)
    assert done.returncode == 1
    assert re.findall(r"^  not met +([\w.]+):", done.stdout, re.MULTILINE) == [
        *("run.plan", "run.complete", "run.age_days"),
    ]
    said = " ".join(done.stdout.split())
    assert "plan full: the run had the plan quick; run it again with --plan full" in said
    assert "a run of the last 0 days: the run began on 20" in said
    assert "cells of the plan ran; the run was narrowed by -k '(all-on or" in said


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


@pytest.mark.slow
def test_the_whole_incident_ends_in_a_certificate(tmp_path: Path) -> None:
    """Both pairs, every cell: what is refused, what a mitigation heals, and what proves it."""
    topology, out = tmp_path / "incident.yaml", tmp_path / "out"
    topology.write_text((TOPOLOGIES / "incident.yaml").read_text().replace("p: 0.03", "p: 0.3"))
    done = vxqual("run", topology, *SMALL, "--no-symptom", "--out", out, timeout=1200)
    assert done.returncode == 1, done.stdout
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    allowed = tmp_path / "allowed_signers"
    allowed.write_text(f"lab {(tmp_path / 'key.pub').read_text()}")

    certificates = {}
    for mitigation, code in ((False, 1), (True, 13)):
        asked = policy(tmp_path, complete=True, mitigation=mitigation)
        place = tmp_path / str(mitigation)
        done = vxqual("gate", out, "--policy", asked, "--out", place, "--pdf", "--sign", key)
        assert done.returncode == code, done.stdout
        content = (place / "certificate.json").read_bytes()
        certificates[mitigation] = json.loads(content)
        subprocess.run(
            [
                *("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "lab"),
                *("-n", "vxqual-certificate", "-s", place / "certificate.json.sig"),
            ],
            input=content,
            check=True,
        )
        shown = subprocess.run(
            ["pdftotext", "-layout", place / "certificate.pdf", "-"],
            capture_output=True,
            check=True,
        ).stdout.decode()
        for text in (certificates[mitigation]["outcome"], "firmware 8.30 0x8000af86", "outer L4"):
            assert text in shown

    refused, mitigated = certificates[False], certificates[True]
    assert refused["outcome"] == "NOT QUALIFIED"
    assert [(nic["pair"], nic["outcome"]) for nic in refused["nics"]] == [
        *(("healthy", "QUALIFIED"), ("faulty", "NOT QUALIFIED")),
    ]
    assert refused["nics"][1]["faults"][0]["culprit"] == [TNL_CSUM]
    assert mitigated["outcome"] == "QUALIFIED WITH MITIGATION"
    needed = mitigated["nics"][1]["mitigation"]
    assert needed["command"] == f"ethtool -K port0 {TNL_CSUM} off"
    assert needed["cost"]["throughput_loss"] < 0, "it gains: TCP need not send again"
    digest = hashlib.sha256((out / "latest/evidence.jsonl").read_bytes()).hexdigest()
    assert mitigated["files"][0]["sha256"] == digest
