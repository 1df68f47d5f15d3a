"""What controls do to verdicts: UNTRUSTED, and whether a loss blames the NIC."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.outcome import decide, distrust, never_ran, untrusted
from qualification.judge.verdict import Demand, Verdict
from qualification.messages.bursts import (
    BadFrame,
    CaptureResult,
    Delivered,
    Received,
    Sent,
    Submitted,
)
from qualification.plan.cells import CONTROLS, TAGGED, Cell
from qualification.plan.features import CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow

DEMAND = Demand(0.01, 0.95)
CELL = Cell(
    "x710",
    OffloadSet(frozenset({CSUM}), FeatureSpace(frozenset({CSUM}))),
    Flow(4, True, 4, "udp", False),
)
TRUSTED = {name: ControlResult(name, True, "all right") for name in CONTROLS}
DISTRUSTED = TRUSTED | {"all-off": ControlResult("all-off", False, "3 frames are wrong")}


def evidence(frames: int = 400, *, submitted: int = 400, bad: int = 0) -> Evidence:
    sent = Sent(Submitted(submitted, submitted, csum_partial=submitted), submitted, True, 0.1, {})
    seen = CaptureResult(frames, bad, {"inner L4": bad} if bad else {})
    burst = Burst(sent, Received(seen, Delivered(frames, 0, 0, frames == submitted), {}))
    return Evidence({CSUM: True}, bursts=(burst,))


def all_off(lost: int) -> dict[str, ControlResult]:
    """Controls of which the one with all offloads off lost frames."""
    burst = evidence(10_000 - lost, submitted=10_000).bursts[0]
    result = ControlResult("all-off", True, "said", bursts={"a flow": burst})
    return TRUSTED | {"all-off": result}


LOSSLESS, LOSSY = all_off(0), all_off(200)


@pytest.mark.parametrize(
    ("found", "controls", "verdict", "blames_nic", "doubtful"),
    [
        (evidence(), TRUSTED, Verdict.PASS, False, False),
        (evidence(bad=3), TRUSTED, Verdict.FAIL, True, False),
        (evidence(bad=3), LOSSY, Verdict.FAIL, True, False),
        (evidence(390), LOSSLESS, Verdict.LOSS, True, False),
        (evidence(390), TRUSTED, Verdict.LOSS, True, False),
        (evidence(390), LOSSY, Verdict.PASS, False, False),
        (evidence(200), LOSSY, Verdict.LOSS, True, False),
        (evidence(9, submitted=9), TRUSTED, Verdict.INCONCLUSIVE, False, True),
        (evidence(), DISTRUSTED, Verdict.UNTRUSTED, False, True),
        (evidence(bad=3), DISTRUSTED, Verdict.UNTRUSTED, False, True),
        (evidence(), {}, Verdict.UNTRUSTED, False, True),
    ],
)
def test_outcomes(
    found: Evidence,
    controls: dict[str, ControlResult],
    verdict: Verdict,
    blames_nic: bool,
    doubtful: bool,
) -> None:
    outcome = decide(CELL, found, controls, DEMAND)
    assert outcome.judgement.verdict is verdict
    assert (outcome.blames_nic, outcome.doubtful) == (blames_nic, doubtful)
    assert (untrusted(CELL, controls) is not None) == (verdict is Verdict.UNTRUSTED)


def test_the_control_that_forbids_is_named() -> None:
    outcome = untrusted(CELL, DISTRUSTED)
    assert outcome is not None
    assert outcome.judgement.reason == "control all-off failed: 3 frames are wrong"


def test_no_control_matters_to_what_the_nic_lacks() -> None:
    lacking = replace(CELL, unsupported=(CSUM,))
    for controls in (TRUSTED, DISTRUSTED, {}):
        outcome = decide(lacking, Evidence(effective={}), controls, DEMAND)
        assert outcome.judgement.verdict is Verdict.UNSUPPORTED
        assert not outcome.doubtful
        assert untrusted(lacking, controls) is None


ALL_OFF = Cell("x710", OffloadSet(frozenset(), FeatureSpace(frozenset({CSUM}))), CELL.flow)


def without_offloads(*, csum_partial: int = 0) -> Evidence:
    """A cell with all offloads off, of which three frames are wrong."""
    (one,) = evidence(bad=3).bursts
    sample = BadFrame("AA==", ("inner L4",), ("inner L4 checksum is 0x1234, should be 0x4321",))
    seen = replace(one.received.captured, samples=(sample,))
    sent = replace(one.sent, submitted=Submitted(400, 400, csum_partial=csum_partial))
    burst = Burst(sent, replace(one.received, captured=seen))
    return Evidence({CSUM: False}, bursts=(burst,))


def test_a_wrong_frame_with_all_offloads_off_distrusts_the_pair() -> None:
    found = decide(ALL_OFF, without_offloads(), TRUSTED, DEMAND)
    assert (found.judgement.verdict, found.blames_nic) == (Verdict.UNTRUSTED, False)
    assert "the path or the peer corrupts them" in found.judgement.reason
    assert "the first: inner L4 checksum is 0x1234" in found.judgement.reason
    assert found.evidence is not None
    added = distrust(found)
    later = decide(CELL, evidence(), TRUSTED | added, DEMAND)
    assert later.judgement.verdict is Verdict.UNTRUSTED
    assert f"in {ALL_OFF.id} with every offload off 3 of 400" in later.judgement.reason
    assert not distrust(decide(CELL, evidence(), TRUSTED, DEMAND))
    assert not distrust(later)


def test_a_feature_that_is_fixed_on_is_the_nic_s_fault() -> None:
    """The tx tap shows that the frames were left to the NIC all the same."""
    found = decide(ALL_OFF, without_offloads(csum_partial=400), TRUSTED, DEMAND)
    assert (found.judgement.verdict, found.blames_nic) == (Verdict.FAIL, True)
    assert not distrust(found)
    # The same with features on is compared with them off, and is the NIC's.
    assert decide(CELL, evidence(bad=3), TRUSTED, DEMAND).judgement.verdict is Verdict.FAIL


TAGGED_CELL = replace(CELL, flow=replace(CELL.flow, vlan="nic"))
BLOCKED = ControlResult(TAGGED, False, "400 of 400 frames are lost", lost=400, blocked=True)
REMARKED = ControlResult(TAGGED, False, "VLAN tags are 8100ae8d, should be 81000e8d")


@pytest.mark.parametrize(
    ("tagged", "verdict", "doubtful"),
    [
        (ControlResult(TAGGED, True, "all right"), Verdict.PASS, False),
        (BLOCKED, Verdict.UNSUPPORTED, False),
        (REMARKED, Verdict.UNTRUSTED, True),
        (None, Verdict.UNTRUSTED, True),
    ],
)
def test_a_path_for_tags_decides_on_what_is_tagged_alone(
    tagged: ControlResult | None, verdict: Verdict, doubtful: bool
) -> None:
    controls = TRUSTED | ({} if tagged is None else {TAGGED: tagged})
    outcome = decide(TAGGED_CELL, evidence(), controls, DEMAND)
    assert outcome.judgement.verdict is verdict
    assert outcome.doubtful is doubtful
    if tagged and not tagged.trusted:
        assert tagged.reason in outcome.judgement.reason
    assert decide(CELL, evidence(), controls, DEMAND).judgement.verdict is Verdict.PASS
    # Nor does it excuse what is lost without a tag.
    assert decide(CELL, evidence(390), controls, DEMAND).blames_nic


def test_the_pair_s_controls_come_first() -> None:
    outcome = untrusted(TAGGED_CELL, DISTRUSTED | {TAGGED: BLOCKED})
    assert outcome is not None
    assert outcome.judgement.verdict is Verdict.UNTRUSTED


def test_silence_is_an_error() -> None:
    assert never_ran(CELL, {}).judgement.verdict is Verdict.ERROR
    assert never_ran(CELL, {}).doubtful
