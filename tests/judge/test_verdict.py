"""From evidence to verdict, by example and for any evidence at all."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from qualification.judge.blame.loss import Reference
from qualification.judge.culprit.findings import observation_of
from qualification.judge.evidence import Burst, Evidence, total
from qualification.judge.exercised import exercised
from qualification.judge.result_row import row
from qualification.judge.verdict import Demand, Judgement, Verdict, judge
from qualification.messages.bursts import (
    BadFrame,
    CaptureResult,
    Delivered,
    Received,
    Sent,
    Submitted,
)
from qualification.plan.cells import Cell
from qualification.plan.features import (
    CSUM,
    RULES,
    TNL,
    TNL_CSUM,
    TSO,
    TSO6,
    USO,
    FeatureSpace,
    OffloadSet,
)
from qualification.plan.flows import Load, bulk_flows

ADAPTER = TypeAdapter(Evidence)
SPACE = FeatureSpace(frozenset({CSUM, TSO, TSO6, USO, TNL, TNL_CSUM}), driver="tun")
FLOWS = {flow.id: flow for flow in bulk_flows(frozenset({4, 6}), 4789)}
DEMAND = Demand(0.01, 0.95)
N = DEMAND.frames
ON = dict.fromkeys(SPACE.switchable, True)
OFF = dict.fromkeys(SPACE.switchable, False)


def cell(flow: str = "outer4-csum/inner4/tcp", *on: str) -> Cell:
    return Cell("soft", OffloadSet(frozenset(on) or SPACE.switchable, SPACE), FLOWS[flow])


def burst(frames: int = N, **changes: Any) -> Burst:
    """A clean burst of which the NIC segmented and checksummed every frame, with changes."""
    submitted = Submitted(
        packets=changes.pop("packets", frames),
        frames=changes.pop("submitted", frames),
        csum_partial=changes.pop("csum_partial", frames),
        super_packets=changes.pop("super_packets", frames // 2),
        segments=changes.pop("segments", frames),
        drops=changes.pop("sender_drops", 0),
    )
    written = changes.pop("written", submitted.frames)
    delivered = Delivered(
        frames, changes.pop("corrupt", 0), changes.pop("duplicates", 0), complete=True
    )
    counters = changes.pop("counters", {})
    seen = CaptureResult(frames=frames, **changes)
    return Burst(Sent(submitted, written, True, 0.1, {}), Received(seen, delivered, counters))


def evidence(*bursts: Burst, effective: dict[str, bool] = ON) -> Evidence:
    return Evidence(effective, bursts=bursts)


def judged(*bursts: Burst, effective: dict[str, bool] = ON, of: Cell | None = None) -> Judgement:
    return judge(of or cell(), evidence(*bursts, effective=effective), DEMAND)


def bad(count: int, layer: str = "inner L4") -> dict[str, Any]:
    return {"bad": count, "bad_layers": {layer: count}}


def test_pass() -> None:
    found = judged(burst())
    assert (found.verdict, found.frames, found.bad, found.lost) == (Verdict.PASS, N, 0, 0)
    assert found.rate.value == 0
    assert found.rate.high <= DEMAND.rate
    assert f"{N:,} frames segmented by the NIC" in found.reason
    assert "95.0%" in found.reason


def udp(received: int, submitted: int, written: int, *, complete: bool = True) -> Burst:
    whole = burst(submitted, written=written)
    delivered = Delivered(received, complete=received == written)
    return replace(
        whole,
        sent=replace(whole.sent, complete=complete),
        received=replace(whole.received, delivered=delivered),
    )


def test_what_a_queue_of_the_senders_kernel_dropped_is_not_missed_of_the_nic() -> None:
    bulk = cell("outer4-csum/inner4/udp")
    found = judged(udp(N, N, N + 50), of=bulk)
    assert found.verdict is Verdict.PASS
    assert (
        f"a queue of the DUT's kernel dropped 50 of {N + 50:,} frames before they" in found.reason
    )
    # One more is missing than was dropped there.
    found = judged(udp(N - 1, N, N + 50), of=bulk)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "the peer's application lacks" in found.reason


def test_what_the_peers_sockets_had_no_room_for_is_not_missed_of_the_nic() -> None:
    bulk = cell("outer4-csum/inner4/udp")

    def full(received: int, no_room: int, written: int = 2 * N) -> Judgement:
        one = udp(received, 2 * N, written)
        counters = {"inner.Udp.MemErrors": no_room}
        return judged(replace(one, received=replace(one.received, counters=counters)), of=bulk)

    found = full(2 * N - 50, 50)
    assert found.verdict is Verdict.PASS
    assert "the peer's sockets had no room for 50 of the datagrams that arrived" in found.reason
    assert full(2 * N - 50, 50, 2 * N + 7).verdict is Verdict.PASS  # 7 never reached the driver
    for missing in (full(2 * N - 51, 50), full(2 * N - 51, 50, 2 * N + 7)):
        assert missing.verdict is Verdict.INCONCLUSIVE
        assert "the peer's application lacks" in missing.reason
    # Payloads that a NIC changes under valid checksums show only in what was received.
    assert full(N, N).verdict is Verdict.PASS
    found = full(N - 1, N + 1)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert f"{N - 1:,} were received" in found.reason


def test_a_packet_set_of_which_a_queue_dropped_some_is_inconclusive() -> None:
    flow = replace(FLOWS["outer4-csum/inner4/tcp"], packet_set="fields")
    crafted = replace(cell(), flow=flow)
    found = judged(udp(0, 408, 440, complete=False), of=crafted)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("a queue of the DUT's kernel dropped 32 of 440 frames before")


def test_another_outer_source_port_than_was_submitted() -> None:
    moved = burst(paths={f"{50_000 + number}>9": 3 for number in range(5)})
    found = judged(moved)
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("15 frames have an outer source port that was not submitted")
    assert found.reason.endswith("50002 for port 9 inside and more)")
    made = row(cell(), found, evidence(moved))
    assert (made.signature or "").startswith("outer-header, segment: the outer source port")


def test_bursts_add_up() -> None:
    parts = [burst(100), burst(100), burst(N - 200)]
    assert judged(*parts).verdict is Verdict.PASS
    assert judged(*parts[1:]).verdict is Verdict.INCONCLUSIVE


def test_fail() -> None:
    found = judged(burst(), burst(1000, **bad(13)))
    assert (found.verdict, found.frames, found.bad) == (Verdict.FAIL, N + 1000, 13)
    assert found.rate.low < 13 / (N + 1000) < found.rate.high
    for said in ("13 of 1,299", "inner L4 (13)", "1 %"):
        assert said in found.reason


def test_one_wrong_frame_among_too_few_is_a_fail() -> None:
    assert judged(burst(1, **bad(1))).verdict is Verdict.FAIL


def test_a_failure_counts_only_what_the_nic_had_its_part_in() -> None:
    found = judged(burst(2000, segments=1000, **bad(10)))
    assert (found.frames, found.rate.value) == (1000, 0.01)
    # More is wrong than it had to do: then every frame counts.
    found = judged(burst(2000, segments=5, **bad(10)))
    assert (found.frames, found.rate.value) == (2000, 0.005)


def test_changed_payloads_under_valid_checksums_are_a_fail() -> None:
    found = judged(burst(corrupt=2))
    assert found.verdict is Verdict.FAIL
    assert "2 of the payloads" in found.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drops": 3}, "the capture lost 3 frames"),
        ({"sender_drops": 4}, "the capture lost 4 frames"),
        (
            {"counters": {"inner.Udp.InCsumErrors": 2, "inner.Tcp.InCsumErrors": 3}},
            "refused 5 inner",
        ),
        ({"counters": {"inner.Udp6InCsumErrors": 1}}, "refused 1 inner"),
        ({"unjudged": {"truncated": 2, "fragment": 1}}, "1 fragment, 2 truncated"),
        ({"frames": N - 1}, f"{N - 1:,} of the {N:,} frames it takes to exclude 1 % at 95.0%"),
        ({"segments": N - 1}, f"{N - 1:,} of the {N:,} frames"),
    ],
)
def test_inconclusive(changes: dict[str, Any], said: str) -> None:
    found = judged(burst(changes.pop("frames", N), **changes))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert said in found.reason


def test_other_counters_are_not_evidence_against() -> None:
    """The host's own traffic is counted in the outer ones."""
    counters = {"outer.Udp.InCsumErrors": 9, "nic.rx_csum_bad": 9, "inner.Udp.NoPorts": 9}
    assert judged(burst(counters=counters, foreign=9, late=9)).verdict is Verdict.PASS


