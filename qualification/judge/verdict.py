"""From the evidence of a cell to its verdict. Pure: the same evidence gives the same verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qualification.plan.cells import Cell, frames_needed

from . import pattern
from .blame.corruption import corruption_of
from .blame.duplication import duplication_of
from .blame.loss import Reference, loss_of
from .delivery import delivery_of
from .evidence import Evidence, Totals, held_back, rerouted, total
from .exercised import evidence_on, exercised
from .notes import notes_of
from .statistics import UNKNOWN, Rate, rate_after


class Verdict(StrEnum):
    """How a cell ends."""

    PASS = "PASS"  # noqa: S105  (no password)
    FAIL = "FAIL"
    LOSS = "LOSS"
    INCONCLUSIVE = "INCONCLUSIVE"
    NOT_EXERCISED = "NOT EXERCISED"
    UNSUPPORTED = "UNSUPPORTED"
    UNTRUSTED = "UNTRUSTED"
    ERROR = "ERROR"
    KNOWN = "KNOWN"


SETTLED = frozenset({Verdict.PASS, Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED, Verdict.KNOWN})
"""Verdicts of cells in which nothing new is wrong, and which need no second run."""


@dataclass(frozen=True)
class Demand:
    """What a PASS has to exclude.

    Attributes:
        rate: Share of corrupted frames.
        confidence: Confidence with which it is to be excluded.
    """

    rate: float = 1e-3
    confidence: float = 0.999

    @property
    def frames(self) -> int:
        """Number of frames without a fault that exclude the rate."""
        return frames_needed(self.rate, self.confidence)


@dataclass(frozen=True)
class Judgement:
    """A verdict and what it rests on.

    Attributes:
        verdict: The verdict.
        reason: A sentence for people.
        frames: Frames judged, of those that the NIC had its part in.
        bad: Wrong frames among them.
        lost: Frames submitted to the driver that the peer never saw.
        rate: Share of wrong frames, with its interval.
    """

    verdict: Verdict
    reason: str
    frames: int = 0
    bad: int = 0
    lost: int = 0
    rate: Rate = UNKNOWN


def judge(  # noqa: PLR0912, PLR0915  (one check each, in an order that matters)
    cell: Cell, evidence: Evidence, demand: Demand, reference: Reference | None = None
) -> Judgement:
    """Returns the verdict on one cell of a pair whose controls are trusted.

    Args:
        cell: The cell.
        evidence: Its evidence.
        demand: What a PASS has to exclude.
        reference: What its pair lost with every offload off; without one every loss is the NIC's.

    The order of the checks matters. A wrong frame is wrong whatever else went wrong, so FAIL comes
    first. A PASS has to survive all of them.
    """
    if cell.unsupported:
        names = ", ".join(cell.unsupported)
        return Judgement(Verdict.UNSUPPORTED, f"the NIC has no {names}, or has it fixed off")
    if evidence.refused:
        names = ", ".join(evidence.refused)
        return Judgement(Verdict.UNSUPPORTED, f"the driver refused to switch {names}")

    sums = total(evidence.bursts)
    worked = exercised(cell, evidence)
    # Retransmissions and handshakes are submitted with finished checksums. They would dilute the
    # rate of what the NIC did. All frames count only where more are wrong than it had to work on.
    frames = worked.frames if sums.bad <= worked.frames else sums.frames
    measured = rate_after(sums.bad, frames, demand.confidence, len(evidence.bursts))

    notes = notes_of(evidence.bursts)
    doubled = duplication_of(evidence.bursts, cell.flow.l4, reference)

    def ends(verdict: Verdict, reason: str) -> Judgement:
        if verdict in (Verdict.PASS, Verdict.NOT_EXERCISED):
            reason = "; ".join([reason, *notes])
        return Judgement(verdict, reason, frames, sums.bad, sums.lost, measured)

    wrong = corruption_of(cell, evidence, reference)
    if wrong is not None and not wrong.blamed:
        untrusted = Verdict.UNTRUSTED if wrong.untrusted else Verdict.INCONCLUSIVE
        return ends(untrusted, wrong.text)
    if sums.bad:
        return ends(Verdict.FAIL, _failure(sums, frames, measured, demand))
    if sums.corrupt:
        return ends(
            Verdict.FAIL,
            f"{sums.corrupt:,} of the payloads delivered are not those sent, under valid checksums",
        )
    if sums.unasked:
        return ends(
            Verdict.FAIL,
            f"{sums.unasked:,} of {sums.frames:,} frames carry an outer checksum, which is right, "
            "where none was asked for",
        )
    if sums.rerouted:
        return ends(Verdict.FAIL, rerouted(evidence.bursts))
    if doubled is not None and doubled.blamed:
        return Judgement(
            Verdict.FAIL,
            doubled.text,
            frames,
            doubled.frames,
            sums.lost,
            rate_after(
                min(doubled.frames, frames), frames, demand.confidence, len(evidence.bursts)
            ),
        )
    if sums.drops:
        return ends(Verdict.INCONCLUSIVE, f"the capture lost {sums.drops:,} frames")
    if sums.inner_csum_errors:
        return ends(
            Verdict.INCONCLUSIVE,
            f"the peer's kernel refused {sums.inner_csum_errors:,} inner checksums, "
            "and the capture saw none wrong",
        )
    if sums.unjudged:
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(sums.unjudged.items()))
        return ends(Verdict.INCONCLUSIVE, f"frames that cannot be judged: {why}")
    if doubled is not None:
        return ends(Verdict.INCONCLUSIVE, doubled.text)
    loss = loss_of(cell, evidence, reference)
    if loss is not None and loss.blamed:
        return ends(Verdict.LOSS, f"{loss.text}; those that did are right")
    if loss is not None and not loss.decided:
        return ends(Verdict.INCONCLUSIVE, f"{loss.text}; those that did are right")
    notes += [loss.text] if loss is not None else []
    l4 = "crafted" if cell.flow.packet_set else cell.flow.l4
    held = [held_back(burst.sent, l4) for burst in evidence.bursts]
    if any(held):
        written = sum(burst.sent.written for burst in evidence.bursts)
        text = (
            f"a queue of the DUT's kernel dropped {sum(held):,} of {written:,} frames before they "
            "reached the driver"
        )
        if cell.flow.packet_set:
            return ends(Verdict.INCONCLUSIVE, f"{text}; those that did are as expected")
        notes.append(text)
    if not all(burst.sent.complete for burst in evidence.bursts):
        return ends(Verdict.INCONCLUSIVE, "the sender did not finish before its deadline")
    if cell.flow.load == "both" and not all(burst.sent.reverse for burst in evidence.bursts):
        return ends(Verdict.INCONCLUSIVE, "the peer sent no reverse traffic meanwhile")
    delivery = delivery_of(cell.flow, evidence.bursts, held, any_lost=loss is not None)
    if delivery is not None:
        if not delivery.accounted or delivery.received < demand.frames:
            return ends(Verdict.INCONCLUSIVE, delivery.text)
        notes.append(delivery.text)
    if cell.flow.packet_set and not any(burst.sent.written for burst in evidence.bursts):
        return ends(
            Verdict.NOT_EXERCISED,
            f"the DUT's kernel takes no crafted {cell.flow.l4.upper()} super-packets "
            "(6.2 and later do)",
        )
    refused = sum(burst.sent.refused for burst in evidence.bursts)
    if refused:
        written = sum(burst.sent.written for burst in evidence.bursts)
        return ends(
            Verdict.INCONCLUSIVE,
            f"the DUT's kernel took buffers for {written:,} of {written + refused:,} frames of the "
            "crafted packet set (6.2 and later take all); those are as expected",
        )
    if not cell.all_off and not evidence_on(cell, evidence):
        return ends(
            Verdict.NOT_EXERCISED,
            f"no feature of sending is in effect: {worked.text}, none of them wrong",
        )
    if worked.work and not worked.frames:
        return ends(Verdict.NOT_EXERCISED, f"the kernel did it itself: {worked.text}")
    if cell.segmentation_unused and (cell.flow.packet_set or worked.frames >= demand.frames):
        return ends(
            Verdict.NOT_EXERCISED,
            "the NIC segmented nothing: the set lacks features that it takes for this flow; none "
            f"wrong of {worked.text}",
        )
    if cell.flow.packet_set and sums.frames:
        return ends(
            Verdict.PASS,
            f"all {sums.frames:,} frames are, byte for byte, expected ones, {worked.text} "
            f"among them: a rate of {percent(measured.high)} or more is excluded at "
            f"{demand.confidence:.1%}",
        )
    if worked.frames < demand.frames:
        return ends(
            Verdict.INCONCLUSIVE,
            f"{worked.frames:,} of the {demand.frames:,} frames it takes to exclude "
            f"{percent(demand.rate)} at {demand.confidence:.1%}: {worked.text}",
        )
    return ends(
        Verdict.PASS,
        f"none wrong of {worked.text}: a rate of {percent(measured.high)} or more is excluded "
        f"at {demand.confidence:.1%}",
    )


def _failure(sums: Totals, frames: int, measured: Rate, demand: Demand) -> str:
    layers = ", ".join(
        f"{name} ({count:,})"
        for name, count in sorted(sums.bad_layers.items(), key=lambda x: -x[1])
    )
    which = pattern.explain(sums.shapes, sums.bad)
    return (
        f"{sums.bad:,} of {frames:,} frames are wrong "
        f"({percent(measured.value or 0)}, {percent(measured.low)} to {percent(measured.high)} "
        f"at {demand.confidence:.1%}): {layers}{f'; {which}' if which else ''}"
    )


def percent(share: float) -> str:
    """Returns a share as a percentage with three significant digits."""
    return f"{share * 100:.3g} %"
