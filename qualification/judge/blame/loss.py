"""Whose frames were lost: the NIC's, the path's, or the peer's. Pure.

The NIC is blamed for what it loses beyond chance more than the same pair lost with every offload
off, and not for frames that the peer's NIC or kernel counted as dropped.
"""

from __future__ import annotations

from dataclasses import dataclass

from qualification.judge.evidence import Burst, Evidence, peer_drops, total
from qualification.judge.pace import PaceFound
from qualification.judge.statistics import fisher
from qualification.plan.cells import Cell

LEVEL = 1e-6
"""p-value of Fisher's exact test below which the NIC loses frames. A run has 1,000 cells and looks
at each up to `_MOST_BURSTS` times, so that one run in 100 would be wrong by chance; the exact test
of few lost frames errs far less often."""
_DOUBTFUL = 0.05
"""p-value below which a cell is sent again, so that the answer is not left to chance."""
_UNDECIDED = 1e-3
"""p-value below which a cell that cannot be blamed does not pass either."""
_MOST_BURSTS = 8
"""The most bursts of a cell that loses frames. In fewer, one frame of a crafted packet set of 400
that never arrives is told from chance, and a bulk flow that loses one frame in 1,000."""


@dataclass(frozen=True)
class Reference:
    """What a pair lost with every offload off, by the bursts of its controls.

    Attributes:
        frames: Frames submitted to the driver.
        lost: Of those, frames that never reached the peer and that it did not count as dropped.
        pace: The pace that was found.
        duplicated: Frames that arrived more often than they were submitted.
        judged: Frames that arrived, all right, and of which the NIC had nothing to finish.
    """

    frames: int
    lost: int
    pace: PaceFound | None = None
    duplicated: int = 0
    judged: int = 0

    def __str__(self) -> str:
        """Returns a phrase."""
        lost = f"{self.lost:,}" if self.lost else "none"
        return f"{lost} of {self.frames:,} with all offloads off"


@dataclass(frozen=True)
class Loss:
    """What is to be said of the frames that a cell lost.

    Attributes:
        blamed: Whether the NIC lost them.
        decided: Whether it is clear that it did or did not.
        text: A phrase for people.
    """

    blamed: bool
    decided: bool
    text: str


def loss_of(cell: Cell, evidence: Evidence, reference: Reference | None) -> Loss | None:
    """Returns what is to be said of the frames that a cell lost; None if it lost none.

    Args:
        cell: The cell.
        evidence: Its evidence.
        reference: What its pair lost with every offload off; without one every loss is the NIC's.
    """
    sums = total(evidence.bursts)
    if not sums.lost:
        return None
    dropped = min(sums.lost, sums.peer_dropped)
    lost, of = sums.lost - dropped, f"{sums.submitted:,} frames submitted to the driver"
    parts = [_dropped(evidence.bursts, dropped)] if dropped else []
    if not lost:
        return Loss(False, True, "; ".join(parts))
    text = f"{lost:,} of {of} never reached the peer"
    if reference is None:
        return Loss(True, True, "; ".join([text, *parts]))
    text = "; ".join([f"{text}, {reference}", *parts])
    pace = reference.pace
    if cell.flow.load == "load" and pace is not None and (pace.lowered or not pace.lossless):
        return Loss(False, True, f"{text}: sent faster than the path carries: {pace}")
    p = fisher(lost, sums.submitted, reference.lost, reference.frames)
    lossy = sum(map(bool, map(_lost, evidence.bursts)))
    if p < LEVEL:
        if len(evidence.bursts) > 1 and lossy == 1:
            # A host that got no CPU for a while loses many frames at once, and then no more.
            text += f", all in one burst, and none in {len(evidence.bursts) - 1} more"
            return Loss(False, len(evidence.bursts) > 2, text)
        return Loss(True, True, text)
    if pace is not None and not pace.lossless:
        return Loss(
            False, False, f"{text}: the path loses frames at any pace: {pace.reason} with them off"
        )
    return Loss(False, p >= _UNDECIDED, text)


def sends_again(cell: Cell, evidence: Evidence, reference: Reference | None) -> bool:
    """Returns whether one more burst is to show who loses the frames of a cell.

    Arguments as for `loss_of`.
    """
    bursts = evidence.bursts
    sums = total(bursts)
    if reference is None or sums.bad or not 0 < len(bursts) < _MOST_BURSTS:
        return False
    lost = sums.lost - min(sums.lost, sums.peer_dropped)
    found = loss_of(cell, evidence, reference)
    if not lost or found is None or cell.flow.load == "load":
        return False
    p = fisher(lost, sums.submitted, reference.lost, reference.frames)
    if p < LEVEL:  # a second burst shows whether it recurs, a third one that it does not
        return len(bursts) == 1 or (len(bursts) == 2 and not found.blamed)
    return p < _DOUBTFUL


def _lost(burst: Burst) -> int:
    sums = total((burst,))
    return sums.lost - min(sums.lost, sums.peer_dropped)


def _dropped(bursts: tuple[Burst, ...], dropped: int) -> str:
    names = ", ".join(
        f"{name} {count:,}" for name, count in sorted(peer_drops(bursts).items()) if count
    )
    return f"the peer dropped {dropped:,} frames ({names})"