def test_loss() -> None:
    found = judged(burst(submitted=N + 7))
    assert (found.verdict, found.lost) == (Verdict.LOSS, 7)
    assert f"7 of {N + 7:,} frames submitted to the driver" in found.reason
    # Retransmissions that arrive in excess hide no loss of another burst's frames, nor make one.
    assert judged(burst(submitted=N - 5)).verdict is Verdict.PASS


def test_not_exercised() -> None:
    found = judged(burst(segments=0, super_packets=0))
    assert found.verdict is Verdict.NOT_EXERCISED
    assert "the kernel did it itself" in found.reason
    found = judged(burst(segments=0, csum_partial=0), of=cell("outer4-csum/inner4/udp"))
    assert found.verdict is Verdict.NOT_EXERCISED


def test_what_there_is_to_do_depends_on_what_is_in_effect() -> None:
    whole = burst(segments=0, super_packets=0)
    assert (
        judged(whole, effective=ON | {TNL_CSUM: False}).verdict is Verdict.PASS
    )  # checksums alone
    finished = burst(segments=0, super_packets=0, csum_partial=0)
    all_off = Cell("soft", OffloadSet(frozenset(), SPACE), FLOWS["outer4-csum/inner4/tcp"])
    assert judged(finished, effective=OFF, of=all_off).verdict is Verdict.PASS  # nothing at all
    # Asked for, but without effect: TSO without a checksum offload.
    found = judged(finished, effective=ON | {CSUM: False})
    assert found.verdict is Verdict.NOT_EXERCISED
    assert found.reason.startswith("no feature of sending is in effect: 299 frames finished by the")
    assert judged(finished, effective=OFF).verdict is Verdict.NOT_EXERCISED
    assert judged(whole, of=cell("outer4-csum/inner4/udp")).verdict is Verdict.PASS


