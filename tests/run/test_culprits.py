"""What a search for culprits puts on a report, and how its test ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qualification.campaign import Campaign
from qualification.inventory import Inventory, Nic
from qualification.judge.controls import ControlResult
from qualification.judge.culprit.findings import (
    CulpritFindings,
    CulpritGroup,
    Mitigation,
    Observation,
    Proof,
    explained,
)
from qualification.judge.evidence import Evidence
from qualification.judge.result_row import row
from qualification.judge.verdict import Demand, Judgement, Verdict
from qualification.messages.host import Feature, HostFacts, NicFacts
from qualification.plan.cells import CONTROLS, Cell
from qualification.plan.extra_flows import VLAN_INSERT
from qualification.plan.features import CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow
from qualification.results.run_files import CulpritEntry, ProofEntry, dump_entry
from qualification.run import culprits
from qualification.run.cell_runner import CellRunner
from qualification.topology import Topology

SPACE = FeatureSpace(frozenset({CSUM}))
CELL = Cell("x710", OffloadSet(frozenset({CSUM}), SPACE), Flow(4, True, 4, "tcp", True))
PROOF = Proof(CELL.id, 7000, 7000, 21, 1e-6)
FOUND = CulpritFindings(
    "x710",
    {CELL.id: (CSUM,)},
    (CulpritGroup((CSUM,), "nic", (CELL.id,), 1, PROOF, "21 of 7,000"),),
    Mitigation((CSUM,), (), 1, 1),
    2,
)
STEPS = tuple(
    culprits.Step(f"{CELL.id}#{purpose}-{number}", Observation(CELL, verdict, bad, 0, 9), seen, why)
    for number, (purpose, verdict, bad, seen, why) in enumerate(
        [
            ("off", Verdict.PASS, False, Evidence({}), "none wrong"),
            ("on", Verdict.ERROR, None, None, "alpha: it is gone"),
        ],
        1,
    )
)


def report() -> pytest.TestReport:
    return pytest.TestReport("test_3.py::test_culprit[x]", ("", 0, ""), {}, "passed", None, "call")


def test_findings_travel_on_the_report() -> None:
    made = report()
    culprits.attach_search(made, culprits.CulpritSearch(FOUND, STEPS))
    again = pytest.TestReport._from_json(made._to_json())  # over the wire, as xdist does it
    assert culprits.findings_of(again) == FOUND
    assert getattr(again, culprits.PROOFS) == [
        dump_entry(ProofEntry(f"{CELL.id}#off-1", Evidence({}))),
        dump_entry(CulpritEntry(FOUND)),
    ]
    assert culprits.findings_of(report()) is None


def test_rows_get_their_culprit() -> None:
    made = row(CELL, Judgement(Verdict.FAIL, "wrong"))
    assert explained(made, FOUND) == replace(made, culprit=[CSUM])
    assert explained(made, replace(FOUND, culprits={})) == made
    assert explained(made, None) == made


def test_what_is_unproved_is_reported_with_the_errors_of_the_lab() -> None:
    assert culprits.CulpritSearch(FOUND, STEPS).unproved == ""
    unknown = CulpritGroup(
        (), "nic", (CELL.id,), 1, None, "no culprit is proved: it came out ERROR"
    )
    found = culprits.CulpritSearch(replace(FOUND, findings=(unknown,)), STEPS)
    assert found.unproved == (
        "failing cells: 1, no culprit is proved: it came out ERROR; alpha: it is gone"
    )


def test_plain_crafted_packets_are_searched_although_a_tunnel_fails_too() -> None:
    udp = Flow(4, True, 4, "udp", False)
    inside = replace(udp, packet_set="lengths")
    plain = replace(inside, port=0, tunnel=False)
    seen = [
        Observation(replace(CELL, flow=flow), Verdict.FAIL, True, 9, 99)
        for flow in (udp, inside, plain)
    ]
    assert culprits.bulk_counterparts(seen) == {seen[1].cell.id: seen[0].cell.id}


def nic(host: str) -> Nic:
    facts = NicFacts(
        "p0", "02:00:00:00:00:01", 1500, True, True, "i40e", None, "8.30", None, None, None,
        {}, {}, {}, (), {CSUM: Feature(True, True, True)},
    )  # fmt: skip
    about = HostFacts(host, "6.1", "Debian", "a CPU", 8, "3.11", 1, ("p0",))
    return Nic(f"{host}.port0", about, facts, None, ("198.18.0.1/24",))


@pytest.fixture
def runner(tmp_path: Path) -> CellRunner:
    """A pair whose hosts cannot be reached."""
    ssh = {"proxy_command": "false", "known_hosts": str(tmp_path / "none")}
    hosts = {
        host: {
            "ssh": {"address": host, **ssh},
            "nics": {"port0": {"interface": "p0", "underlay": [f"198.18.0.{number}/24"]}},
        }
        for number, host in enumerate(("alpha", "bravo"), 1)
    }
    pairs = {"x710": {"dut": "alpha.port0", "peer": "bravo.port0", "vlan": 3725}}
    topology = Topology.model_validate({"version": 1, "hosts": hosts, "pairs": pairs})
    inventory = Inventory({f"{host}.port0": nic(host) for host in hosts})
    return CellRunner(
        Campaign(
            "run", "now", 7, "0", "lab.yaml", "quick", Demand(), topology, inventory, ("x710",)
        )
    )


def test_a_control_that_was_not_run_says_why(runner: CellRunner) -> None:
    passed = {name: ControlResult(name, True, "all right") for name in CONTROLS}
    failed = ControlResult("plain", False, "6,893 frames are too few")
    runner._controls["x710"] = passed | {"plain": failed}
    assert runner.control("x710", "plain") == failed
    tagged = runner.control("x710", "tagged")
    assert (tagged.trusted, tagged.reason) == (False, "it was not run: control plain failed")


def test_nothing_is_run_where_nothing_failed(runner: CellRunner) -> None:
    assert culprits.search("x710", runner) == culprits.CulpritSearch(
        CulpritFindings("x710", {}, (), None, 0), ()
    )


def test_flows_in_a_state_are_not_searched(runner: CellRunner) -> None:
    """The history before a second run would not be the same."""
    seen = runner._observed.setdefault("x710", [])
    for cell in runner.campaign.cells("x710"):
        if cell.flow.state:
            seen.append(Observation(cell, Verdict.FAIL, True, 21, 400))
    assert len(seen) == 2 * 8 + 8
    assert culprits.search("x710", runner).steps == ()


def _with_max_mtu(campaign: Campaign, most: int) -> Campaign:
    nics = {
        name: replace(nic, facts=replace(nic.facts, max_mtu=most))
        for name, nic in campaign.inventory.nics.items()
    }
    return replace(campaign, inventory=Inventory(nics))


def test_a_nic_that_takes_no_larger_mtu_keeps_its_own(runner: CellRunner) -> None:
    small = _with_max_mtu(runner.campaign, 1500)
    assert {flow.state for flow in small.states("x710")} == {"two-ports", "reset"}


@pytest.mark.parametrize(
    ("feature", "who"),
    [
        (None, {"kernel"}),
        (Feature(True, True, True), {"nic", "kernel"}),
        (Feature(True, False, False), {"nic", "kernel"}),
        (Feature(False, True, True), {"nic"}),
        (Feature(False, False, False), {"kernel"}),
    ],
)
def test_who_inserts_a_tag_follows_from_what_the_nic_can(
    runner: CellRunner, feature: Feature | None, who: set[str]
) -> None:
    campaign = runner.campaign
    nics = dict(campaign.inventory.nics)
    dut = nics["alpha.port0"]
    more = {} if feature is None else {VLAN_INSERT: feature}
    facts = replace(dut.facts, features={**dut.facts.features, **more})
    nics["alpha.port0"] = replace(dut, facts=facts)
    campaign = replace(campaign, inventory=Inventory(nics))
    assert {flow.vlan for flow in campaign.tagged("x710")} == who
    assert "x710/tagged" in campaign.controls("x710")
    document = campaign.topology.model_dump(mode="python", exclude_none=True)
    document["pairs"]["x710"]["vlan"] = None
    without = replace(campaign, topology=Topology.model_validate(document))
    assert without.tagged("x710") == ()
    assert "x710/tagged" not in without.controls("x710")


def test_a_link_that_may_carry_our_session_is_not_taken_down(runner: CellRunner) -> None:
    campaign = runner.campaign
    assert {flow.state for flow in campaign.states("x710")} == {"two-ports", "reset"}
    roomy = _with_max_mtu(campaign, 9000)
    assert {flow.state for flow in roomy.states("x710")} == {"two-ports", "reset", "mtu"}
    assert roomy.states("x710")[-1].state == "mtu"
    campaign = roomy
    document = campaign.topology.model_dump(mode="python", exclude_none=True)
    document["hosts"]["alpha"]["nics"]["port0"]["allow_management"] = True
    permitted = replace(campaign, topology=Topology.model_validate(document))
    assert {flow.state for flow in permitted.states("x710")} == {"two-ports"}


def test_a_lab_that_fails_proves_nothing_and_blames_nobody(runner: CellRunner) -> None:
    seen = runner._observed.setdefault("x710", [])
    for cell in runner.campaign.cells("x710"):
        if cell.flow == CELL.flow and not cell.unsupported:
            bad = bool(cell.offloads.on)
            verdict = Verdict.FAIL if bad else Verdict.PASS
            seen.append(Observation(cell, verdict, bad, 21 * bad, 7000))
    found = culprits.search("x710", runner)
    assert found.findings.culprits == {}
    assert [step.id for step in found.steps] == ["x710/all-off/outer4-csum/inner4/tcp#off-1"]
    assert "came out ERROR; " in found.unproved
    with pytest.raises(pytest.skip.Exception, match="came out ERROR"):
        culprits.conclude(found)
