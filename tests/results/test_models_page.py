"""The page on NIC models: what a run showed, with tshark's word on the wire."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.outcome import decide
from qualification.judge.result_row import row
from qualification.messages.bursts import CaptureResult, Delivered, Received, Sent, Submitted
from qualification.plan.cells import CONTROLS
from qualification.results import matrix
from qualification.results.run_files import CellEntry, dump_entry
from qualification.results.store import Store
from qualification.wire.recording import WireTally

from .conftest import built

TRUSTED = {name: ControlResult(name, True, "all right") for name in CONTROLS}


def wrong_frame() -> str:
    outer = IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=50_000, dport=4789)
    inner = IP(src="10.18.1.1", dst="10.18.1.2") / UDP(dport=20_000, chksum=0x1234) / b"payload"
    return base64.b64encode(bytes(Ether() / outer / VXLAN(vni=5) / Ether() / inner)).decode()


@pytest.fixture
def directory(campaign: Callable[..., Campaign], tmp_path: Path) -> Path:
    run = campaign(x710=("igb", "igb QEMU 10.0.2"))
    cells = [c for c in run.cells("x710") if c.set_id == "all-on" and c.flow in run.flows("x710")]
    store = Store(tmp_path)
    store.begin(run, cells)
    rows = []
    for cell in cells:
        bad = 9000 if cell.flow.l4 == "udp" and not cell.flow.segmentation else 0
        wire = WireTally(9000, bad, {"inner L4": bad} if bad else {}, {}, 0, (wrong_frame(),) * 2)
        sent = Sent(Submitted(9000, 9000, 9000, 900, 9000), 9000, True, 0.1, {})
        seen = CaptureResult(9000, bad, {"inner L4": bad} if bad else {})
        burst = Burst(sent, Received(seen, Delivered(9000, 0, 0, True), {}), wire)
        evidence = Evidence(cell.offloads.requested, bursts=(burst,))
        store.add(dump_entry(CellEntry(cell.id, evidence)))
        rows.append(row(cell, decide(cell, evidence, TRUSTED, run.demand).judgement, evidence))
    store.end()
    made = built(run, rows, mitigation={"x710": ["tx-checksum-ip-generic"]})
    made = replace(made, nics=tuple(replace(nic, hypervisor="qemu") for nic in made.nics))
    matrix.write(made, tmp_path / "matrix.json")
    return tmp_path


def page(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qualification.results.models_page", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")
def test_a_failure_comes_with_the_word_of_tshark_on_the_wire(directory: Path) -> None:
    text = page(directory).stdout
    assert "| igb QEMU 10.0.2 | igb | 6.1.0-28 | qemu | 8 | 4 | 0 |" in text
    assert "recorded in 12 cells, and had wrong frames in 4; 0 verdicts were contradicted" in text
    [line] = [line for line in text.splitlines() if line.startswith("| FAIL | 4 |")]
    assert "| ip good, good; udp good, bad (2) |" in line
    assert "/udp`: 9,000 frames, 9,000 wrong: inner L4 (9,000)" in line
    assert "With `tx-checksum-ip-generic` off, its flows are clean." in text


def test_no_results(tmp_path: Path) -> None:
    done = page(tmp_path)
    assert done.returncode == 4
    assert "has no stored run" in done.stderr