def test_what_was_done_to_a_nic_without_offloads_exercises_nothing() -> None:
    """Seen: @two-ports cells passed on a NIC that has no offload at all."""
    none = OffloadSet(frozenset(), FeatureSpace(frozenset()))
    finished = burst(segments=0, super_packets=0, csum_partial=0)
    for change in ({"state": "two-ports"}, {"state": "reset"}, {"load": "load"}):
        of = Cell("soft", none, replace(FLOWS["outer4-csum/inner4/udp"], **change))
        assert judged(finished, effective={}, of=of).verdict is Verdict.NOT_EXERCISED
    of = Cell("soft", none, FLOWS["outer4-csum/inner4/udp"])
    assert judged(finished, effective={}, of=of).verdict is Verdict.PASS


def test_a_kernel_that_takes_a_part_of_a_packet_set_leaves_it_open() -> None:
    one = burst(200)
    part = replace(one, sent=replace(one.sent, refused=216))
    found = judged(part, of=CRAFTED_CELL)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "200 of 416 frames of the crafted packet set" in found.reason


LOGGED = "port0: hw csum failure"


def test_what_kernels_and_nics_say_is_noted_on_a_pass() -> None:
    one = burst(counters={"link.rx_errors": 2, "nic.rx_csum_bad": 3, "nic.rx_packets": 9})
    sent = replace(
        one.sent, kernel_log=("NETDEV WATCHDOG: p0", "MDD event"), counters={"link.tx_errors": 4}
    )
    found = judged(Burst(sent, replace(one.received, kernel_log=(LOGGED,))))
    assert found.verdict is Verdict.PASS
    for said in (
        "the DUT's kernel logged: NETDEV WATCHDOG: p0, and 1 lines more",
        "the DUT's counters of errors rose: link.tx_errors by 4",
        f"the peer's kernel logged: {LOGGED}",
        "the peer's counters of errors rose: nic.rx_csum_bad by 3, link.rx_errors by 2",
    ):
        assert said in found.reason
    assert "rx_packets" not in found.reason


