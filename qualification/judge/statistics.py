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
    # Slow to import, and a worker that never judges need not. scipy.stats has the same interval in
    # `binomtest`, takes four times as long to import, and finds it by bisection.
    from scipy.special import betaincinv  # noqa: PLC0415

    error = 1 - confidence if bad == 0 else (1 - confidence) / 2
    low = betaincinv(bad, frames - bad + 1, error) if bad else 0.0
    high = betaincinv(bad + 1, frames - bad, 1 - error) if bad < frames else 1.0
    return Rate(bad / frames, float(low), float(high))


def rate_after(bad: int, frames: int, confidence: float, looks: int) -> Rate:
    """The interval of a rate where it was looked at more than once, and going on depended on it.

    Of no bad frame nothing has to be paid for looking: whoever stops at the first bad frame sees n
    clean ones with probability (1 - p)**n, looked at once or n times. With bad frames, the k-th
    look spends 1 / (k * (k + 1)) of the error allowed; these sum to 1 over all looks there may ever
    be, so that the intervals of all looks hold together at the confidence, whenever one stops
    (Darling and Robbins, "Confidence sequences for mean, variance, and median", PNAS 58, 1967).

    Args:
        bad: Frames with a fault.
        frames: Frames looked at.
        confidence: Such as 0.999.
        looks: How often it was decided whether to go on, this time included.
    """
    looks = max(1, looks)
    error = (1 - confidence) / (looks * (looks + 1)) if bad else 1 - confidence
    return rate(bad, frames, 1 - error)
