"""Whose frames were lost: the NIC's, the path's, or the peer's. Pure.

The NIC is blamed for what it loses beyond chance more than the same pair lost with every offload
off, and not for frames that the peer's NIC or kernel counted as dropped. The controls are minutes
older than a cell, and a path may have begun to lose since: before a NIC is blamed, bursts without
any offload are sent in turn with those of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

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
_ENOUGH = 2
"""Bursts beside a single lossy one that show that its loss does not recur."""
_TURNS_LEVEL, _HOPELESS = 0.01, 0.3
"""p-values of `_against_turns`: below the first one the losses come with the offloads, above the
second one more bursts would not show that they do."""
_LEAST_TURNS, _MOST_TURNS = 4, 14
"""How often bursts without offloads and with them take turns."""


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

    def extended(self, bursts: tuple[Burst, ...]) -> Reference:
        """Returns the reference with more bursts that were sent with every offload off."""
        sums = total(bursts)
        return replace(self, frames=self.frames + sums.submitted, lost=self.lost + _lost_of(bursts))


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
    reference = reference.extended(evidence.without)
    text = "; ".join([f"{text}, {reference}", *parts])
    pace = reference.pace
    if cell.flow.load == "load" and pace is not None and (pace.lowered or not pace.lossless):
        return Loss(False, True, f"{text}: sent faster than the path carries: {pace}")
    p = fisher(lost, sums.submitted, reference.lost, reference.frames)
    if p < LEVEL:
        bursts, turns = evidence.bursts, len(evidence.without)
        if _once_only(bursts):
            # A host that got no CPU for a while loses many frames at once, and then no more.
            text += f", all in one burst, and none in {len(bursts) - 1} more"
            return Loss(False, len(bursts) > _ENOUGH, text)
        if cell.all_off:
            return Loss(False, False, f"{text} before: the path loses frames at times")
        if _against_turns(evidence) >= _TURNS_LEVEL:
            text += f", which took turns with it {turns} times: the path loses frames at times"
            return Loss(False, False, text)
        return Loss(True, True, text)
    if pace is not None and not pace.lossless:
        return Loss(
            False, False, f"{text}: the path loses frames at any pace: {pace.reason} with them off"
        )
    return Loss(False, p >= _UNDECIDED, text)


def next_burst(
    cell: Cell, evidence: Evidence, reference: Reference | None
) -> Literal["on", "turn"] | None:
    """Returns what is to show next who loses the frames of a cell; None where that is clear.

    "on" is one more burst of the cell; "turn" is a burst with every offload off, then one of the
    cell. Arguments as for `loss_of`.
    """
    bursts, turns = evidence.bursts, len(evidence.without)
    lost = _lost_of(bursts)  # what the peer dropped is the peer's
    if reference is None or not lost or total(bursts).bad:
        return None
    found = loss_of(cell, evidence, reference)
    compared = reference.extended(evidence.without)
    p = fisher(lost, total(bursts).submitted, compared.lost, compared.frames)
    if found is None or p >= _DOUBTFUL or (found.decided and not found.blamed and p < LEVEL):
        return None
    if cell.flow.load != "load" and not turns:
        if len(bursts) == 1 or (_once_only(bursts) and len(bursts) <= _ENOUGH):
            return "on"
        if _once_only(bursts):
            return None
    if cell.all_off:
        return None
    settled = found.blamed or _against_turns(evidence) >= _HOPELESS
    return None if turns >= (_LEAST_TURNS if settled else _MOST_TURNS) else "turn"


def _once_only(bursts: tuple[Burst, ...]) -> bool:
    """Returns whether one of several bursts lost frames, and no other."""
    return len(bursts) > 1 and sum(map(bool, map(_lost, bursts))) == 1


def _against_turns(evidence: Evidence) -> float:
    """Returns the p-value of the losses of a cell against those of bursts that took turns with it.

    Frames are lost many at once, so it is the bursts that are counted: those of the cell that lost
    a larger share than every burst without offloads (L. Nelson, "Precedence life test", 1963). It
    is 0 where no burst took turns.
    """
    if not evidence.without:
        return 0.0
    worst = max(map(_share_lost, evidence.without))
    above = sum(_share_lost(burst) > worst for burst in evidence.bursts)
    return fisher(above, len(evidence.bursts), 0, len(evidence.without))


def _share_lost(burst: Burst) -> float:
    return _lost(burst) / max(1, burst.sent.submitted.frames)


def _lost(burst: Burst) -> int:
    return _lost_of((burst,))


def _lost_of(bursts: tuple[Burst, ...]) -> int:
    """Returns the frames of bursts that were lost and that the peer did not count as dropped."""
    sums = total(bursts)
    return sums.lost - min(sums.lost, sums.peer_dropped)


def _dropped(bursts: tuple[Burst, ...], dropped: int) -> str:
    names = ", ".join(
        f"{name} {count:,}" for name, count in sorted(peer_drops(bursts).items()) if count
    )
    return f"the peer dropped {dropped:,} frames ({names})"
