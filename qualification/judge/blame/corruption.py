"""Whether the NIC or the path made the wrong frames of a cell. Pure.

A path that corrupts one frame in 100,000 shows in one cell of ten, and in the controls as seldom.
So a few wrong frames convict the NIC only where there are significantly more of them than with
every offload off, or where their bytes show what only an offload does. Where neither is so, the
cell is measured longer, in turn with its offloads and without any.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from qualification.judge.evidence import Burst, Evidence, first_wrong, total
from qualification.judge.signature.sign import sign
from qualification.judge.statistics import fisher
from qualification.plan.cells import Cell

from .loss import Reference

LEVEL = 1e-5
"""p-value of Fisher's exact test below which the NIC is blamed for wrong frames. It is computed
only for cells with wrong frames that no offload explains, which are few on a good pair."""
_MOST_ON, _MOST_OFF = 20, 40
"""The most frames of a cell with its offloads and without any, in multiples of the demand. A fault
as rare as a seventh of the rate to exclude is convicted in most cells by so many."""
_OFF_FOR_ON = 2
"""Frames without offloads for each with them: about e - 1 decides with the fewest frames in all."""
_MOST_SETS = 12
"""How often a crafted packet set is sent; a frame of it that is always wrong shows in fewer."""
_OFFLOADS_ONLY = frozenset(
    {
        "seed-left", "not-complemented", "pseudo-omitted", "pseudo-twice", "pseudo-part",
        "other-pseudo", "other-checksum", "inner-unfinished", "super-length", "zero-not-ffff",
        "offset-clipped", "vlan-shift",
    }
)  # fmt: skip
"""Signatures that no path leaves: all 16 bits of the field are those of an unfinished sum. Others,
such as odd-byte, fit one changed bit too often by chance."""


@dataclass(frozen=True)
class Corruption:
    """What is to be said of the wrong frames of a cell.

    Attributes:
        blamed: Whether the NIC made them.
        untrusted: Whether frames were wrong with every offload off, too, while it was measured.
        text: A phrase for people; empty where the NIC is blamed.
    """

    blamed: bool
    untrusted: bool = False
    text: str = ""


def corruption_of(cell: Cell, evidence: Evidence, reference: Reference | None) -> Corruption | None:
    """Returns what is to be said of the wrong frames of a cell; None if it has none.

    Args:
        cell: The cell.
        evidence: Its evidence.
        reference: What its pair sent with every offload off; without it any is the NIC's.
    """
    sums, off = total(evidence.bursts), total(evidence.without)
    wrong = max(sums.bad, sums.corrupt)
    if not wrong:
        return None
    if off.bad:
        return Corruption(
            False,
            True,
            f"{off.bad:,} of {off.frames:,} frames are wrong with every offload off, and "
            f"{wrong:,} of {sums.frames:,} with them on: the path or the peer corrupts them"
            f"{first_wrong(evidence.without)}",
        )
    clean = off.frames + (0 if reference is None else reference.judged)
    if not clean or cell.all_off or _explained(cell, evidence):
        return Corruption(True)
    if fisher(min(wrong, sums.frames), sums.frames, 0, clean) < LEVEL:
        return Corruption(True)
    return Corruption(
        False,
        text=f"{wrong:,} of {sums.frames:,} frames {'is' if wrong == 1 else 'are'} wrong, and none "
        f"of {clean:,} with every offload off: too few to tell the NIC's doing from the path's"
        f"{first_wrong(evidence.bursts)}",
    )


def next_burst(
    cell: Cell, evidence: Evidence, reference: Reference | None, frames: int
) -> Literal["on", "off"] | None:
    """Returns whether the next burst is to have the cell's offloads or none; None for no burst.

    Args:
        cell: The cell.
        evidence: Its evidence so far.
        reference: As for `corruption_of`.
        frames: The frames that a PASS takes.
    """
    found = corruption_of(cell, evidence, reference)
    if found is None or found.blamed or found.untrusted or reference is None:
        return None
    on, off = total(evidence.bursts).frames, total(evidence.without).frames + reference.judged
    if off < _OFF_FOR_ON * on and off < _MOST_OFF * frames:
        return "off"
    sets = len(evidence.bursts) if cell.flow.packet_set else 0
    return "on" if on < _MOST_ON * frames and sets < _MOST_SETS else None


def judged_without(bursts: Iterable[Burst]) -> int:
    """Returns the frames of bursts of which the kernel left the NIC nothing to do."""
    return sum(
        burst.received.captured.frames
        for burst in bursts
        if not burst.sent.submitted.csum_partial and not burst.sent.submitted.segments
    )


def _explained(cell: Cell, evidence: Evidence) -> bool:
    frames = [frame for burst in evidence.bursts for frame in burst.received.captured.samples]
    found = sign(frames, cell.flow)
    return found is not None and found.name in _OFFLOADS_ONLY and found.explained == found.of
