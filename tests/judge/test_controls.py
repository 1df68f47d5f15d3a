"""Controls: each way to fail has its reason, and only what is clean is trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.controls import (
    ControlResult,
    first_untrusted,
    judge_again,
    judge_crafted,
    judge_injected,
    judge_traffic,
    no_tags,
    not_received,
)
from qualification.judge.evidence import Burst
from qualification.judge.verdict import Demand
from qualification.messages.bursts import (
    BadFrame,
    CaptureResult,
    Delivered,
    Received,
    Sent,
    Submitted,
)
from qualification.plan.cells import CONTROLS, CONTROLS_OF, TAGGED
from qualification.plan.flows import Direction

DEMAND = Demand(0.01, 0.95)
EXPECTED = {"outer L4": 4, "inner L4": 4, "outer IP": 4}
SEEN = CaptureResult(frames=16, bad=12, bad_layers=EXPECTED)


def burst(
    frames: int = 400,
    *,
    submitted: int | None = None,
    corrupt: int = 0,
    received: int | None = None,
    counters: dict[str, int] | None = None,
    sender_drops: int = 0,
    **seen: Any,
) -> Burst:
    count = frames if submitted is None else submitted
    got = frames if received is None else received
    return Burst(
        Sent(Submitted(count, count, drops=sender_drops), count, True, 0.1, {}),
        Received(
            CaptureResult(frames=frames, **seen),
            Delivered(got, corrupt, 0, complete=received is None and got == count),
            counters or {},
        ),
    )


def judged(port: int | None = 4789, **bursts: Burst) -> ControlResult:
    return judge_traffic("all-off", bursts, DEMAND, port=port)


def test_clean() -> None:
    bursts = {"one": burst(), "other": burst()}
    found = judged(**bursts)
    assert found == ControlResult("all-off", True, "800 frames, all right", 800, 0, 0, bursts)
    assert found.evidence.bursts == tuple(bursts.values())


def test_a_little_loss_is_reported_and_tolerated() -> None:
    found = judged(one=burst(), other=burst(400, submitted=405))
    assert found.trusted
    assert (found.lost, found.reason) == (5, "800 frames, all right; 5 lost on the way")


@pytest.mark.parametrize(
    ("port", "wrong", "said"),
    [
        (
            4789,
            burst(bad=3, bad_layers={"inner L4": 3}),
            "3 of 800 frames are wrong with every offload off (wrong)",
        ),
        (4789, burst(corrupt=2), "2 payloads arrived changed"),
        (
            4789,
            burst(paths={"50001>9": 4}),
            "4 frames have an outer source port that was not submitted to the driver (50001 for "
            "port 9 inside), with every offload off: the path or the peer changes it",
        ),
        (4789, burst(0, submitted=0), "nothing of wrong left the sender"),
        (
            4789,
            burst(100, submitted=400),
            "300 of 400 frames of wrong are lost: is UDP port 4789 filtered",
        ),
        (None, burst(0, submitted=400), "400 of 400 frames of wrong are lost: is it filtered"),
        (4789, burst(received=0), "wrong reaches the peer's NIC but not its sockets"),
        (4789, burst(drops=7), "the capture lost 7 frames"),
        (4789, burst(sender_drops=7), "the capture lost 7 frames"),
        (4789, burst(unjudged={"truncated": 2, "esp": 1}), "3 frames cannot be judged"),
        (4789, burst(counters={"inner.Udp.InCsumErrors": 3}), "3 inner checksums"),
    ],
)
def test_each_way_to_fail(port: int | None, wrong: Burst, said: str) -> None:
    found = judged(port, right=burst(), wrong=wrong)
    assert not found.trusted
    assert said in found.reason


@pytest.mark.parametrize("counter", ["Udp.RcvbufErrors", "Udp.MemErrors", "Udp6MemErrors"])
def test_what_the_sockets_had_no_room_for_is_no_firewall_s(counter: str) -> None:
    """Seen on Linux 6.12 with 320 MiB: sockets of all UDP together held all that they may."""
    full = burst(400, received=350, counters={f"inner.{counter}": 50, "inner.Udp.InErrors": 50})
    found = judged(**{"outer4-csum/inner4/udp": full})
    assert found.trusted
    assert found.reason.endswith("all right; the peer's sockets had no room for 50 datagrams")
    plain = replace(
        full, received=replace(full.received, counters={f"outer.{counter}": 90})
    )  # of the whole host
    found = judged(None, **{"plain4/udp": plain})
    assert found.reason.endswith("had no room for 50 datagrams")


@pytest.mark.parametrize(
    ("name", "partly", "said"),
    [
        (
            "outer4-csum/inner4/udp",
            burst(400, received=350, counters={"inner.Udp.RcvbufErrors": 49}),
            "1 of 400 datagrams of outer4-csum/inner4/udp reach the peer's NIC but not its "
            "sockets, which had room for them: does a firewall on the peer limit UDP port 4789?",
        ),
        # What the kernel refused for another reason, such as a filter of the socket's.
        ("x/udp", burst(400, received=350, counters={"inner.Udp.InErrors": 50}), "50 of 400"),
        ("x/udp", burst(400, received=350, counters={"outer.Udp.MemErrors": 50}), "50 of 400"),
        ("plain4/udp", burst(400, received=1, counters={"inner.Udp.MemErrors": 399}), "399 of 400"),
        ("x/udp", burst(400, received=0, counters={"inner.Udp.MemErrors": 400}), "a firewall"),
        ("x/udp", burst(390, submitted=400, received=0), "does a firewall on the peer drop"),
        ("x/udp", burst(390, submitted=400, received=380), "10 of 390 datagrams"),
        ("x/tcp+load", burst(400, received=350), "but not its sockets to the end"),
    ],
)
def test_what_no_counter_accounts_for_is_not_trusted(name: str, partly: Burst, said: str) -> None:
    found = judged(**{name: partly})
    assert not found.trusted
    assert said in found.reason


def test_frames_that_a_fixed_feature_spoiled_are_not_missed_at_the_sockets() -> None:
    wrong = burst(bad=400, bad_layers={"inner L4": 400}, received=0)
    sent = replace(wrong.sent, submitted=Submitted(400, 400, csum_partial=400))
    assert judged(**{"x/tcp": replace(wrong, sent=sent)}).trusted


def test_too_few_to_trust() -> None:
    found = judged(one=burst(DEMAND.frames - 2), other=burst(1))
    assert (found.trusted, found.reason) == (
        False, "298 frames are too few to trust the path: it takes 299",
    )  # fmt: skip
    assert judged(one=burst(DEMAND.frames - 1), other=burst(1)).trusted
    assert not judged().trusted


def test_the_first_wrong_frame_is_named() -> None:
    sample = BadFrame("AA==", ("inner L4",), ("inner L4 checksum is 1, should be 2",))
    found = judged(one=burst(bad=1, bad_layers={"inner L4": 1}, samples=(sample,)))
    assert found.reason.endswith("; the first: inner L4 checksum is 1, should be 2")


@pytest.mark.parametrize("judge", [judged, lambda **bursts: judge_crafted(bursts)])
def test_what_a_feature_that_is_fixed_on_does_is_not_the_path_s_fault(judge: Any) -> None:
    wrong = burst(bad=3, bad_layers={"inner L4": 3})
    sent = replace(wrong.sent, submitted=Submitted(400, 400, csum_partial=400))
    found = judge(one=burst(), other=replace(wrong, sent=sent))
    assert found.trusted
    assert "left to the NIC, which has a feature fixed on" in found.reason
    assert not judge(one=wrong, other=replace(wrong, sent=sent)).trusted


COUNTS = st.sampled_from([0, 0, 0, 1, 400])


@given(
    st.dictionaries(
        st.sampled_from("abc"),
        st.builds(
            lambda frames, more, bad, corrupt, drops: burst(
                frames, submitted=frames + more, bad=min(bad, frames), corrupt=corrupt, drops=drops
            ),
            st.sampled_from([0, 100, 300, 1000]), COUNTS, COUNTS, COUNTS, COUNTS,
        ),
    )
)  # fmt: skip
def test_trust_needs_a_clean_path(bursts: dict[str, Burst]) -> None:
    found = judge_traffic("plain", bursts, DEMAND)
    if found.trusted:
        assert found.frames >= DEMAND.frames
        for each in bursts.values():
            assert not each.received.captured.bad
            assert not each.received.captured.drops
            assert not each.received.delivered.corrupt
            assert each.received.captured.frames > 0
    else:
        assert found.reason


def injected(seen: CaptureResult) -> ControlResult:
    sent = Sent(Submitted(), 16, True, 0.0, {})
    return judge_injected(EXPECTED, 4, {"flow": Burst(sent, Received(seen, Delivered(), {}))})


def test_injected() -> None:
    found = injected(SEEN)
    assert (found.trusted, found.frames, found.bad, found.lost) == (True, 16, 12, 0)
    assert "12 frames made wrong on purpose, and 4 right ones" in found.reason


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (CaptureResult(), "0 of 16 injected frames arrived"),
        (replace(SEEN, frames=15), "15 of 16 injected frames arrived"),
        (CaptureResult(frames=16), "not seen as wrong: outer L4, inner L4, outer IP"),
        (
            replace(SEEN, bad=8, bad_layers={"outer L4": 4, "outer IP": 4}),
            "not seen as wrong: inner L4;",
        ),
        (
            replace(SEEN, bad=11, bad_layers=EXPECTED | {"inner L4": 3}),
            "not seen as wrong: inner L4;",
        ),
        (
            replace(SEEN, bad=16, bad_layers=EXPECTED | {"VXLAN": 4}),
            "16 frames are called wrong where 12",
        ),
    ],
)
def test_each_way_an_injected_frame_is_missed(seen: CaptureResult, said: str) -> None:
    found = injected(seen)
    assert not found.trusted
    assert said in found.reason


def test_a_control_that_injected_nothing_shows_nothing() -> None:
    assert not judge_injected({}, 4, {}).trusted
    assert not judge_injected(EXPECTED, 0, {}).trusted
    assert not judge_injected({}, 0, {}).trusted


@pytest.mark.parametrize(
    "result",
    [
        judge_traffic("plain", {"one": burst(), "other": burst(submitted=405)}, DEMAND),
        judge_traffic("plain", {"one": burst(0, submitted=400)}, DEMAND),
        judge_traffic("all-off", {"one": burst(0, submitted=400)}, DEMAND, port=8472),
        injected(SEEN),
        injected(CaptureResult()),
    ],
)
def test_judged_again_a_control_comes_out_the_same(result: ControlResult) -> None:
    assert judge_again(result, DEMAND, 8472) == result


def test_judged_again_a_control_has_to_meet_the_new_demand() -> None:
    result = judge_traffic("all-off", {"one": burst()}, DEMAND, port=4789)
    again = judge_again(result, Demand(0.001, 0.95), 4789)
    assert result.trusted
    assert (again.trusted, again.reason) == (
        False, "400 frames are too few to trust the path: it takes 2,995",
    )  # fmt: skip


@pytest.mark.parametrize("direction", CONTROLS_OF)
def test_the_first_untrusted_in_the_order_of_the_controls(direction: Direction) -> None:
    good = {name: ControlResult(name, True, "") for name in CONTROLS}
    assert first_untrusted(good, direction) is None
    names = CONTROLS_OF[direction]
    last = names[1:] or names
    bad = good | {name: ControlResult(name, False, "no") for name in last}
    assert first_untrusted(bad, direction) == bad[last[0]]
    for name in names:  # what was not run came out no way at all
        missing = first_untrusted({n: r for n, r in good.items() if n != name}, direction)
        assert missing is not None
        assert (missing.name, missing.trusted, missing.reason) == (name, False, "it was not run")
    assert first_untrusted({}) is not None


def test_crafted_buffers_are_trusted_when_each_frame_is_as_expected() -> None:
    found = judge_crafted({"one": burst(20), "other": burst(10, submitted=10)})
    assert (found.trusted, found.reason) == (True, "30 frames, each as expected")


def test_what_the_kernel_does_not_take_is_no_fault_of_the_path() -> None:
    refused = burst(0)
    refused = replace(refused, sent=replace(refused.sent, written=0))
    assert judge_crafted({"one": burst(20), "other": refused}).trusted


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        (burst(20, bad=2, bad_layers={"segment": 2}), "2 of 20 frames of one are not as expected"),
        (burst(2, submitted=20), "18 of 20 frames of one are lost"),
        (burst(20, drops=1), "the capture lost 1 frames"),
        (burst(20, unjudged={"truncated": 1}), "1 cannot be judged"),
    ],
)
def test_crafted_buffers_are_not_trusted(spoiled: Burst, reason: str) -> None:
    found = judge_crafted({"one": spoiled})
    assert not found.trusted
    assert reason in found.reason


def test_lost_tags_are_distinguished_from_wrong_ones() -> None:
    lost = judge_crafted({"one": burst(0, submitted=400)}, TAGGED)
    assert (lost.name, lost.trusted, lost.blocked) == (TAGGED, False, True)
    wrong = judge_crafted({"one": burst(400, bad=400, bad_layers={"segment": 400})}, TAGGED)
    assert (wrong.trusted, wrong.blocked) == (False, False)
    assert judge_crafted({"one": burst(400)}, TAGGED).trusted
    # Of the other control that a crafted packet set is, it is the path's or the peer's fault.
    assert not judge_crafted({"one": burst(0, submitted=400)}).blocked
    for result in (lost, wrong, no_tags("this kernel cannot")):
        assert judge_again(result, DEMAND, 4789) == result
    assert first_untrusted({TAGGED: lost}) != lost


@pytest.mark.parametrize(
    "unclear",
    [
        burst(100, submitted=400),  # a path that takes no tags lets none through
        replace(burst(), sent=Sent(Submitted(), 400, True, 0.1, {}), received=burst(0).received),
        burst(400, received=0),
    ],
)
def test_tags_are_unsupported_only_where_none_gets_through(unclear: Burst) -> None:
    found = judge_crafted({"one": unclear}, TAGGED)
    assert (found.trusted, found.blocked) == (False, False)
    taken = no_tags("port0 has VLAN 5 already", blocked=False)
    assert judge_again(taken, DEMAND, 4789) == taken
    assert not taken.blocked


def test_frames_that_could_not_be_received_spare_the_other_controls() -> None:
    failed = not_received("no TCP_REPAIR")
    assert failed == ControlResult("received", False, "no TCP_REPAIR")
    assert judge_again(failed, DEMAND, 4789) is failed
    controls = {name: ControlResult(name, True, "") for name in CONTROLS} | {"received": failed}
    assert first_untrusted(controls) is None
    assert first_untrusted(controls, "receive") is failed
