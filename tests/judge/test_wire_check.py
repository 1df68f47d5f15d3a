"""A recording of the wire beside the peer's capture: they agree, or the cell is INCONCLUSIVE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.outcome import decide
from qualification.judge.result_row import row
from qualification.judge.verdict import Demand, Verdict
from qualification.messages.bursts import CaptureResult, Delivered, Received, Sent, Submitted
from qualification.plan.cells import CONTROLS, Cell
from qualification.plan.features import CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow
from qualification.wire.recording import WireTally

DEMAND = Demand(0.01, 0.95)
CELL = Cell(
    "x710",
    OffloadSet(frozenset({CSUM}), FeatureSpace(frozenset({CSUM}))),
    Flow(4, True, 4, "udp", False),
)
TRUSTED = {name: ControlResult(name, True, "all right") for name in CONTROLS}


def burst(frames: int = 400, bad: int = 0, wire: WireTally | None = None, **seen: Any) -> Burst:
    sent = Sent(Submitted(400, 400, csum_partial=400), 400, True, 0.1, {})
    layers = {"inner L4": bad} if bad else {}
    captured = CaptureResult(frames, bad, layers, **seen)
    return Burst(sent, Received(captured, Delivered(frames, 0, 0, frames == 400), {}), wire)


def bad(count: int, layer: str = "inner L4", frames: int = 400) -> WireTally:
    return WireTally(frames, count, {layer: count})


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (burst(wire=WireTally(400)), Verdict.PASS),
        (burst(wire=WireTally(400, fragments=7)), Verdict.PASS),
        # A model of a NIC that answers a super-packet with IP fragments, seen at QEMU's igb.
        (burst(310, bad=310, unjudged={"fragment": 7258},
               wire=WireTally(310, 310, {"inner L4": 310}, {}, 7258)), Verdict.FAIL),
        (burst(bad=3, wire=bad(3)), Verdict.FAIL),
        (burst(bad=3, wire=bad(4)), Verdict.FAIL),  # a late one, or one that the peer refused
        (burst(390, wire=WireTally(390)), Verdict.LOSS),
        # What its NIC refuses for being wrong, a peer does not capture: a loss of the DUT's making.
        (burst(390, wire=bad(10)), Verdict.LOSS),
        (burst(390, unjudged={"fragment": 10}, wire=WireTally(390, 0, {}, {"fragment": 10})),
         Verdict.INCONCLUSIVE),
    ],
)  # fmt: skip
def test_what_the_wire_bears_out_stays(found: Burst, verdict: Verdict) -> None:
    evidence = Evidence({CSUM: True}, bursts=(found,))
    without = Evidence({CSUM: True}, bursts=(replace(found, wire=None),))
    outcome = decide(CELL, evidence, TRUSTED, DEMAND)
    assert outcome.judgement == decide(CELL, without, TRUSTED, DEMAND).judgement
    assert outcome.judgement.verdict is verdict


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (burst(wire=bad(2)), "contradicts PASS: 2 of 400 frames on the wire are wrong"),
        (burst(wire=WireTally(399)), "the peer captured 400 frames, and the wire carried 399"),
        (burst(bad=3, wire=WireTally(400)),
         "FAIL: 3 frames were captured with a wrong inner L4, and 0 crossed the wire"),
        (burst(bad=3, wire=bad(3, "outer L4")), "a wrong inner L4, and 0 crossed the wire"),
        (burst(390, wire=WireTally(400)),
         "LOSS: all 400 frames submitted to the driver were sent, and the peer did not take in 10"),
    ],
)  # fmt: skip
def test_a_contradiction_is_inconclusive_and_blames_nobody(found: Burst, reason: str) -> None:
    outcome = decide(CELL, Evidence({CSUM: True}, bursts=(found,)), TRUSTED, DEMAND)
    assert outcome.judgement.verdict is Verdict.INCONCLUSIVE
    assert reason in outcome.judgement.reason
    assert not outcome.blames_nic


def test_a_cell_of_which_a_burst_was_not_recorded_is_not_compared() -> None:
    evidence = Evidence({CSUM: True}, bursts=(burst(wire=bad(2)), burst()))
    outcome = decide(CELL, evidence, TRUSTED, DEMAND)
    assert outcome.judgement.verdict is Verdict.PASS
    assert row(CELL, outcome.judgement, evidence).wire == ""


def test_the_row_has_a_note_and_the_store_keeps_the_tally() -> None:
    wire = WireTally(390, 3, {"inner L4": 3}, {"fragment": 10}, 2, ("AAAA",))
    evidence = Evidence({CSUM: True}, bursts=(burst(bad=3, wire=wire),))
    outcome = decide(CELL, evidence, TRUSTED, DEMAND)
    assert row(CELL, outcome.judgement, evidence).wire == (
        "390 frames, 3 wrong: inner L4 (3); 10 not judged: fragment; 2 fragments"
    )
    adapter = TypeAdapter(Evidence)
    assert adapter.validate_json(adapter.dump_json(evidence)) == evidence
