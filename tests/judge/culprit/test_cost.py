"""What a mitigation costs, from turns to a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.culprit.cost import Cost, CostTurns, costs, summarise
from qualification.judge.culprit.findings import CulpritFindings, Mitigation
from qualification.messages.throughput import Throughput

OFF = ("tx-udp_tnl-csum-segmentation",)


def turns(on: list[tuple[int, float]], off: list[tuple[int, float]], pair: str = "x") -> CostTurns:
    """Turns of half a second: bytes, and CPU seconds."""
    made = [tuple(Throughput(octets, 0.5, cpu) for octets, cpu in some) for some in (on, off)]
    return CostTurns(pair, OFF, "outer4-csum/inner4/tcp", made[0], made[1])


def test_the_median_counts_and_the_spread_is_told() -> None:
    found = summarise(
        turns(
            [(100_000_000, 0.2), (110_000_000, 0.22), (10_000_000, 0.3)],
            [(88_000_000, 0.2464), (90_000_000, 0.2), (80_000_000, 0.3)],
        )
    )
    assert found.throughput_all_on.median == pytest.approx(1.6e9)
    assert (found.throughput_all_on.least, found.throughput_all_on.greatest) == (
        pytest.approx(0.16e9),
        pytest.approx(1.76e9),
    )
    assert found.throughput_mitigated.median == pytest.approx(1.408e9)
    assert found.throughput_loss == pytest.approx(12.0)
    assert found.cpu_all_on.median == pytest.approx(2.0)
    assert found.cpu_mitigated.median == pytest.approx(2.8)
    assert found.cpu_increase == pytest.approx(40.0)
    assert str(found) == "costs 12 % of throughput, 1.4 times the CPU per byte"


@pytest.mark.parametrize(
    ("on", "off", "said"),
    [
        (100, 100, "costs 0 % of throughput, 1 times"),
        (100, 130, "gains 30 % of throughput, "),
        (100, 420, "gives 4.2 times the throughput, "),
        (0, 10**9, "gives over 100 times the throughput, "),
        (100, 0, "costs 99 % of throughput, "),
        (10**9, 0, "costs 100 % of throughput, "),
    ],
)
def test_what_it_says(on: int, off: int, said: str) -> None:
    assert str(summarise(turns([(on, 0.1)], [(off, 0.1)]))).startswith(said)


@pytest.mark.parametrize(
    ("on", "off", "said"),
    [(0.1, 1e-7, "under 0.01"), (0.1, 0.001, "0.01"), (0.1, 0.1, "1"), (1e-3, 5.0, "over 100")],
)
def test_how_it_says_what_cpu_it_takes(on: float, off: float, said: str) -> None:
    found = summarise(turns([(100, on)], [(100, off)]))
    assert str(found) == f"costs 0 % of throughput, {said} times the CPU per byte"


@given(st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 1e3)), min_size=1))
def test_it_is_always_finite_and_nothing_changes_nothing(some: list[tuple[int, float]]) -> None:
    found = summarise(turns(some, some))
    assert (found.throughput_loss, found.cpu_increase) == (0, 0)
    zero = summarise(turns(some, [(0, 0.0)] * len(some)))
    assert float("-inf") < zero.cpu_increase < float("inf")
    assert str(zero)


def findings(pair: str, *off: str) -> CulpritFindings:
    return CulpritFindings(pair, {}, (), Mitigation(off, (), 1, 1) if off else None, 0)


def test_only_what_was_measured_of_this_mitigation_counts() -> None:
    measured = {pair: turns([(1, 0.1)], [(1, 0.1)], pair) for pair in ("same", "other", "none")}
    found = [findings("same", *OFF), findings("other", "tx-tcp-segmentation"), findings("none")]
    made: tuple[Cost, ...] = costs([*found, findings("unmeasured", *OFF)], measured)
    assert [cost.pair for cost in made] == ["same"]
