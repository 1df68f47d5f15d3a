"""Who lost the frames of a cell: compared with the controls, after what the peer drops."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
from pydantic import TypeAdapter

from qualification.judge.blame.loss import Reference, loss_of, next_burst
from qualification.judge.controls import ControlResult, reference_of
from qualification.judge.evidence import Burst, Evidence, peer_drops, total
from qualification.judge.outcome import decide
from qualification.judge.pace import PaceFound, PaceTry
from qualification.judge.verdict import Demand, Judgement, Verdict, judge
from qualification.messages.bursts import CaptureResult, Delivered, Received, Sent, Submitted
from qualification.plan.cells import CONTROLS, TAGGED, Cell
from qualification.plan.features import CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow

DEMAND = Demand(0.001, 0.999)
N = 7_200
CELL = Cell(
    "x710",
    OffloadSet(frozenset({CSUM}), FeatureSpace(frozenset({CSUM}))),
    Flow(4, True, 4, "udp", False),
)
FOUND = PaceFound(100_000, True, (PaceTry(100_000, 13_812, 0),))
LOWERED = PaceFound(10_000, True, (PaceTry(25_000, 13_812, 900), PaceTry(12_500, 13_812, 0)))
LOSSY = PaceFound(100_000, False, (PaceTry(100_000, 13_812, 140), PaceTry(12_500, 13_812, 133)))
LOSSLESS = Reference(21_000, 0, FOUND)
OPEN = (Verdict.PASS, Verdict.INCONCLUSIVE)


def burst(lost: int = 0, *, of: int = N, counters: dict[str, int] | None = None) -> Burst:
    """A burst of which frames were lost; those that arrived are right, and the NIC's work."""
    sent = Sent(Submitted(of, of, csum_partial=of), of, True, 0.1, {})
    arrived = of - lost
    delivered = Delivered(arrived, 0, 0, complete=not lost)
    return Burst(sent, Received(CaptureResult(arrived), delivered, counters or {}))


def judged(*bursts: Burst, reference: Reference | None = LOSSLESS, of: Cell = CELL) -> Judgement:
    return judge(of, Evidence({CSUM: True}, bursts=bursts), DEMAND, reference)


def again(*bursts: Burst, reference: Reference = LOSSLESS, of: Cell = CELL) -> bool:
    return next_burst(of, Evidence({CSUM: True}, bursts=bursts), reference) == "on"


def losing(rng: random.Random, rate: float, frames: int, on: bool = True) -> int:
    """How many of some frames are lost at a rate, with offloads on."""
    return sum(rng.random() < rate for _ in range(frames)) if on else 0


def settled(
    lost: Callable[[bool], int],
    *,
    frames: int = N,
    of: Cell = CELL,
    reference: Reference = LOSSLESS,
) -> Judgement:
    """Judges a cell after every burst that it takes; `lost` is told if one has its offloads on."""
    found = Evidence({CSUM: True}, bursts=(burst(lost(True), of=frames),))
    while (which := next_burst(of, found, reference)) is not None:
        if which == "turn":
            off = burst(lost(False), of=frames)
            found = replace(found, without=(*found.without, off))
        found = replace(found, bursts=(*found.bursts, burst(lost(True), of=frames)))
    assert len(found.bursts) <= 17
    return judge(of, found, DEMAND, reference)


def test_one_lost_frame_blames_nobody() -> None:
    found = judged(burst(1))
    assert (found.verdict, found.lost) == (Verdict.PASS, 1)
    assert found.reason.endswith(
        "; 1 of 7,200 frames submitted to the driver never reached the peer, "
        "none of 21,000 with all offloads off"
    )


def test_a_loss_that_all_off_has_as_well_blames_nobody() -> None:
    as_well = Reference(21_000, 210, FOUND)
    found = judged(burst(72), reference=as_well)
    assert found.verdict is Verdict.PASS
    assert "72 of 7,200" in found.reason and "210 of 21,000 with all offloads off" in found.reason


def test_a_lost_frame_of_a_control_forgives_no_loss() -> None:
    found = judged(burst(400), burst(400), reference=Reference(21_000, 5, FOUND))
    assert found.verdict is Verdict.LOSS
    assert "800 of 14,400" in found.reason and "5 of 21,000 with all offloads off" in found.reason


def test_a_loss_has_to_recur() -> None:
    """A host that got no CPU for 20 ms loses many frames at once, whatever its NIC does."""
    assert again(burst(400))
    assert again(burst(400), burst(0))
    assert not again(burst(400), burst(400))
    once = burst(400), burst(0), burst(0)
    assert not again(*once)
    found = judged(*once)
    assert found.verdict is Verdict.PASS
    assert "400 of 21,600" in found.reason
    assert found.reason.endswith(", all in one burst, and none in 2 more")
    assert judged(*once[:2]).verdict is Verdict.INCONCLUSIVE


