"""Who made the wrong frames of a cell: the NIC, or the path, which corrupts without them."""

from __future__ import annotations

import base64
import random
from dataclasses import replace

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from qualification.judge.blame.corruption import corruption_of, judged_without, next_burst
from qualification.judge.blame.loss import Reference
from qualification.judge.controls import ControlResult, reference_of
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.outcome import decide, distrust
from qualification.judge.verdict import Demand, Judgement, Verdict, judge
from qualification.messages.bursts import (
    BadFrame,
    CaptureResult,
    Delivered,
    Received,
    Sent,
    Submitted,
)
from qualification.plan.cells import CONTROLS, Cell
from qualification.plan.features import CSUM, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow
from qualification.wire.checksum import pseudo_sum

DEMAND = Demand(0.001, 0.999)
N = 7_200
MOST = 16_384
SPACE = FeatureSpace(frozenset({CSUM}))
CELL = Cell("x710", OffloadSet(frozenset({CSUM}), SPACE), Flow(4, True, 4, "udp", False))
OFF_CELL = replace(CELL, offloads=OffloadSet(frozenset(), SPACE))
SET_CELL = replace(CELL, flow=replace(CELL.flow, packet_set="lengths"))
REFERENCE = Reference(21_000, 0, judged=21_000)


def burst(bad: int = 0, frames: int = N, *, on: bool = True, samples: int = 0) -> Burst:
    submitted = Submitted(frames, frames, csum_partial=frames if on else 0)
    seen = CaptureResult(
        frames, bad, {"inner L4": bad} if bad else {}, samples=(seed_left(),) * samples
    )
    received = Received(seen, Delivered(frames - bad, complete=True), {})
    return Burst(Sent(submitted, frames, True, 0.1, {}), received)


def seed_left() -> BadFrame:
    """A frame whose inner checksum is the sum that the kernel left in the field."""
    source, destination = "10.0.0.1", "10.0.0.2"
    addresses = (bytes(map(int, ip.split("."))) for ip in (source, destination))
    seed = pseudo_sum(*addresses, 17, 8 + 40) % 65535
    inner = IP(src=source, dst=destination) / UDP(sport=5, dport=6, chksum=seed) / Raw(b"x" * 40)
    frame = Ether() / IP(dst="192.0.2.1") / UDP(sport=50_000, dport=4789) / VXLAN(vni=7)
    data = bytes(frame / Ether() / inner)
    return BadFrame(base64.b64encode(data).decode(), ("inner L4",), ("inner UDP checksum is …",))


def judged(evidence: Evidence, of: Cell = CELL) -> Judgement:
    return judge(of, evidence, DEMAND, REFERENCE)


def evidence(*bursts: Burst, without: tuple[Burst, ...] = ()) -> Evidence:
    return Evidence({CSUM: True}, bursts=bursts, without=without)


def test_one_wrong_frame_convicts_nobody() -> None:
    found = judged(evidence(burst(1)))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith(
        "1 of 7,200 frames is wrong, and none of 21,000 with every offload off: too few to tell"
    )


def test_many_wrong_frames_convict_the_nic() -> None:
    assert judged(evidence(burst(9))).verdict is Verdict.FAIL
    assert judge(CELL, evidence(burst(1)), DEMAND).verdict is Verdict.FAIL, "nothing to compare"


def test_what_only_an_offload_leaves_convicts_the_nic() -> None:
    assert judged(evidence(burst(1, samples=1))).verdict is Verdict.FAIL
    off = replace(evidence(burst(1, samples=1, on=False)), effective={CSUM: False})
    assert decide(OFF_CELL, off, controls(), DEMAND).judgement.verdict is Verdict.UNTRUSTED


def controls() -> dict[str, ControlResult]:
    bursts = {CELL.flow.id: burst(frames=21_000, on=False)}
    return {name: ControlResult(name, True, "", bursts=bursts) for name in CONTROLS}


def test_wrong_frames_without_offloads_distrust_the_pair() -> None:
    seen = evidence(burst(1), without=(burst(frames=MOST, on=False), burst(1, MOST, on=False)))
    outcome = decide(CELL, seen, controls(), DEMAND)
    assert outcome.judgement.verdict is Verdict.UNTRUSTED
    assert not outcome.blames_nic
    reason = outcome.judgement.reason
    assert reason.startswith("1 of 32,768 frames are wrong with every offload off, and 1 of 7,200")
    assert distrust(outcome)


def test_the_frames_that_are_compared_with() -> None:
    found = reference_of(CELL, controls())
    assert found is not None
    assert found.judged == 42_000, "all-off and crafted"
    assert judged_without([burst(on=True)]) == 0, "a feature that is fixed on"


def settled(rng: random.Random, path: float, nic: float, cell: Cell = CELL) -> Evidence:
    """The evidence of a cell whose frames are wrong at a rate, after all that was measured."""
    frames = 420 if cell.flow.packet_set else MOST

    def of(rate: float, frames: int, *, on: bool) -> Burst:
        return burst(sum(rng.random() < rate for _ in range(frames)), frames, on=on)

    found = evidence(of(path + nic, min(N, frames), on=True))
    while (which := next_burst(cell, found, REFERENCE, DEMAND.frames)) is not None:
        if which == "on":
            found = replace(found, bursts=(*found.bursts, of(path + nic, frames, on=True)))
        else:
            found = replace(found, without=(*found.without, of(path, MOST, on=False)))
    return found


@pytest.mark.parametrize("path", [1e-5, 3e-5, 1e-4])
def test_a_path_that_corrupts_blames_no_nic(path: float) -> None:
    rng = random.Random(path)
    found = [judged(settled(rng, path, 0)) for _ in range(20)]
    assert {one.verdict for one in found} <= {
        Verdict.PASS, Verdict.UNTRUSTED, Verdict.INCONCLUSIVE
    }  # fmt: skip


@pytest.mark.parametrize(("rate", "least"), [(1e-4, 3), (1e-3, 19), (5e-2, 20)])
def test_a_nic_that_corrupts_is_to_blame(rate: float, least: int) -> None:
    """Of twenty cells; the rarest fault shows in every second one at all."""
    rng = random.Random(rate)
    found = [judged(settled(rng, 0, rate)) for _ in range(20)]
    assert sum(one.verdict is Verdict.FAIL for one in found) >= least
    assert not any(one.verdict is Verdict.UNTRUSTED for one in found)


def test_a_crafted_frame_that_is_always_wrong_is_the_nics() -> None:
    seen = evidence(burst(1, 420))
    while next_burst(SET_CELL, seen, REFERENCE, DEMAND.frames) == "on":
        seen = replace(seen, bursts=(*seen.bursts, burst(1, 420)))
    assert len(seen.bursts) <= 6
    assert judged(seen, SET_CELL).verdict is Verdict.FAIL


def test_a_crafted_frame_that_is_wrong_once_is_nobodys() -> None:
    seen = evidence(burst(1, 420))
    while next_burst(SET_CELL, seen, REFERENCE, DEMAND.frames) == "on":
        seen = replace(seen, bursts=(*seen.bursts, burst(0, 420)))
    assert judged(seen, SET_CELL).verdict is Verdict.INCONCLUSIVE


def test_nothing_wrong_needs_no_comparison() -> None:
    assert corruption_of(CELL, evidence(burst()), REFERENCE) is None
    assert next_burst(CELL, evidence(burst()), REFERENCE, DEMAND.frames) is None
    assert next_burst(CELL, evidence(burst(1)), None, DEMAND.frames) is None
