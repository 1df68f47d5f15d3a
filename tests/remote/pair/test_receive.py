"""Receive tests of soft NICs whose receive checksumming is right, blind or too strict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from qualification.inventory import Ends, Role
from qualification.judge.receive.verdict import judge_received, sign_received
from qualification.judge.verdict import Demand, Verdict
from qualification.lab import loopback
from qualification.plan.cells import receive_cells
from qualification.plan.features import GRO, FeatureSpace
from qualification.plan.flows import bulk_flows, receive_flows
from qualification.remote.discover import discover
from qualification.remote.host import open_host
from qualification.remote.pair.controls import run_received
from qualification.remote.pair.receive import receive
from qualification.remote.pair.session import PairSession
from qualification.topology import Topology

pytestmark = pytest.mark.lab

LAB = Path(__file__).parents[3] / "topologies" / "loopback.yaml"
DEMAND = Demand(0.05, 0.9)
SPACE = FeatureSpace(frozenset({GRO}), driver="tun")


def topology(firmware: dict[str, Any]) -> Topology:
    document = YAML(typ="safe").load(LAB.read_text())
    for host in document["hosts"].values():  # IPv4 underlays: half as many flows
        del host["nics"]["port0"]["underlay"][1]
    document["lab"]["firmwares"] = {"alpha.port0": firmware}
    return Topology.model_validate(document)


@pytest.mark.parametrize(
    ("firmware", "verdict", "name"),
    [
        ({"model": "good"}, Verdict.PASS, None),
        # Slower than its peer, whose pace is that of the other direction.
        ({"model": "small-ring", "rate": 10_000}, Verdict.PASS, None),
        pytest.param(
            {"model": "no-room", "p": 0.2}, Verdict.INCONCLUSIVE, None, marks=pytest.mark.slow
        ),
        ({"model": "rx-blind"}, Verdict.FAIL, "rx-blind"),
        ({"model": "rx-level"}, Verdict.FAIL, "rx-level"),
        ({"model": "rx-strict", "of": "zero"}, Verdict.FAIL, "rx-strict"),
        pytest.param(
            {"model": "rx-strict", "of": "padding"}, Verdict.FAIL, "rx-strict",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"model": "rx-strict", "of": "inner6"}, Verdict.FAIL, "rx-strict",
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_flow_under_every_set(
    firmware: dict[str, Any], verdict: Verdict, name: str | None
) -> None:
    with loopback.start(topology(firmware)) as lab:
        nics = discover(lab.topology, ["soft"], lambda _: None).nics
        ends = Ends(nics["alpha.port0"], nics["bravo.port0"], 4789)
        hosts: dict[Role, Any] = {
            "dut": open_host(lab.topology, "alpha"),
            "peer": open_host(lab.topology, "bravo"),
        }
        flows = bulk_flows(ends.families, 4789)
        pair = PairSession("soft", ends, flows, hosts, DEMAND, 7, {"dut": False, "peer": False})
        try:
            pair.open()
            control = run_received(pair)
            assert control.trusted, control.reason
            found = {}
            for cell in receive_cells("soft", SPACE, receive_flows(ends.families, 4789)):
                evidence = pair.evidence(cell)
                judgement = judge_received(cell, evidence, DEMAND)
                signature = sign_received(evidence)
                spared = firmware.get("of") == "inner6" and cell.flow.inner == 4
                assert judgement.verdict is (Verdict.PASS if spared else verdict), judgement
                assert (signature and signature.name) == (None if spared else name)
                assert evidence.effective == {
                    "rx-checksum": False, GRO: GRO in cell.offloads.on
                }  # fmt: skip
                found[cell.id] = judgement
            assert len(found) == 8
            # The receive test can be run again.
            again = receive(pair.endpoints, receive_flows(ends.families, 4789)[0], "dut")
            assert {tally.frames > 0 for tally in again.shapes} == {True}
        finally:
            pair.close()
