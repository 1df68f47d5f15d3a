"""What the hardware had its part in, as the tx tap on the sender proves it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from qualification.plan.cells import Cell

from .evidence import Evidence, total


@dataclass(frozen=True)
class Exercised:
    """How much of a cell's work the hardware had to do.

    Attributes:
        work: What the features in effect have it do for this flow, see `Flow.work`.
        frames: Judged frames for which the sender's tx tap shows that it did the most demanding
            part of that work; all judged frames where there is no work for it.
        text: The same in words.
    """

    work: frozenset[str]
    frames: int
    text: str


def evidence_on(cell: Cell, evidence: Evidence) -> frozenset[str]:
    """Returns the features that were in effect in a cell, settled."""
    return cell.offloads.space.settle(name for name, on in evidence.effective.items() if on)


def exercised(cell: Cell, evidence: Evidence) -> Exercised:
    """Returns how much the hardware did, as the tx tap on the sender proves it."""
    sums = total(evidence.bursts)
    on = evidence_on(cell, evidence)
    work = cell.flow.work(on)
    if "segmentation" in work:
        count, text = sums.segments, "frames segmented by the NIC"
    elif "checksum" in work:
        count, text = sums.csum_partial, "frames whose checksum was left to the NIC"
    else:
        count, text = sums.frames, "frames finished by the kernel"
    count = min(count, sums.frames)
    return Exercised(work, count, f"{count:,} {text}")
