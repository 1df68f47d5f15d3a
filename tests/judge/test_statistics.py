"""Intervals against the formula of the books, and against what they promise."""

from __future__ import annotations

import math
import subprocess
import sys
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom

from qualification.judge.statistics import Rate, binomial_tail, fisher, rate
from qualification.judge.verdict import Demand, percent
from qualification.plan.cells import frames_needed

CONFIDENCE = st.floats(0.5, 0.9999)


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    frames = draw(st.integers(1, 200_000))
    return draw(st.integers(0, frames) | st.integers(0, min(frames, 20))), frames


@given(counts(), CONFIDENCE)
def test_clopper_and_pearson(found: tuple[int, int], confidence: float) -> None:
    bad, frames = found
    result = rate(bad, frames, confidence)
    tail = (1 - confidence) / 2 if bad else 1 - confidence
    low = beta.ppf(tail, bad, frames - bad + 1) if bad else 0.0
    high = beta.ppf(1 - tail, bad + 1, frames - bad) if bad < frames else 1.0
    assert result.value == bad / frames
    assert math.isclose(result.low, low, rel_tol=1e-6, abs_tol=1e-12)
    assert math.isclose(result.high, high, rel_tol=1e-6, abs_tol=1e-12)


@given(counts(), CONFIDENCE)
def test_the_interval_holds_the_rate(found: tuple[int, int], confidence: float) -> None:
    bad, frames = found
    result = rate(bad, frames, confidence)
    assert result.value is not None
    assert 0 <= result.low <= result.value <= result.high <= 1


@given(counts(), CONFIDENCE)
def test_its_ends_are_where_the_doubt_is_used_up(found: tuple[int, int], confidence: float) -> None:
    """Independent of beta: at each end, what was seen is just as unlikely as was allowed."""
    bad, frames = found
    result = rate(bad, frames, confidence)
    tail = (1 - confidence) / 2 if bad else 1 - confidence
    if bad > 0:
        assert math.isclose(binom.sf(bad - 1, frames, result.low), tail, rel_tol=1e-4)
    if bad < frames:
        assert math.isclose(binom.cdf(bad, frames, result.high), tail, rel_tol=1e-4)


@given(st.floats(1e-4, 0.2), st.floats(0.5, 0.9999))
def test_the_frames_needed_exclude_the_rate_and_one_fewer_do_not(
    share: float, confidence: float
) -> None:
    frames = frames_needed(share, confidence)
    assert rate(0, frames, confidence).high <= share * (1 + 1e-9)
    if frames > 1:
        assert rate(0, frames - 1, confidence).high > share * (1 - 1e-9)


@given(st.integers(-1, 80), st.integers(0, 80), st.floats(0, 1.5))
def test_binomial_tail(least: int, of: int, probability: float) -> None:
    expected = binom.sf(min(least, of + 1) - 1, of, min(1.0, probability))
    found = binomial_tail(min(least, of + 1), of, probability)
    assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-250)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_fisher(bad: int, good: int, rest_bad: int, rest_good: int) -> None:
    """Against whole numbers: all ways to choose the bad frames, and those as extreme."""
    frames, rest, wrong = bad + good, rest_bad + rest_good, bad + rest_bad
    ways = sum(
        math.comb(frames, k) * math.comb(rest, wrong - k)
        for k in range(bad, min(frames, wrong) + 1)
    )
    expected = Fraction(ways, math.comb(frames + rest, wrong))
    assert math.isclose(fisher(bad, frames, rest_bad, rest), expected, rel_tol=1e-6)


COUNT = st.integers(0, 20_000)


@given(COUNT, COUNT, COUNT, COUNT)
def test_fisher_is_that_of_scipy(bad: int, good: int, rest_bad: int, rest_good: int) -> None:
    from scipy.stats import fisher_exact  # noqa: PLC0415

    expected = fisher_exact([[bad, good], [rest_bad, rest_good]], alternative="greater").pvalue
    found = fisher(bad, bad + good, rest_bad, rest_bad + rest_good)
    assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-200)


def test_cells_are_judged_without_scipy_stats() -> None:
    """It takes 0.35 s to import."""
    program = (
        "import sys\n"
        "from qualification.judge.statistics import binomial_tail, fisher, rate_after\n"
        "from qualification.judge import outcome\n"
        "rate_after(0, 7000, 0.999, 3), binomial_tail(1, 20, 0.01), fisher(3, 9, 1, 9)\n"
        "assert 'scipy.special' in sys.modules\n"
        "assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_known_values() -> None:
    assert rate(0, 0, 0.95) == Rate(None, 0.0, 1.0)
    # The rule of three: 3 / n at 95 %.
    assert rate(0, 1000, 0.95).high == pytest.approx(0.002991, abs=1e-6)
    found = rate(10, 100, 0.95)
    assert (found.low, found.high) == (
        pytest.approx(0.0490, abs=1e-4),
        pytest.approx(0.1762, abs=1e-4),
    )
    assert rate(7, 7, 0.9).high == 1.0


def test_demand() -> None:
    assert Demand().frames == 6905
    assert Demand(1e-4, 0.999).frames == 69_075


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.01, "1 %"), (0.0345678, "3.46 %"), (1e-4, "0.01 %"), (0.0, "0 %"), (1.0, "100 %")],
)
def test_percent(share: float, said: str) -> None:
    assert percent(share) == said


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_percent_is_near(part: int, whole: int) -> None:
    share = Fraction(min(part, whole), whole)
    assert float(percent(float(share)).removesuffix(" %")) / 100 == pytest.approx(
        float(share), rel=0.01
    )