UDP_CELL = cell("outer4-csum/inner4/udp")


def test_frames_that_arrive_twice_never_pass() -> None:
    twice = burst(N + 9, submitted=N, duplicates=9)
    assert judged(twice, of=UDP_CELL).verdict is Verdict.INCONCLUSIVE  # compared with nothing
    compared = [
        judge(UDP_CELL, evidence(twice), DEMAND, Reference(20_000, 0, duplicated=doubled))
        for doubled in (0, 600)
    ]
    assert [found.verdict for found in compared] == [Verdict.FAIL, Verdict.INCONCLUSIVE]
    assert "9 more frames arrived than the 299 submitted" in compared[0].reason
    assert "9 datagrams were delivered twice" in compared[0].reason
    assert "none of 20,000" in compared[0].reason
    signature = row(UDP_CELL, compared[0], evidence(twice)).signature
    assert signature is not None and signature.startswith("duplicated, segment: ")
    # One frame lost, another delivered twice: the counts are equal.
    assert judged(burst(duplicates=1), of=UDP_CELL).verdict is Verdict.INCONCLUSIVE


def test_a_set_named_for_segmentation_passes_no_cell_in_which_the_nic_segmented_nothing() -> None:
    """TSO alone is no segmentation within a tunnel: the kernel segments, and leaves checksums."""
    whole = burst(segments=0, super_packets=0)
    tso = ON | dict.fromkeys((USO, TSO6, TNL, TNL_CSUM), False)
    found = judged(whole, effective=tso, of=cell("outer4-csum/inner4/tcp", TSO, CSUM))
    assert found.verdict is Verdict.NOT_EXERCISED
    assert found.reason.startswith(
        "the NIC segmented nothing: the set lacks features that it takes"
    )
    of = cell("outer4-csum/inner4/tcp", TSO, CSUM)
    crafted = replace(of, flow=replace(of.flow, packet_set="fields"))
    assert judged(whole, effective=tso, of=crafted).verdict is Verdict.NOT_EXERCISED
    clean = observation_of(cell("outer4-csum/inner4/tcp", TSO, CSUM), found, None, blames_nic=False)
    assert clean.failing is False  # it shows that the flow is clean without the others
    for flow, on in (
        ("outer4-csum/inner4/udp", (TSO, CSUM)),  # nothing of it is segmented
        ("outer4-csum/inner4/tcp", (CSUM,)),  # the set is named for the checksum
    ):
        assert judged(whole, effective=tso, of=cell(flow, *on)).verdict is Verdict.PASS
    wrong = burst(segments=0, super_packets=0, bad=1, bad_layers={"inner L4": 1})
    assert judged(wrong, effective=tso, of=cell("outer4-csum/inner4/tcp", TSO, CSUM)).bad == 1


@pytest.mark.parametrize(
    ("flow", "effective", "frames"),
    [
        ("outer4-csum/inner4/tcp", ON, 30),
        ("outer4-csum/inner4/udp", ON, 60),
        ("outer4-csum/inner4/tcp", OFF, 90),
        ("outer4-csum/inner4/udp-seg", ON | {USO: False}, 60),
        ("outer4-csum/inner6/tcp", ON | {TSO6: False}, 60),
        ("outer4-nocsum/inner6/tcp", ON | {TNL: False}, 60),
    ],
)
def test_exercised(flow: str, effective: dict[str, bool], frames: int) -> None:
    found = exercised(
        cell(flow), evidence(burst(90, csum_partial=60, segments=30), effective=effective)
    )
    assert found.frames == frames
    assert found.text.startswith(f"{frames} frames")


def test_unsupported() -> None:
    lacking = replace(cell(), unsupported=(TNL_CSUM,))
    found = judge(lacking, Evidence({}), DEMAND)
    assert found.verdict is Verdict.UNSUPPORTED
    assert TNL_CSUM in found.reason
    found = judge(cell(), Evidence(ON, refused=(TSO, TNL)), DEMAND)
    assert found.verdict is Verdict.UNSUPPORTED
    assert f"{TSO}, {TNL}" in found.reason


