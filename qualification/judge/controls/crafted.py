"""Judges the controls of crafted packet sets, and the one of frames behind a VLAN tag."""

from __future__ import annotations

from collections.abc import Mapping

from qualification.judge.evidence import Burst, left_to_nic, total
from qualification.plan.cells import TAGGED

from .result import ControlResult
from .traffic import blocked


def judge_crafted(bursts: Mapping[str, Burst], name: str = "crafted") -> ControlResult:
    """Judges crafted packet sets with every offload off, where the kernel makes every frame.

    It shows that the expected frames of a crafted packet set are what the kernel makes of it.

    Args:
        bursts: One for each crafted packet set, by its flow's id.
        name: "crafted", or `TAGGED` for flows behind a VLAN tag, which a path need not let through.
    """
    sums = total(tuple(bursts.values()))

    def ends(trusted: bool, reason: str, *, blocked: bool = False) -> ControlResult:
        counts = sums.frames, sums.bad, sums.lost
        return ControlResult(name, trusted, reason, *counts, bursts, blocked=blocked)

    for flow, burst in bursts.items():
        seen = burst.received.captured
        if seen.bad and not left_to_nic(burst):
            first = seen.samples[0].findings[-1] if seen.samples else "?"
            return ends(
                False,
                f"{seen.bad:,} of {seen.frames:,} frames of {flow} are not as expected with every "
                f"offload off; the first: {first}",
            )
        why = crafted_blocked(flow, burst)
        if why is not None:
            # That a path takes no tags shows only where it takes none of the frames that have one.
            none_arrived = burst.sent.submitted.frames > 0 == seen.frames
            return ends(False, why, blocked=name == TAGGED and none_arrived)
    if sums.drops or sums.unjudged:
        return ends(
            False,
            f"the capture lost {sums.drops:,} frames, "
            f"and {sum(sums.unjudged.values()):,} cannot be judged",
        )
    lost = f"; {sums.lost:,} lost on the way" if sums.lost else ""
    if sums.bad:
        return ends(
            True,
            f"{sums.bad:,} of {sums.frames:,} frames are not as expected, of those that the kernel "
            f"left to the NIC, which has a feature fixed on: the path is not to blame{lost}",
        )
    return ends(True, f"{sums.frames:,} frames, each as expected{lost}")


def crafted_blocked(flow: str, burst: Burst) -> str | None:
    """Returns a sentence on why a crafted packet set does not get through; None if it does.

    Buffers that the kernel does not take say nothing about the path.

    Args:
        flow: Its id.
        burst: What was sent and seen of it.
    """
    return blocked(flow, burst, None) if burst.sent.written else None


def no_tags(why: str, *, blocked: bool = True) -> ControlResult:
    """Returns the control for tags where no frame could be given one.

    Args:
        why: The reason, in a sentence.
        blocked: Whether a host's kernel has no tags at all. Any other reason is the lab's, and
            says nothing about tags.
    """
    return ControlResult(TAGGED, False, why, blocked=blocked)
