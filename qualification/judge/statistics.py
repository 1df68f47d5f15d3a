"""What a count of bad frames says about a rate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """A share of frames with its exact interval.

    Attributes:
        value: Bad frames by frames; None of no frames.
        low: Lower Clopper–Pearson bound.
        high: Upper one: with no bad frame, the rate that is excluded.
    """

    value: float | None
    low: float
    high: float


UNKNOWN = Rate(None, 0.0, 1.0)
"""The rate of no frames."""


def rate(bad: int, frames: int, confidence: float) -> Rate:
    """The two-sided interval of Clopper and Pearson (Biometrika 26, 1934); one-sided for zero bad.

    Args:
        bad: Frames with a fault.
        frames: Frames looked at.
        confidence: Such as 0.999.
    """
    if frames == 0:
        return UNKNOWN
    # Slow to import, and a worker that never judges need not.
    from scipy.stats import binomtest  # noqa: PLC0415

    test = binomtest(bad, frames, alternative="less" if bad == 0 else "two-sided")
    interval = test.proportion_ci(confidence, "exact")
    return Rate(bad / frames, float(interval.low), float(interval.high))