def test_no_packets_are_no_pass() -> None:
    for effective in (ON, OFF):
        for bursts in ((), (burst(0),), (burst(0, submitted=1000),)):
            assert judged(*bursts, effective=effective).verdict is not Verdict.PASS
    assert judged(burst(0, submitted=1000)).verdict is Verdict.LOSS
    assert judged().rate.value is None


# For any evidence at all

COUNTS = st.integers(0, 3 * N)
SMALL = st.sampled_from([0, 0, 0, 0, 1, 5])


@st.composite
def bursts(draw: st.DrawFn) -> Burst:
    frames = draw(COUNTS)
    wrong = draw(st.sampled_from([0, 0, 0, 1, frames]))
    return burst(
        frames,
        **bad(min(wrong, frames)) if wrong and frames else {},
        submitted=draw(st.one_of(st.just(frames), COUNTS)),
        csum_partial=draw(st.one_of(st.just(frames), COUNTS)),
        segments=draw(st.one_of(st.just(frames), COUNTS)),
        corrupt=draw(SMALL),
        drops=draw(SMALL),
        sender_drops=draw(SMALL),
        unjudged={"truncated": draw(SMALL)},
        unasked=draw(SMALL),
        duplicates=draw(SMALL),
        counters={"inner.Udp.InCsumErrors": draw(SMALL)},
        samples=tuple(
            BadFrame("AAAA", ("inner L4",), ("said",)) for _ in range(draw(st.integers(0, 2)))
        ),
    )


CELLS = st.builds(
    lambda flow, on: Cell("soft", OffloadSet(SPACE.settle(on), SPACE), flow),
    st.sampled_from(list(FLOWS.values())),
    st.frozensets(st.sampled_from(sorted(SPACE.switchable))),
)
EVIDENCE = st.builds(
    lambda on, found: Evidence(on, bursts=tuple(found)),
    st.fixed_dictionaries({name: st.booleans() for name in sorted(SPACE.switchable)}),
    st.lists(bursts(), max_size=4),
)


@given(CELLS, EVIDENCE)
def test_a_wrong_frame_is_a_fail_whatever_else(of: Cell, found: Evidence) -> None:
    verdict = judge(of, found, DEMAND).verdict
    wrong = any(
        b.received.captured.bad or b.received.captured.unasked or b.received.delivered.corrupt
        for b in found.bursts
    )
    assert (verdict is Verdict.FAIL) == wrong


@given(CELLS, EVIDENCE)
def test_a_pass_has_nothing_against_it(of: Cell, found: Evidence) -> None:
    result = judge(of, found, DEMAND)
    if result.verdict is not Verdict.PASS:
        return
    assert sum(b.received.captured.frames for b in found.bursts) >= DEMAND.frames
    assert result.frames == exercised(of, found).frames >= DEMAND.frames
    assert result.rate.value == 0
    assert result.rate.high <= DEMAND.rate * (1 + 1e-9)
    assert result.bad == result.lost == 0
    for b in found.bursts:
        assert not b.received.captured.drops
        assert not b.sent.submitted.drops
        assert not sum(b.received.captured.unjudged.values())
        assert not any(b.received.counters.values())


@given(CELLS, EVIDENCE)
def test_more_wrong_frames_never_make_it_better(of: Cell, found: Evidence) -> None:
    worse = replace(found, bursts=(*found.bursts, burst(5, **bad(5))))
    assert judge(of, worse, DEMAND).verdict is Verdict.FAIL


@given(CELLS, EVIDENCE)
def test_stored_evidence_judges_the_same(of: Cell, found: Evidence) -> None:
    text = json.dumps(ADAPTER.dump_python(found, mode="json"))
    reverse = ADAPTER.validate_python(json.loads(text))
    assert reverse == found
    assert judge(of, reverse, DEMAND) == judge(of, found, DEMAND)
    assert total(reverse.bursts) == total(found.bursts)


