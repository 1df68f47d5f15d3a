"""Judges the control of injected frames, which are wrong or right on purpose."""

from __future__ import annotations

from collections.abc import Mapping

from qualification.judge.evidence import Burst, total

from .result import ControlResult


def judge_injected(
    expected: Mapping[str, int], good: int, bursts: Mapping[str, Burst]
) -> ControlResult:
    """Judges injected frames: the capture must see those as wrong that are, and no others.

    Args:
        expected: Number of frames made wrong on purpose, by the one layer that is wrong in them.
        good: Number of frames made right.
        bursts: What the capture saw of them, by flow.
    """
    bad = sum(expected.values())
    seen = total(tuple(bursts.values()))

    def ends(trusted: bool, reason: str) -> ControlResult:
        lost = max(0, bad + good - seen.frames)
        return ControlResult(
            "injected", trusted, reason, seen.frames, seen.bad, lost, bursts, expected, good
        )

    if not bad or not good:
        return ends(False, "no frame was injected that could have shown anything")

    if seen.frames < bad + good:
        return ends(False, f"{seen.frames} of {bad + good} injected frames arrived")
    missed = [layer for layer, count in expected.items() if seen.bad_layers.get(layer, 0) < count]
    if missed:
        return ends(
            False,
            f"frames made wrong on purpose were not seen as wrong: {', '.join(missed)}; "
            "something between sender and capture repairs checksums",
        )
    if seen.bad != bad:
        return ends(False, f"{seen.bad} frames are called wrong where {bad} were made so")
    return ends(
        True, f"{bad} frames made wrong on purpose, and {good} right ones, all seen as such"
    )
