"""Exact statistics of counts: intervals of a rate, and tails of two distributions. Pure.

`scipy.special` is all of SciPy that is needed here: `scipy.stats` takes 0.35 s longer to import.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp, fsum, lgamma
from typing import Literal, TypeVar

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True)
class Rate:
    """A share of frames with its exact interval.

    Attributes:
        value: Bad frames divided by frames; None where there are no frames.
        low: Lower Clopper-Pearson bound.
        high: Upper Clopper-Pearson bound. Without a bad frame, the rate that is excluded.
    """

    value: float | None
    low: float
    high: float


UNKNOWN = Rate(None, 0.0, 1.0)
"""The rate where there are no frames."""


def rate(bad: int, frames: int, confidence: float) -> Rate:
    """Returns the share of bad frames with the interval of Clopper and Pearson.

    The interval is two-sided (Biometrika 26, 1934), and one-sided where no frame is bad.

    Args:
        bad: Frames with a fault.
        frames: Frames checked.
        confidence: Confidence of the interval, for example 0.999.
    """
    if frames == 0:
        return UNKNOWN
    # `scipy.stats.binomtest` has the same interval, but finds it by bisection. Workers that never
    # judge a cell do not need SciPy at all.
    from scipy.special import betaincinv  # noqa: PLC0415

    error = 1 - confidence if bad == 0 else (1 - confidence) / 2
    low = betaincinv(bad, frames - bad + 1, error) if bad else 0.0
    high = betaincinv(bad + 1, frames - bad, 1 - error) if bad < frames else 1.0
    return Rate(bad / frames, float(low), float(high))


def rate_after(bad: int, frames: int, confidence: float, looks: int) -> Rate:
    """Returns the interval of a rate that was computed repeatedly to decide whether to go on.

    Without a bad frame repeated looks need no correction: whoever stops at the first bad frame sees
    n clean ones with probability (1 - p)**n, after one look or after n. With bad frames, the k-th
    look spends 1 / (k * (k + 1)) of the error allowed. These shares sum to 1 over any number of
    looks, so that the intervals of all looks hold together at the confidence, whenever one stops
    (Darling and Robbins, "Confidence sequences for mean, variance, and median", PNAS 58, 1967).

    Args:
        bad: Frames with a fault.
        frames: Frames checked.
        confidence: Confidence of the interval, for example 0.999.
        looks: Number of decisions so far whether to go on, including this one.
    """
    looks = max(1, looks)
    error = (1 - confidence) / (looks * (looks + 1)) if bad else 1 - confidence
    return rate(bad, frames, 1 - error)


def binomial_tail(least: int, of: int, probability: float) -> float:
    """Returns the probability of at least `least` successes in `of` independent trials.

    Args:
        least: Number of successes; 0 or less is certain.
        of: Number of trials.
        probability: Of a success in one trial. Values above 1 count as 1.
    """
    # The value of `scipy.stats.binom.sf(least - 1, ...)`, which takes 30 times as long for a call
    # and is asked for each hypothesis of a signature.
    from scipy.special import bdtrc  # noqa: PLC0415

    return float(bdtrc(least - 1, of, min(1.0, probability)))


@lru_cache(maxsize=4096)
def fisher(bad: int, frames: int, rest_bad: int, rest: int) -> float:
    """Returns the one-sided p-value of Fisher's exact test.

    It is the probability of at least `bad` bad frames among `frames`, given all the counts, where
    both groups have the same rate (R. A. Fisher, "Statistical Methods for Research Workers", 5th
    edition, 1934, section 21.02).

    Args:
        bad: Bad frames of the group that is expected to be worse.
        frames: All frames of that group.
        rest_bad: Bad frames of the other group.
        rest: All frames of the other group.
    """
    # The value of `scipy.stats.fisher_exact(..., alternative="greater")`, without the import of
    # `scipy.stats`, which takes longer than everything else that a comparison of two runs does.
    wrong, total = bad + rest_bad, frames + rest
    if bad * total <= wrong * frames:  # not worse than the other group: from the other end
        return 1.0 - _tail(bad - 1, wrong, frames, total, step=-1)
    return _tail(bad, wrong, frames, total, step=1)


def _tail(first: int, wrong: int, frames: int, total: int, *, step: Literal[1, -1]) -> float:
    """Returns the probability of `first` wrong frames in a group, or of more, or of fewer.

    It is that of the hypergeometric distribution: each number's from that of the one before.

    Args:
        first: Wrong frames of the group.
        wrong: Wrong frames in all.
        frames: Frames of the group.
        total: Frames in all.
        step: 1 for this many or more, -1 for this many or fewer.
    """
    least, most = max(0, wrong + frames - total), min(wrong, frames)
    if not least <= first <= most:
        return 0.0
    right = total - wrong
    term = exp(
        _log_choices(wrong, first)
        + _log_choices(right, frames - first)
        - _log_choices(total, frames)
    )
    terms = [term]
    while first != (most if step > 0 else least) and term > terms[0] * 1e-18:
        if step > 0:
            term *= (wrong - first) * (frames - first)
            term /= (first + 1) * (right - frames + first + 1)
        else:
            term *= first * (right - frames + first)
            term /= (wrong - first + 1) * (frames - first + 1)
        first += step
        terms.append(term)
    return min(1.0, fsum(terms))


def _log_choices(of: int, some: int) -> float:
    return lgamma(of + 1) - lgamma(some + 1) - lgamma(of - some + 1)


def holm(values: Mapping[Name, float], level: float) -> frozenset[Name]:
    """Returns which of many hypotheses are rejected, so that all are right with 1 - `level`.

    The procedure of Holm ("A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics 6, 1979): the smallest p-value is compared with level / n, the next one
    with level / (n - 1), and so on until one is not below its bound.

    Args:
        values: The p-value of each hypothesis.
        level: Probability with which any true one may be rejected.
    """
    rejected = set()
    for tested, (name, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        if value > level / (len(values) - tested):
            break
        rejected.add(name)
    return frozenset(rejected)