def test_an_all_off_cell_is_sent_again_and_blames_nobody() -> None:
    off = replace(CELL, offloads=OffloadSet(frozenset(), FeatureSpace(frozenset({CSUM}))))
    assert off.all_off
    assert again(burst(400), of=off) and again(burst(400), burst(0), of=off)
    once, always = (burst(400), burst(0), burst(0)), (burst(400), burst(400))
    assert not again(*once, of=off) and not again(*always, of=off)
    assert judged(*always, of=off).verdict is Verdict.INCONCLUSIVE
    found = judged(*once, of=off)
    assert "all in one burst, and none in 2 more" in found.reason
    assert "path loses" not in found.reason


@pytest.mark.parametrize("frames", [N, 400])
def test_a_rare_loss_that_recurs_is_seen(frames: int) -> None:
    """One frame in a thousand of bulk; the same frame of every crafted packet set."""
    lost = max(1, round(frames / 1_000))
    assert settled(lambda on: lost if on else 0, frames=frames).verdict is Verdict.LOSS


def test_a_loss_that_ends_with_the_offloads_is_the_nic_s() -> None:
    rng = random.Random(1)
    found = [settled(lambda on: losing(rng, 1e-3, N, on)) for _ in range(20)]
    assert [one.verdict for one in found].count(Verdict.LOSS) >= 19
    for one in found:
        assert re.search(r"none of [\d,]+ with all offloads off", one.reason)


def test_a_path_that_has_begun_to_lose_blames_no_nic() -> None:
    """The controls lost nothing, and now the path loses whatever is sent."""
    rng = random.Random(2)
    for rate in (0.0005, 0.001, 0.01, 0.2):
        for frames in (N, 416):
            lost = partial(losing, rng, rate, frames)  # also with every offload off
            for _ in range(10):
                found = settled(lambda _, lost=lost: lost(), frames=frames)
                assert found.verdict in OPEN, (rate, found.reason)


def test_a_path_that_loses_for_a_while_blames_no_nic() -> None:
    """A host gets too little CPU for some bursts in a row, as a virtual machine does."""
    for bursts, frames in product(range(1, 9), (1, 12, 300)):
        lost = partial(next, iter([frames] * bursts), 0)
        found = settled(lambda _, lost=lost: lost())
        assert found.verdict in OPEN, (bursts, frames, found.reason)


def test_what_is_lost_with_every_offload_off_is_no_offload_s_doing() -> None:
    off = replace(CELL, offloads=OffloadSet(frozenset(), CELL.offloads.space))
    found = settled(lambda _: 12, of=off)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith("24 of 14,400 frames")
    assert ", none of 21,000 with all offloads off before: the path loses" in found.reason


def test_a_single_lost_frame_is_not_looked_at_forever() -> None:
    bursts = [burst(1)]
    while again(*bursts):
        bursts.append(burst(0))
    assert len(bursts) <= 2
    assert judged(*bursts).verdict is Verdict.PASS


def test_a_path_that_loses_at_any_pace_leaves_it_open() -> None:
    found = judged(burst(70), reference=Reference(21_000, 210, LOSSY))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert (
        "the path loses frames at any pace: 140 of 13,812 frames lost at 100,000 frames/s, "
        "133 of 13,812 at 12,500 frames/s"
    ) in found.reason
    # What lost nothing is judged, and what loses far more than the path is the NIC's.
    assert judged(burst(0), reference=Reference(21_000, 210, LOSSY)).verdict is Verdict.PASS
    much = judged(burst(3_000), burst(3_000), reference=Reference(21_000, 210, LOSSY))
    assert much.verdict is Verdict.LOSS


def test_too_few_of_the_reference_leave_it_open() -> None:
    found = judged(burst(40, of=100), burst(0), reference=Reference(100, 18, FOUND))
    assert found.verdict is Verdict.PASS
    found = judged(burst(40, of=100), reference=Reference(100, 18, FOUND), of=CELL)
    assert found.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    "counters",
    [
        {"link.rx_missed_errors": 400},
        {"link.rx_missed_errors": 400, "nic.rx_missed_errors": 400},
        {"nic.rx_no_buffer_count": 400},
        {"nic.port.rx_dropped": 400},
        {"nic.rx_out_of_buffer": 400},
        {"softnet.dropped": 400},
        {"link.rx_fifo_errors": 150, "softnet.dropped": 250},
    ],
)
def test_what_the_peer_drops_is_the_peer_s_in_every_flow(counters: dict[str, int]) -> None:
    bursts = burst(400, counters=counters), burst(0)
    assert total(bursts).peer_dropped == 400
    found = judged(*bursts)
    assert found.verdict is Verdict.PASS
    assert "the peer dropped 400 frames (" in found.reason
    for name in peer_drops(bursts):
        assert name in found.reason
    assert not again(*bursts)
    more = burst(500, counters=counters)
    found = judged(more, more)
    assert found.verdict is Verdict.LOSS
    assert "200 of 14,400" in found.reason and "the peer dropped 800" in found.reason


