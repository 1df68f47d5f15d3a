"""Culprits of whole pairs, with NICs that are functions of flow and offload set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.culprit.cell_results import CellResults, Purpose
from qualification.judge.culprit.findings import (
    CulpritFindings,
    Observation,
    merged,
    observation_of,
)
from qualification.judge.culprit.investigation import Investigation
from qualification.judge.culprit.search import Settled
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.verdict import Judgement, Verdict
from qualification.messages.bursts import CaptureResult, Delivered, Received, Sent, Submitted
from qualification.plan.cells import Cell, plan_cells, receive_cells
from qualification.plan.features import (
    CSUM,
    GRO,
    RX_CSUM,
    TNL,
    TNL_CSUM,
    TSO,
    TSO6,
    USO,
    FeatureSpace,
    OffloadSet,
)
from qualification.plan.flows import Flow, bulk_flows, receive_flows

SOFT = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, TSO6, USO, CSUM}), driver="tun")
TOP = SOFT.settle(SOFT.switchable)
NOTHING = SOFT.settle(())
FLOWS = bulk_flows(frozenset({4}), 4789)
SEGMENTED = [flow for flow in FLOWS if flow.segmentation and flow.outer_checksum]
TCP = Flow(4, True, 4, "tcp", True)
UDP_SEG = Flow(4, True, 4, "udp", True)
FRAMES = 7000

Wrong = Callable[[Flow, Settled], int | None]
"""Wrong frames of FRAMES; None where it cannot be judged."""


class Lab:
    """Runs cells; `wrong` may come out otherwise from run to run."""

    def __init__(self, wrong: Wrong) -> None:
        self.wrong = wrong
        self.ran: list[tuple[Flow, Settled, Purpose]] = []

    def cell(self, cell: Cell) -> Observation:
        count = self.wrong(cell.flow, SOFT.settle(cell.offloads.on))
        if count is None:
            return Observation(cell, Verdict.INCONCLUSIVE, None, 0, 12)
        verdict = Verdict.FAIL if count else Verdict.PASS
        return Observation(cell, verdict, bool(count), count, FRAMES)

    def run(self, cell: Cell, purpose: Purpose) -> Observation:
        self.ran.append((cell.flow, SOFT.settle(cell.offloads.on), purpose))
        return self.cell(cell)

    def conclude(
        self, cells: Iterable[Cell] | None = None, flows: Iterable[Flow] = FLOWS
    ) -> CulpritFindings:
        flows = tuple(flows)
        planned = plan_cells("x", SOFT, flows, (), "quick") if cells is None else cells
        seen = [self.cell(cell) for cell in planned]
        return Investigation(CellResults("x", SOFT, seen, flows, self.run), 0.999).conclude()


def worked(flow: Flow, on: Settled) -> bool:
    """The NIC segments this flow and makes its outer checksums."""
    return flow.outer_checksum and "segmentation" in flow.work(on)


def incident(flow: Flow, on: Settled) -> int:
    return 210 if worked(flow, on) else 0


def under(flow: Flow, on: Iterable[str]) -> str:
    return Cell("x", OffloadSet(frozenset(on), SOFT), flow).id


ALL_ON = [cell for cell in plan_cells("x", SOFT, FLOWS, (), "quick") if cell.set_id == "all-on"]


# One fault


def test_the_incident() -> None:
    lab = Lab(incident)
    found = lab.conclude()
    failing = {c.id for c in plan_cells("x", SOFT, FLOWS, (), "quick") if lab.cell(c).failing}
    assert len(failing) == 12
    assert found.culprits == dict.fromkeys(failing, (TNL_CSUM,))
    (finding,) = found.findings
    assert (finding.off, finding.device, finding.flows) == ((TNL_CSUM,), "nic", 4)
    assert set(finding.cells) == failing
    assert finding.proof is not None
    assert (finding.proof.off_frames, finding.proof.on_frames, finding.proof.on_wrong) == (
        FRAMES, FRAMES, 210,
    )  # fmt: skip
    assert finding.proof.chance < 1e-50
    assert finding.proof.cell == under(SEGMENTED[0], SOFT.switchable)
    assert lab.ran == [(SEGMENTED[0], TOP - {TNL_CSUM}, "off"), (SEGMENTED[0], TOP, "on")]
    assert found.mitigation is not None
    assert found.mitigation.off == (TNL_CSUM,)
    assert found.mitigation.on == (TNL, TSO, TSO6, USO, CSUM)
    assert (found.mitigation.healed, found.mitigation.failing, found.runs) == (4, 4, 2)


def test_where_only_one_set_was_run() -> None:
    """What the plan has not shown is asked, within bounds."""
    lab = Lab(incident)
    found = lab.conclude(ALL_ON)
    assert set(found.culprits.values()) == {(TNL_CSUM,)}
    assert len(found.culprits) == 4
    assert found.mitigation is not None
    assert found.mitigation.off == (TNL_CSUM,)
    assert len(lab.ran) == len(set(lab.ran)) == found.runs < 16


def test_one_feature_that_explains_more_flows_is_the_likelier() -> None:
    """TSO alone is broken: tnl-csum-seg off would heal one of its two flows as well."""
    lab = Lab(lambda flow, on: 90 * (flow.l4 == "tcp" and flow.inner == 4 and TSO in on))
    found = lab.conclude()
    assert set(found.culprits.values()) == {(TSO,)}
    assert found.findings[0].flows == 2


def test_nothing_failed() -> None:
    lab = Lab(lambda _flow, _on: 0)
    assert lab.conclude() == CulpritFindings("x", {}, (), None, 0)
    assert lab.ran == []


def test_what_the_path_loses_has_no_culprit_among_features() -> None:
    """A LOSS that does not blame the NIC is no failing cell."""
    loss = observation_of(ALL_ON[0], Judgement(Verdict.LOSS, "", 9, 0, 3), None, blames_nic=False)
    found = Investigation(
        CellResults("x", SOFT, [loss], FLOWS, Lab(incident).run), 0.999
    ).conclude()
    assert found.findings == ()


# Several faults


def test_two_culprits_and_what_is_safe_for_both() -> None:
    def wrong(flow: Flow, on: Settled) -> int:
        return 70 * worked(flow, on) + 6000 * (flow.l4 == "udp" and {USO, TNL} <= on)

    lab = Lab(wrong)
    found = lab.conclude()
    assert {finding.off: finding.flows for finding in found.findings} == {(TNL_CSUM,): 2, (USO,): 8}
    assert found.culprits[under(TCP, SOFT.switchable)] == (TNL_CSUM,)
    assert found.culprits[under(UDP_SEG, SOFT.switchable)] == (USO,)
    assert found.mitigation is not None
    assert found.mitigation.off == (TNL,), "as much is left on as with both of them off"
    assert found.mitigation.healed == found.mitigation.failing == 10


def test_with_more_on_it_is_clean() -> None:
    """Plain checksums are wrong, so and segments are not: turning uso on heals as well."""

    def wrong(flow: Flow, on: Settled) -> int:
        return 90 * ("checksum" in flow.work(on) and "segmentation" not in flow.work(on))

    lab = Lab(wrong)
    found = lab.conclude(flows=[UDP_SEG])
    failing = {c.id for c in plan_cells("x", SOFT, [UDP_SEG], (), "quick") if lab.cell(c).failing}
    assert found.culprits == dict.fromkeys(failing, (CSUM,))
    assert found.mitigation is not None
    assert found.mitigation.off == (), "with all on it is clean"
    assert set(found.mitigation.on) == SOFT.switchable


# No feature of the NIC


@pytest.mark.parametrize(("outer", "name"), [(4, "udpcsum"), (6, "noudp6zerocsumtx")])
def test_the_vxlan_device(outer: int, name: str) -> None:
    lab = Lab(lambda flow, _on: 90 * flow.outer_checksum)
    flows = bulk_flows(frozenset({outer}), 4789)  # type: ignore[arg-type]
    found = lab.conclude(flows=flows)
    (finding,) = found.findings
    assert (finding.off, finding.device, finding.flows) == ((name,), "vxlan", 6)
    assert set(found.culprits.values()) == {(name,)}
    assert finding.proof is not None
    assert lab.ran[0][0] == replace(lab.ran[1][0], outer_checksum=False)
    assert [(on, purpose) for _, on, purpose in lab.ran] == [(TOP, "off"), (TOP, "on")]
    assert found.mitigation is None


def test_no_offload_heals_it() -> None:
    lab = Lab(lambda _flow, _on: 90)
    found = lab.conclude()
    (finding,) = found.findings
    assert (finding.off, finding.reason, finding.proof) == ((), "no offload heals it", None)
    assert (len(finding.cells), finding.flows) == (132, 12)
    assert (found.culprits, found.mitigation, lab.ran) == ({}, None, [])


def test_with_offloads_off_it_cannot_be_judged() -> None:
    lab = Lab(lambda _flow, on: 90 if on == TOP else None)
    found = lab.conclude(flows=[TCP])
    assert [f.reason for f in found.findings] == ["with offloads off it could not be judged"]
    assert found.culprits == {}


# Proofs


def test_a_set_that_was_clean_by_luck_is_found_out() -> None:
    """The plan saw it clean with TSO6 off, which has no part in it."""
    lucky = [True]

    def wrong(flow: Flow, on: Settled) -> int:
        if on == TOP - {TSO6} and lucky:
            lucky.pop()
            return 0
        return 40 * (CSUM in on)

    lab = Lab(wrong)
    found = lab.conclude(flows=[TCP])
    assert lab.ran[0] == (TCP, TOP - {TSO6}, "off")
    assert set(found.culprits.values()) == {(CSUM,)}
    assert found.mitigation is not None
    assert found.mitigation.off == (CSUM,)


def test_a_rare_fault_is_looked_at_more_often() -> None:
    lab = Lab(lambda flow, on: 5 * worked(flow, on))
    found = lab.conclude(flows=[TCP, UDP_SEG])
    assert set(found.culprits.values()) == {(TNL_CSUM,)}
    assert found.findings[0].proof is not None
    assert found.findings[0].proof.on_frames == 3 * FRAMES
    # The other flow is run again too: 5 of 7,000 against none of 7,000 may be chance.
    assert [flow for flow, _, _ in lab.ran].count(UDP_SEG) == 4


def test_what_does_not_come_back_is_not_proved() -> None:
    once = [True]

    def wrong(flow: Flow, on: Settled) -> int:
        return 30 if on == TOP and once and once.pop() else 0

    found = Lab(wrong).conclude(flows=[TCP])
    assert (found.culprits, found.mitigation) == ({}, None)
    (finding,) = found.findings
    assert "back on 0 of 21,000 frames were wrong" in finding.reason
    assert "none of 21,000" in finding.reason


def test_when_the_lab_fails_nothing_is_claimed() -> None:
    lab = Lab(incident)
    seen = [lab.cell(cell) for cell in plan_cells("x", SOFT, FLOWS, (), "quick")]
    lab.wrong = lambda _flow, _on: None
    found = Investigation(CellResults("x", SOFT, seen, FLOWS, lab.run), 0.999).conclude()
    assert (found.culprits, found.mitigation) == ({}, None)
    assert all("came out INCONCLUSIVE" in finding.reason for finding in found.findings)
    assert sum(len(finding.cells) for finding in found.findings) == 12


# What counts as wrong


def burst(submitted: int, frames: int, bad: int = 0, corrupt: int = 0, unasked: int = 0) -> Burst:
    layers = {"outer L4": bad} if bad else {}
    seen = CaptureResult(frames=frames, bad=bad, bad_layers=layers, unasked=unasked)
    delivered = Delivered(corrupt=corrupt)
    return Burst(
        Sent(Submitted(submitted, submitted), submitted, True, 0.1, {}),
        Received(seen, delivered, {}),
    )


@pytest.mark.parametrize(
    ("one", "verdict", "wrong", "frames"),
    [
        (burst(100, 90, bad=7), Verdict.FAIL, 7, 80),
        (burst(100, 100, corrupt=3), Verdict.FAIL, 3, 80),
        (burst(100, 90), Verdict.LOSS, 10, 100),
        (burst(100, 0), Verdict.LOSS, 100, 100),
        (burst(100, 100, bad=99), Verdict.FAIL, 99, 99),
        (burst(100, 100, unasked=60), Verdict.FAIL, 60, 80),
    ],
)
def test_wrong_frames(one: Burst, verdict: Verdict, wrong: int, frames: int) -> None:
    evidence = Evidence({CSUM: True}, bursts=(one,))
    made = observation_of(ALL_ON[0], Judgement(verdict, "", 80), evidence, blames_nic=True)
    assert (made.failing, made.wrong, made.frames) == (True, wrong, frames)


# Whatever a NIC does

SETS = sorted(
    {SOFT.settle(c.offloads.on) for c in plan_cells("x", SOFT, [TCP], (), "full")}, key=sorted
)


@given(
    st.lists(
        st.frozensets(st.sampled_from(sorted(SOFT.switchable)), min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)
def test_what_rises_with_features_is_explained_in_full(
    terms: list[frozenset[str]], planned: bool
) -> None:
    closed = [SOFT.close(term) for term in terms]

    def wrong(flow: Flow, on: Settled) -> int:
        return 50 * any(term <= on for term in closed)

    lab = Lab(wrong)
    found = lab.conclude(None if planned else [c for c in ALL_ON if c.flow == TCP], [TCP])
    cells = plan_cells("x", SOFT, [TCP], (), "quick")
    by_id = {cell.id: SOFT.settle(cell.offloads.on) for cell in cells}
    if planned:
        assert found.culprits.keys() == {id_ for id_, on in by_id.items() if wrong(TCP, on)}
    assert found.culprits
    for id_, off in found.culprits.items():
        assert wrong(TCP, by_id[id_])
        assert not wrong(TCP, SOFT.settle(by_id[id_] - set(off)))
    top_off = found.culprits[under(TCP, SOFT.switchable)]
    for name in top_off:
        assert wrong(TCP, SOFT.settle(TOP - (set(top_off) - {name})))
    assert found.mitigation is not None
    left = SOFT.settle(TOP - set(found.mitigation.off))
    assert not wrong(TCP, left)
    assert len(left) == max(len(on) for on in SETS if not wrong(TCP, on))


@given(
    st.dictionaries(
        st.tuples(
            st.sampled_from([TCP, replace(TCP, outer_checksum=False), UDP_SEG]),
            st.sampled_from(SETS),
        ),
        st.sampled_from([None, 0, 1, 40, 7000]),
    ),
    st.sampled_from([0, 40]),
)
def test_whatever_a_nic_does_nothing_unproved_is_claimed(
    table: dict[tuple[Flow, Settled], int | None], otherwise: int
) -> None:
    flows = (TCP, replace(TCP, outer_checksum=False), UDP_SEG)
    lab = Lab(lambda flow, on: table.get((flow, on), otherwise))
    found = lab.conclude(flows=flows)
    cells = {cell.id: cell for cell in plan_cells("x", SOFT, flows, (), "quick")}
    failing = {id_ for id_, cell in cells.items() if lab.cell(cell).failing}
    assert set(found.culprits) <= failing
    grouped = [id_ for finding in found.findings for id_ in finding.cells]
    assert sorted(grouped) == sorted(failing), "each failing cell is in one group"
    assert found.runs == len(lab.ran) <= 120
    for finding in found.findings:
        assert (finding.proof is None) == (finding.off == ())
        assert {found.culprits.get(id_) is None for id_ in finding.cells} == {finding.off == ()}
        if finding.proof is None:
            continue
        assert finding.proof.chance <= 0.001
        top = cells[finding.proof.cell]
        flow, on = top.flow, SOFT.settle(top.offloads.on)
        if finding.device == "vxlan":
            flow = replace(flow, outer_checksum=False)
        else:
            on = SOFT.settle(on - set(finding.off))
        assert lab.wrong(flow, on) == 0
    if found.mitigation is not None:
        left = SOFT.settle(TOP - set(found.mitigation.off))
        assert sum(lab.wrong(flow, left) == 0 for flow in flows) >= found.mitigation.healed


# What is received


@pytest.mark.parametrize("fixed", [frozenset[str](), frozenset({RX_CSUM})])
def test_what_is_received_heals_with_rx_checksum_off(
    fixed: frozenset[str],
) -> None:
    space = FeatureSpace(frozenset({RX_CSUM, GRO}) - fixed, fixed)
    flows = receive_flows(frozenset({4}), 4789)

    def run(cell: Cell, _purpose: Purpose) -> Observation:
        blind = RX_CSUM in space.settle(cell.offloads.on)
        verdict = Verdict.FAIL if blind else Verdict.PASS
        return Observation(cell, verdict, blind, 140 * blind, 380)

    cells = receive_cells("x", space, flows)
    seen = [run(cell, "search") for cell in cells]
    received = Investigation(CellResults("x", space, seen, flows, run), 0.999).conclude()
    sent = Lab(incident).conclude()
    found = merged(sent, received)
    assert found.culprits.items() >= sent.culprits.items()
    assert found.findings == sent.findings + received.findings
    assert found.runs == sent.runs + received.runs
    assert found.mitigation is not None
    ids = {cell.id for cell in cells if RX_CSUM in space.settle(cell.offloads.on)}
    if fixed:
        (finding,) = received.findings
        assert (finding.off, finding.reason) == ((), "no offload heals it")
        assert set(finding.cells) == ids
        assert found.mitigation == sent.mitigation
        return
    assert {id_: found.culprits[id_] for id_ in ids} == dict.fromkeys(ids, (RX_CSUM,))
    assert found.mitigation.off == (TNL_CSUM, RX_CSUM)
    assert found.mitigation.on == (TNL, TSO, TSO6, USO, CSUM, GRO)
    assert (found.mitigation.healed, found.mitigation.failing) == (4 + 4, 4 + 4)


def test_where_nothing_was_searched_nothing_is_merged() -> None:
    nothing = CulpritFindings("x", {}, (), None, 0)
    assert merged(nothing, nothing) == nothing
