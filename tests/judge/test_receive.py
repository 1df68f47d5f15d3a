"""Receive checksum status of a NIC: false accepts, false rejects, and what is neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qualification.judge.controls import ControlResult, judge_again, judge_received_control
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.outcome import decide
from qualification.judge.receive.verdict import judge_received, only_lost, sign_received
from qualification.judge.result_row import row, signature_of
from qualification.judge.verdict import Demand, Judgement, Verdict
from qualification.messages.bursts import CaptureResult, Delivered, Received, Sent, Submitted
from qualification.messages.receive import ReceiveResult, ShapeResult
from qualification.plan.cells import CONTROLS, Cell
from qualification.plan.features import CSUM, GRO, RX_CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow, receive_flows
from qualification.wire.crafted.receive_tests import REFERENCE, RIGHT, WRONG
from qualification.wire.layers import LAYERS

DEMAND = Demand(0.01, 0.95)
SPACE = FeatureSpace(frozenset({RX_CSUM, GRO}))
FLOW = receive_flows(frozenset({4}), 4789)[1]
CELL = Cell("x710", OffloadSet(frozenset({RX_CSUM, GRO}), SPACE), FLOW)
ON, OFF = {RX_CSUM: True, GRO: True}, {RX_CSUM: False, GRO: True}
N = 20


def layers(shape: str) -> tuple[str, ...]:
    bits = WRONG[shape][1] if shape in WRONG else 0
    return tuple(name for bit, name in LAYERS.items() if bits & bit)


def tally(shape: str, **changes: Any) -> ShapeResult:
    wrong = layers(shape)
    delivered = 0 if wrong or shape == REFERENCE else N
    made = ShapeResult(shape, wrong, N, N, delivered, csum_valid=0 if wrong else N)
    return replace(made, **changes)


def arrived(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> ReceiveResult:
    """A burst that went as it must, but for some shapes."""
    changed = changes or {}
    shapes = (*RIGHT, *WRONG, REFERENCE)
    return ReceiveResult(tuple(tally(shape, **changed.get(shape, {})) for shape in shapes), **more)


def evidence(*bursts: ReceiveResult, effective: dict[str, bool] = ON) -> Evidence:
    return Evidence(effective, received=bursts)


def judged(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> Judgement:
    return judge_received(CELL, evidence(arrived(changes, **more)), DEMAND)


GONE = {"captured": 0, "delivered": 0, "csum_valid": 0}
LET_THROUGH = {"delivered": N}
TRUSTED = {name: ControlResult(name, True, "all right") for name in CONTROLS}


def test_pass() -> None:
    found = judged()
    assert (found.verdict, found.bad, found.lost) == (Verdict.PASS, 0, 0)
    assert found.frames == N * (len(RIGHT) + len(WRONG))
    assert "all 240 right frames were delivered, all 140 wrong ones refused" in found.reason
    assert "240 of the right ones came marked as checked, by the NIC or by GRO" in found.reason
    without = judge_received(CELL, evidence(arrived(), effective=ON | {GRO: False}), DEMAND)
    assert "240 of the right ones came marked as checked by the NIC: " in without.reason
    assert signature_of(CELL, found, evidence(arrived())) is None


def test_with_checksums_off_the_kernel_did_it_and_that_is_right() -> None:
    seen = evidence(arrived({shape: {"csum_valid": 0} for shape in RIGHT}), effective=OFF)
    found = judge_received(CELL, seen, DEMAND)
    assert found.verdict is Verdict.PASS
    assert "rx-checksum is off: the kernel checks" in found.reason


def test_a_nic_that_vouches_for_nothing_did_nothing() -> None:
    nothing = {shape: {"csum_valid": 0} for shape in RIGHT}
    assert judged(nothing).verdict is Verdict.NOT_EXERCISED
    assert judged(nothing, counters={"nic.rx_csum_none": 9}).verdict is Verdict.NOT_EXERCISED
    # A NIC that gives its sum to the kernel (CHECKSUM_COMPLETE) marks no frame as checked either.
    assert judged(nothing, counters={"nic.rx_csum_complete": 9}).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("through", "name", "layer"),
    [
        (("inner",), "rx-level", "inner L4"),
        (("outer", "inner", "inner-zero-outer", "both", "flipped"), "rx-blind", "outer L4"),
        (("inner", "inner-zero-outer"), "rx-blind", "inner L4"),
        (("outer",), "rx-blind", "outer L4"),
        (("inner-zero-outer",), "rx-blind", "inner L4"),
        (("outer-ip",), "rx-blind", "outer IP"),
    ],
)
def test_false_accepts(through: tuple[str, ...], name: str, layer: str) -> None:
    changes = dict.fromkeys(through, LET_THROUGH)
    found, seen = judged(changes), evidence(arrived(changes))
    assert (found.verdict, found.bad) == (Verdict.FAIL, N * len(through))
    assert f"{through[0]} (all {N})" in found.reason
    signature = signature_of(CELL, found, seen)
    assert signature is not None
    assert (signature.name, signature.layer.split(", ")[0]) == (name, layer)
    assert row(CELL, found, seen).signature == str(signature)


def test_one_wrong_frame_is_enough_and_is_told_with_its_mark() -> None:
    found = judged({"both": {"delivered": 1, "csum_not_ready": N}})
    assert (found.verdict, found.bad) == (Verdict.FAIL, 1)
    assert "1 of 140 wrong frames were delivered: both (1 of 20)" in found.reason
    assert "1 came marked as in no need of a check" in found.reason


@pytest.mark.parametrize("shapes", [("zero-outer",), ("padded", "trailing"), tuple(RIGHT)])
def test_false_rejects(shapes: tuple[str, ...]) -> None:
    changes = dict.fromkeys(shapes, GONE)
    found = judged(changes)
    assert (found.verdict, found.bad, found.lost) == (Verdict.FAIL, N * len(shapes), 0)
    for shape in shapes:
        assert f"{shape} (all {N})" in found.reason
    signature = sign_received(evidence(arrived(changes)))
    assert signature is not None
    assert signature.name == "rx-strict"
    whole = shapes == tuple(RIGHT)
    assert ("no right frame of the flow" in signature.sentence) == whole


def test_where_nothing_arrives_it_is_not_the_nic() -> None:
    found = judged(dict.fromkeys((*RIGHT, *WRONG, REFERENCE), GONE))
    assert (found.verdict, found.lost) == (Verdict.INCONCLUSIVE, N * len(RIGHT))
    outcome = decide(
        CELL, evidence(arrived(dict.fromkeys((*RIGHT, *WRONG, REFERENCE), GONE))), TRUSTED, DEMAND
    )
    assert outcome.doubtful


@pytest.mark.parametrize(
    "missing", [{"odd": 1}, dict.fromkeys(RIGHT, 3), dict.fromkeys((*RIGHT, REFERENCE), 10)]
)
def test_what_is_lost_whatever_its_shape_is_lost(missing: dict[str, int]) -> None:
    changes = {
        shape: {"captured": N - count, "delivered": 0 if shape == REFERENCE else N - count}
        for shape, count in missing.items()
    }
    found = judged(changes)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.lost == sum(count for shape, count in missing.items() if shape != REFERENCE)
    assert f"{found.lost} of " in found.reason
    assert "never reached the DUT's kernel, and not because of their shape:" in found.reason
    dropped = replace(arrived(changes), counters={"link.rx_dropped": 5, "nic.rx_no_buffer": 0})
    seen = judge_received(CELL, evidence(dropped), DEMAND)
    assert "their shape (the DUT had no room: link.rx_dropped 5):" in seen.reason


def test_a_test_is_sent_again_only_where_frames_are_lost_and_nothing_else() -> None:
    assert not only_lost(arrived({}))
    assert only_lost(arrived({"odd": {"captured": N - 1, "delivered": N - 1}}))
    assert not only_lost(arrived({"odd": GONE}))
    some = {"odd": {"captured": 2, "delivered": 2}}
    assert judged(some).verdict is Verdict.FAIL
    assert only_lost(arrived(some)), "a slower test has to show it as well"
    assert not only_lost(arrived(some | {next(iter(WRONG)): {"delivered": N}}))


def test_what_the_kernel_got_and_did_not_deliver_is_not_the_nic_s_doing() -> None:
    found = judged({"odd": {"delivered": 0}})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "20 right frames reached the DUT's kernel and no application" in found.reason


def test_what_tcp_holds_back_behind_what_was_lost_is_lost_with_it() -> None:
    behind_a_gap = {"odd": {"captured": N - 1, "delivered": N - 1}, "vlan": {"delivered": N - 1}}
    assert "never reached the DUT's kernel" in judged(behind_a_gap).reason
    assert control(behind_a_gap).trusted


def test_what_was_merged_shows_by_being_delivered() -> None:
    assert judged({"even": {"captured": 0}}).verdict is Verdict.PASS


def test_wrong_frames_that_the_nic_keeps_are_refused() -> None:
    assert judged(dict.fromkeys(WRONG, GONE)).verdict is Verdict.PASS


def test_other_bytes_than_were_sent() -> None:
    assert judged({"odd": {"altered": 2, "delivered": N - 2}}).verdict is Verdict.FAIL
    found = judged(unexpected=1)
    assert (found.verdict, found.bad) == (Verdict.FAIL, 1)
    signature = sign_received(evidence(arrived(unexpected=1)))
    assert signature is not None
    assert signature.name == "rx-altered"


def test_a_frame_that_came_wrong_and_was_sent_right() -> None:
    """The truth is in the bytes as they arrived, whoever changed them."""
    changed = ShapeResult("odd", ("inner L4",), 1, 1, 1)
    seen = arrived()
    seen = replace(seen, shapes=(*seen.shapes, changed))
    found = judge_received(CELL, evidence(seen), DEMAND)
    assert found.verdict is Verdict.FAIL
    assert "odd changed on the way (all 1)" in found.reason
    repaired = ShapeResult("both", (), 1, 1, 1, csum_valid=1)
    seen = arrived()
    seen = replace(seen, shapes=(*seen.shapes, repaired))
    assert judge_received(CELL, evidence(seen), DEMAND).verdict is Verdict.PASS


def test_drops_and_refused_features() -> None:
    assert judged(drops=1).verdict is Verdict.INCONCLUSIVE
    refused = Evidence(ON, (RX_CSUM,))
    assert judge_received(CELL, refused, DEMAND).verdict is Verdict.UNSUPPORTED
    assert judge_received(CELL, Evidence(ON), DEMAND).verdict is Verdict.INCONCLUSIVE


COUNTS = st.integers(0, N)


@given(
    st.lists(
        st.builds(
            ShapeResult,
            st.sampled_from((*RIGHT, REFERENCE)),
            st.just(()),
            COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS,
        )
        | st.builds(
            lambda shape, *counts: ShapeResult(shape, layers(shape), *counts),
            st.sampled_from(tuple(WRONG)),
            COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS,
        ),
        max_size=8,
    ),
    COUNTS, COUNTS, st.booleans(),
)  # fmt: skip
def test_any_evidence(shapes: list[ShapeResult], unexpected: int, drops: int, on: bool) -> None:
    seen = evidence(ReceiveResult(tuple(shapes), unexpected, drops), effective=ON if on else OFF)
    found = judge_received(CELL, seen, DEMAND)
    wrong = any(t.wrong and t.delivered for t in shapes)
    if wrong:
        assert found.verdict is Verdict.FAIL
    if found.verdict is Verdict.PASS:
        assert not wrong
        assert not any(t.altered for t in shapes)
        right = [t for t in shapes if not t.wrong and t.shape != REFERENCE]
        assert sum(t.delivered for t in right) >= sum(t.frames for t in right)
        assert not unexpected
    assert (sign_received(seen) is not None) == (found.verdict is Verdict.FAIL)
    again = TypeAdapter(Evidence).validate_json(TypeAdapter(Evidence).dump_json(seen))
    assert judge_received(CELL, again, DEMAND) == found


# The control


def control(changes: dict[str, dict[str, Any]] | None = None, **more: Any) -> ControlResult:
    return judge_received_control({FLOW.id: arrived(changes, **more)})


def test_the_control_is_trusted_where_the_peer_s_kernel_does_as_it_must() -> None:
    found = control()
    assert found.trusted
    assert found.reason == "240 right frames delivered, 140 wrong ones refused"
    assert judge_again(found, DEMAND, 4789) == found
    lossy = control({"odd": {"captured": N - 1, "delivered": N - 1}})
    assert lossy.trusted
    assert (lossy.lost, lossy.reason.endswith("; 1 lost on the way")) == (1, True)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (control({"inner": {"delivered": 1}}), "delivers wrong frames of rx/"),
        (control({"odd": {"altered": 1}}), "1 payloads of rx/"),
        (control(drops=3), "the capture lost 3 frames of rx/"),
        (control({"vlan": GONE}), "gets no right frames of rx/outer4-csum/inner4/udp: vlan"),
        (control({"outer-ip": GONE}), "do not reach the peer: outer-ip"),
        (control({"odd": {"delivered": N - 1}}), "refuses 1 right frames of rx/"),
        (judge_received_control({FLOW.id: ReceiveResult()}), "no frames of rx/"),
        (judge_received_control({}), "nothing was sent"),
    ],
)
def test_the_control_is_not_trusted(found: ControlResult, why: str) -> None:
    assert not found.trusted
    assert why in found.reason


def test_a_control_that_could_not_be_run_stays_as_it_was() -> None:
    failed = ControlResult("received", False, "no TCP_REPAIR")
    assert judge_again(failed, DEMAND, 4789) is failed


@pytest.mark.parametrize("name", CONTROLS)
def test_cells_rest_on_the_controls_of_their_direction(name: str) -> None:
    """A NIC that receives nothing fails the controls of sending, and is blamed for what it does."""
    controls = TRUSTED | {name: ControlResult(name, False, "it is wrong")}
    received = decide(CELL, evidence(arrived({"outer": LET_THROUGH})), controls, DEMAND)
    assert (received.judgement.verdict is Verdict.UNTRUSTED) == (name == "received")
    assert received.blames_nic == (name != "received")
    burst = Burst(
        Sent(Submitted(400, 400, csum_partial=400), 400, True, 0.1, {}),
        Received(CaptureResult(400), Delivered(400, 0, 0, True), {}),
    )
    sending = Cell(
        "x710",
        OffloadSet(frozenset({CSUM}), FeatureSpace(frozenset({CSUM}))),
        Flow(4, True, 4, "udp", False),
    )
    sent = decide(sending, Evidence({CSUM: True}, bursts=(burst,)), controls, DEMAND)
    assert (sent.judgement.verdict is Verdict.UNTRUSTED) == (name != "received")
