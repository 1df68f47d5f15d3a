"""The steps of a cell: controls, bursts, the comparison of both ends, and the judgement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from allure_commons.model2 import Status

from qualification.judge.controls import ControlResult
from qualification.judge.evidence import Burst, Evidence, first_wrong, peer_drops, total
from qualification.judge.outcome import control_verdict
from qualification.judge.receive.tally import receive_tally
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Demand
from qualification.messages.receive import ReceiveResult
from qualification.printable import printable

from .model import STATUSES, AllureStep


def steps_of(
    cell: CellRow,
    evidence: Evidence | None,
    controls: Mapping[str, ControlResult],
    demand: Demand,
    told: str,
) -> Iterator[AllureStep]:
    """Yields the steps of a cell.

    Args:
        cell: The cell.
        evidence: What its verdict rests on; None where it was not run, or that is not known.
        controls: The controls of its pair that it rests on.
        demand: What a PASS has to exclude.
        told: How it ended, in a sentence.
    """
    if controls:
        each = tuple(control_step(result) for result in controls.values())
        broken = any(one.status == Status.BROKEN for one in each)
        status = Status.BROKEN if broken else Status.PASSED
        yield AllureStep(f"controls of {printable(cell.pair)}", status, each)
    if evidence is not None:
        yield from _seen(evidence)
    asked = f"a PASS excludes a rate of {demand.rate:g} with confidence {demand.confidence:g}"
    yield AllureStep(
        f"judgement: {cell.verdict}",
        STATUSES[cell.verdict],
        (AllureStep(asked), AllureStep(told, STATUSES[cell.verdict])),
    )


def control_step(result: ControlResult) -> AllureStep:
    """Returns a control as a step."""
    verdict = control_verdict(result)
    return AllureStep(printable(f"{result.name}: {result.reason}"), STATUSES[verdict])


def _seen(evidence: Evidence) -> Iterator[AllureStep]:
    """Yields the bursts, and what came of comparing what was submitted with what was seen."""
    bursts = [*map(_sent, evidence.bursts), *map(_received, evidence.received)]
    bursts += [f"with every offload off: {_sent(burst)}" for burst in evidence.without]
    yield AllureStep(f"bursts: {len(bursts)}", steps=tuple(map(AllureStep, bursts)))
    sums = total(evidence.bursts)
    told = [
        f"{sums.submitted:,} frames submitted to the driver, {sums.frames:,} verified on the wire, "
        f"{sums.bad:,} wrong, {sums.lost:,} lost"
    ]
    if sums.bad_layers:
        layers = ", ".join(f"{layer} ({count:,})" for layer, count in sums.bad_layers.items())
        told.append(f"wrong layers: {layers}{first_wrong(evidence.bursts)}")
    drops = peer_drops(evidence.bursts)
    if drops:
        told.append(f"the peer had no room: {', '.join(f'{k} {v:,}' for k, v in drops.items())}")
    errors = {
        name: sum(burst.received.counters.get(name, 0) for burst in evidence.bursts)
        for burst in evidence.bursts
        for name in burst.received.counters
        if "csum" in name.lower()
    }
    if any(errors.values()):
        told.append(f"counters of the peer: {', '.join(f'{k} {v:,}' for k, v in errors.items())}")
    if not evidence.bursts:
        told = [f"features in effect: {', '.join(_on(evidence)) or 'none'}"]
    steps = tuple(AllureStep(printable(text)) for text in told)
    yield AllureStep("comparison of what was submitted and what was seen", steps=steps)


def _on(evidence: Evidence) -> list[str]:
    return [name for name, on in evidence.effective.items() if on]


def _sent(burst: Burst) -> str:
    submitted, seen = burst.sent.submitted, burst.received.captured
    return (
        f"{submitted.frames:,} frames in {burst.sent.seconds:.2g} s, of which the kernel left "
        f"{submitted.csum_partial:,} checksums and {submitted.segments:,} segments to the NIC; "
        f"{seen.frames:,} captured, {seen.bad:,} wrong"
    )


def _received(result: ReceiveResult) -> str:
    tally = receive_tally([result])
    delivered = sum(one.delivered for one in tally.accepted)
    return f"{tally.frames:,} frames sent to the NIC; {delivered:,} wrong ones delivered"