@given(CELLS, EVIDENCE)
def test_a_row_says_what_the_judgement_says(of: Cell, found: Evidence) -> None:
    result = judge(of, found, DEMAND)
    written = row(of, result, found)
    assert (written.id, written.verdict, written.frames) == (of.id, result.verdict, result.frames)
    assert written.effective == found.effective
    assert written.requested == of.offloads.requested
    assert (written.rate, written.rate_low, written.rate_high) == (
        result.rate.value, result.rate.low, result.rate.high,
    )  # fmt: skip
    assert json.loads(json.dumps(TypeAdapter(type(written)).dump_python(written, mode="json")))


def test_a_row_of_what_never_ran() -> None:
    lacking = replace(cell("outer4-csum/inner4/tcp"), unsupported=(TNL,))
    written = row(lacking, Judgement(Verdict.ERROR, "the cable fell out"))
    assert written.requested[TNL] is True
    assert written.effective == {}
    assert (written.rate, written.rate_low, written.rate_high) == (None, 0.0, 1.0)


def test_total_adds_by_name() -> None:
    sums = total(
        (burst(5, **bad(2), submitted=9), burst(6, **bad(3, "outer L4"), unjudged={"esp": 1}))
    )
    assert (sums.frames, sums.bad, sums.bad_layers) == (11, 5, {"inner L4": 2, "outer L4": 3})
    assert (sums.submitted, sums.lost, sums.unjudged) == (15, 3, {"esp": 1})
    assert RULES.keys() >= ON.keys()


CRAFTED_CELL = Cell(
    "soft",
    OffloadSet(SPACE.switchable, SPACE),
    replace(FLOWS["outer4-csum/inner4/tcp"], packet_set="x"),
)


def test_a_volley_passes_when_each_of_its_frames_is_as_due() -> None:
    found = judged(burst(20), of=CRAFTED_CELL)
    assert found.verdict is Verdict.PASS
    assert "all 20 frames are, byte for byte, expected ones" in found.reason


def test_a_volley_fails_by_one_frame_that_was_not_due() -> None:
    assert judged(burst(20, **bad(1, "segment")), of=CRAFTED_CELL).verdict is Verdict.FAIL
    assert judged(burst(19, submitted=20), of=CRAFTED_CELL).verdict is Verdict.LOSS
    assert judged(burst(20, segments=0), of=CRAFTED_CELL).verdict is Verdict.NOT_EXERCISED


def test_a_volley_that_the_kernel_does_not_take_exercises_nothing() -> None:
    refused = burst(0, submitted=0, csum_partial=0, segments=0)
    refused = replace(refused, sent=replace(refused.sent, written=0))
    found = judged(refused, of=CRAFTED_CELL)
    assert found.verdict is Verdict.NOT_EXERCISED
    assert "takes no crafted TCP super-packets" in found.reason


@pytest.mark.parametrize("load", ["both", "load"])
def test_what_an_overrun_peer_drops_is_not_lost_by_the_nic(load: Load) -> None:
    of = replace(cell(), flow=replace(cell().flow, load=load))

    def outcome(refused: int, of: Cell) -> Verdict:
        one = burst(
            submitted=N + 10, counters={"link.rx_missed_errors": refused} if refused else {}
        )
        late = replace(one.received, delivered=Delivered(N, 0, 0, complete=False))
        return judged(Burst(replace(one.sent, reverse=1000), late), of=of).verdict

    assert outcome(10, of) is Verdict.PASS
    assert outcome(9, of) is Verdict.LOSS
    assert outcome(0, of) is Verdict.LOSS
    assert outcome(10, cell()) is Verdict.PASS
    assert outcome(9, cell()) is Verdict.LOSS


def test_both_ways_means_that_something_came_back() -> None:
    of = replace(cell(), flow=replace(cell().flow, load="both"))
    assert judged(burst(), of=of).verdict is Verdict.INCONCLUSIVE
    one = burst()
    assert judged(replace(one, sent=replace(one.sent, reverse=1)), of=of).verdict is Verdict.PASS
    assert judged(burst(**bad(1)), of=of).verdict is Verdict.FAIL