@pytest.mark.parametrize(
    "name", ["nic.rx_packets", "nic.tx_dropped", "nic.rx_csum_errors", "nic.rx_queue_0_drops",
             "inner.Udp.RcvbufErrors", "link.rx_errors"],
)  # fmt: skip
def test_other_counters_take_nothing_off(name: str) -> None:
    assert total((burst(400, counters={name: 400}),)).peer_dropped == 0


def test_a_frame_that_is_submitted_twice_is_one_frame() -> None:
    """A driver that answers NETDEV_TX_BUSY gets the same buffer again, and the tap sees both."""
    one = burst()
    twice = replace(one, sent=replace(one.sent, submitted=Submitted(N + 30, N + 30, N + 30)))
    assert total((twice,)).lost == 0
    assert judged(twice).verdict is Verdict.PASS


def test_load_is_not_compared_with_a_pace_that_the_path_does_not_carry() -> None:
    of = replace(CELL, flow=replace(CELL.flow, load="load"))
    found = judged(burst(3_000), burst(3_000), reference=Reference(21_000, 0, LOWERED), of=of)
    assert found.verdict is Verdict.PASS
    assert "sent faster than the path carries: 10,000 frames/s (900 of 13,812" in found.reason
    assert judged(burst(3_000), burst(3_000), of=of).verdict is Verdict.LOSS


def controls(**lost: int) -> dict[str, ControlResult]:
    made = {}
    for name in (*CONTROLS, TAGGED):
        one = burst(lost.get(name.replace("-", "_"), 0), of=10_000)
        pace = FOUND if name == "all-off" else None
        made[name] = ControlResult(name, True, "said", bursts={"a flow": one}, pace=pace)
    return made


def test_the_reference_is_the_control_that_goes_the_same_way() -> None:
    of = controls(plain=1, all_off=20, crafted=300, tagged=4_000)
    plain = replace(CELL, flow=replace(CELL.flow, tunnel=False))
    tagged = replace(CELL, flow=replace(CELL.flow, vlan="nic"))
    assert reference_of(CELL, of) == Reference(10_000, 20, FOUND)
    assert reference_of(plain, of) == Reference(10_000, 1, FOUND)
    assert reference_of(tagged, of) == Reference(20_000, 4_020, FOUND)
    assert reference_of(CELL, {}) is None


def test_stored_evidence_decides_the_same() -> None:
    of, found = controls(all_off=100), Evidence({CSUM: True}, bursts=(burst(72), burst(70)))
    first = decide(CELL, found, of, DEMAND)
    adapter = TypeAdapter(dict[str, ControlResult])
    assert decide(CELL, found, adapter.validate_json(adapter.dump_json(of)), DEMAND) == first
    assert first.judgement.verdict is Verdict.PASS
    assert loss_of(CELL, found, reference_of(CELL, of)) is not None


def test_a_packet_set_that_all_off_loses_as_well_is_no_fault_of_the_nic() -> None:
    """A super-packet of 80 segments does not fit into a ring of 64, whoever segments it."""
    flow = replace(CELL.flow, outer=6, segmentation=True, packet_set="small-mss")
    of, sent = replace(CELL, flow=flow), burst(16, of=511)
    made = controls()
    same = {"outer4-csum/inner4/udp-seg/small-mss": sent, "plain4/udp/lengths": burst(511, of=511)}
    made["crafted"] = replace(made["crafted"], bursts=same)
    assert reference_of(of, made) == Reference(511, 16, FOUND)
    found = decide(of, Evidence({CSUM: True}, bursts=(sent,)), made, DEMAND)
    assert found.judgement.verdict is Verdict.PASS
    other = replace(of, flow=replace(flow, packet_set="boundaries"))
    assert reference_of(other, made) == Reference(10_000, 0, FOUND)
    found = decide(other, Evidence({CSUM: True}, bursts=(sent, sent)), made, DEMAND)
    assert found.judgement.verdict is Verdict.LOSS
