"""A stored run of a NIC with secrets, in which one cell fails, and what is secret in it."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.verdict import Verdict
from qualification.messages.bursts import BadFrame, Received
from qualification.messages.host import NicSettings
from qualification.messages.submitted import SubmittedPacket
from qualification.plan.features import TNL_CSUM
from qualification.results import matrix
from qualification.results.conclusion import RunOutcome
from qualification.results.run_files import CellEntry, ControlEntry, CulpritEntry, dump_entry
from qualification.results.store import Store
from qualification.topology import Topology
from qualification.wire.verify import explain
from tests.results.conftest import ALL_ON, UDP, Make, built, made
from tests.results.page.conftest import FAILING, evidence, failing, found, ran, tunnel_frame

SECRETS = {
    "alpha.lab.example.com",
    "alpha",
    "bravo",
    "sn-77-ab12",
    "/home/somebody/.ssh/lab_key",
    "somebody",
    "198.18.0.1",
    "198.18.0.2",
    "fd00:18::1",
    "02:00:00:00:01:01",
    "02:00:00:00:01:02",
    "10.0.0.1",
    "10.0.0.2",
    "02:00:00:00:00:01",
    "02:00:00:00:00:02",
    "02-00-00-ff-ff-00-01-00",
    "020000000101",
    "6cz1234abc",
}
WRITTEN = "tag-of-the-lab"
"""What is written into the card; it is masked where lspci shows it."""
PCI = (
    "3b:00.0 Ethernet controller [0200]: Intel Corporation X710 [8086:1572] (rev 02)",
    "  Capabilities: [e0] Vital Product Data",
    "    Product Name: XL710 40GbE Controller",
    "      [PN] Part number: K65390-000",
    "      [SN] Serial number: 6CZ1234ABC",
    "      [V0] Vendor specific: 020000000101",
    "      [YA] Asset tag: TAG-OF-THE-LAB",
    "  Capabilities: [140 v1] Device Serial Number 02-00-00-ff-ff-00-01-00",
    "  Kernel driver in use: i40e",
)
LOG = "alpha p0: hw csum failure from 198.18.0.2 (02-00-00-00-01-02), see /home/somebody/notes"


def secret_run(campaign: Campaign) -> Campaign:
    """Returns a run whose hosts have names, addresses, serial numbers and key files."""
    hosts = {
        name: {
            "ssh": {"address": address, "user": "somebody", "key": "/home/somebody/.ssh/lab_key"},
            "nics": {"port0": {"interface": "p0", "underlay": [underlay]}},
        }
        for name, address, underlay in (
            ("alpha", "alpha.lab.example.com", "198.18.0.1/24"),
            ("bravo", "bravo", "198.18.0.2/24"),
        )
    }
    pairs = {"x710": {"dut": "alpha.port0", "peer": "bravo.port0"}}
    topology = Topology.model_validate({"version": 1, "hosts": hosts, "pairs": pairs})
    nics = {}
    old = campaign.inventory.nics["x710-dut.port0"]
    for number, host in enumerate(("alpha", "bravo"), 1):
        facts = replace(
            old.facts,
            mac=f"02:00:00:00:01:{number:02}",
            addresses=("fd00:18::1/64",),
            firmware="218.0.166.0",
            settings=NicSettings(
                coalescing={"rx_coalesce_usecs": 50},
                limits={"ring rx": 4096},
                flow_hash={"hash of udp4": "source address, destination address"},
                module={"debug": "-1", "firmware_path": "/home/somebody/fw"},
                pci=PCI,
            ),
            devlink={"serial_number": "SN-77-AB12", "running.fw.mgmt": "8.30"},
        )
        about = replace(old.host, hostname=f"{host}.lab.example.com")
        underlay = (f"198.18.0.{number}/24",)
        name = f"{host}.port0"
        nics[name] = replace(old, name=name, host=about, facts=facts, underlay=underlay)
    inventory = replace(campaign.inventory, nics=nics)
    return replace(
        campaign, topology=topology, inventory=inventory, source="/home/somebody/lab.yaml"
    )


@pytest.fixture
def stored(campaign: Make, tmp_path: Path) -> Path:
    """The directory of that run."""
    run = secret_run(campaign(x710=("i40e", "218.0.166.0")))
    directory = tmp_path / "out" / run.run_id
    directory.mkdir(parents=True)
    cells = {cell.id: cell for cell in run.cells("x710")}
    written = Store(directory)
    written.begin(run, [cells[FAILING]])
    written.add(dump_entry(ControlEntry("x710", ControlResult("plain", True, "it is clean"))))
    written.add(dump_entry(CellEntry(FAILING, secret_evidence())))
    written.add(dump_entry(CulpritEntry(found())))
    written.end()
    rows = [failing(), ran(made(ALL_ON, UDP, Verdict.PASS, frames=1000))]
    results = built(run, rows, (), {"x710": [TNL_CSUM]}, RunOutcome.NOT_QUALIFIED)
    matrix.write(results, directory / "matrix.json")
    return directory


def secret_evidence() -> Evidence:
    """The evidence of 30 wrong frames, and a log that names everything."""
    frame = tunnel_frame()
    encoded = base64.b64encode(frame).decode()
    right = int(next(iter(explain(frame))).rpartition("0x")[2], 16)
    counterpart = base64.b64encode(tunnel_frame(right)).decode()
    handed = SubmittedPacket(base64.b64encode(frame[:100]).decode(), len(frame), True)
    kept = BadFrame(encoded, ("outer L4",), tuple(explain(frame)))
    made_up = evidence(frame)
    burst = made_up.bursts[0]
    captured = replace(
        burst.received.captured,
        samples=(replace(kept, counterpart=counterpart, submitted=handed), kept, kept),
    )
    received: Received = replace(burst.received, captured=captured, kernel_log=(LOG,))
    return replace(made_up, bursts=(Burst(burst.sent, received),))
