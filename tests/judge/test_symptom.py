"""The figures of calls, and the sentences on them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.symptom import CallRun, Runs, figures, summarise
from qualification.messages.calls import Calls, ChannelCalls, Served

WAYS = ("outer4-csum/inner4", "outer4-nocsum/inner4")
FAST = ChannelCalls(latencies=(0.001,) * 50, segments=500)
GOOD = CallRun(WAYS, Calls((FAST,) * 4, 0.1), Served(200, 0, 2000, 0))
COUNT = st.integers(0, 5)
CHANNELS = st.lists(
    st.builds(
        ChannelCalls,
        st.lists(st.floats(1e-5, 0.999), max_size=20).map(tuple),
        COUNT,
        COUNT,
        COUNT,
        st.integers(0, 1000),
        st.integers(0, 1000),
    ),
    min_size=1,
    max_size=9,
)


def run(*channels: ChannelCalls, corrupt_requests: int = 0) -> CallRun:
    return replace(GOOD, client=Calls(channels, 1.0), server=Served(0, corrupt_requests, 100, 7))


def test_a_healthy_pair() -> None:
    symptom = summarise("soft", Runs(1.0, GOOD, GOOD, GOOD))
    assert symptom.pair == "soft"
    assert symptom.errors == (
        "none of 200 calls missed its 1 s deadline through the tunnel with all offloads on; "
        "none with all off, none on one host"
    )
    one = "p50 1 ms, p99 1 ms, p99.9 1 ms, 0 of 2,000 segments sent again"
    assert symptom.pace == f"all on: {one}; all off: {one}; one host: {one}"
    assert (symptom.tunnel.calls, symptom.tunnel.errors, symptom.tunnel.errors_by_way) == (
        200,
        0,
        {},
    )


def test_missed_deadlines_are_symptom_with_the_way_that_they_took() -> None:
    slow = replace(FAST, latencies=(0.3,) * 47, missed=3, retransmitted=90)
    symptom = summarise("soft", Runs(0.5, run(slow, FAST, FAST, FAST), GOOD, GOOD))
    assert symptom.errors == (
        "3 (1.5 %) of 200 calls missed their 0.5 s deadline through the tunnel with all offloads "
        "on (3 of 100 over outer4-csum/inner4); none with all off, none on one host"
    )
    assert symptom.pace.startswith(
        "all on: p50 1 ms, p99 >500 ms, p99.9 >500 ms, 90 of 2,000 segments sent again; all off: "
    )
    assert symptom.tunnel.peer_retransmitted == 7


def test_other_errors_are_called_failed_and_changed_messages_are_symptom() -> None:
    bad = ChannelCalls(latencies=(0.001,) * 8, missed=1, broken=1, corrupt=2)
    symptom = summarise("soft", Runs(1.0, run(bad, corrupt_requests=1), GOOD, GOOD))
    assert symptom.errors == (
        "4 (33.3 %) of 12 calls failed through the tunnel with all offloads on (4 of 12 over "
        "outer4-csum/inner4); none with all off, none on one host; 3 messages arrived changed"
    )


def test_errors_elsewhere_are_not_hidden() -> None:
    lossy = run(replace(FAST, missed=50))
    symptom = summarise("soft", Runs(1.0, GOOD, lossy, lossy))
    assert symptom.errors == (
        "none of 200 calls missed their 1 s deadline through the tunnel with all offloads on; "
        "50 (50 %) with all off, 50 (50 %) on one host"
    )


def test_the_worst_ways_are_named_first_and_the_rest_counted() -> None:
    channels = [replace(FAST, missed=missed) for missed in (1, 50, 0, 2, 1)]
    some = replace(
        GOOD, ways=tuple(f"way{number}" for number in range(5)), client=Calls(tuple(channels), 1.0)
    )
    symptom = summarise("soft", Runs(1.0, some, GOOD, GOOD))
    assert "(50 of 100 over way1, 2 of 52 over way3, 2 more ways)" in symptom.errors


@pytest.mark.parametrize("latencies", [(), (0.2,)])
def test_too_few_calls_for_a_quantile(latencies: tuple[float, ...]) -> None:
    few = run(ChannelCalls(latencies))
    symptom = summarise("soft", Runs(1.0, few, few, few))
    assert (symptom.tunnel.p50, symptom.tunnel.p99, symptom.tunnel.p999) == (None, None, None)
    assert "p99 unknown" in symptom.pace


@given(CHANNELS)
def test_every_call_is_counted_once(channels: list[ChannelCalls]) -> None:
    made = figures(run(*channels), 1.0)
    answered = [seconds for channel in channels for seconds in channel.latencies]
    assert made.calls == len(answered) + made.errors
    assert made.errors == sum(errors for errors, _ in made.errors_by_way.values())
    assert all(0 < errors <= calls for errors, calls in made.errors_by_way.values())
    if made.p50 is not None and made.p99 is not None and made.p999 is not None:
        took = [*answered, *[1.0] * made.errors]
        stairs = [min(took), made.p50, made.p99, made.p999, max(took)]
        assert all(low <= high + 1e-6 for low, high in pairwise(stairs))
        # Nothing that an error took is left out, as it would be by those who count answers alone.
        assert made.errors * 10 < made.calls * 9 or made.p50 == 1.0


@given(st.integers(2, 400), st.floats(0.01, 100).map(lambda seconds: round(seconds, 3)))
def test_where_every_call_is_in_error_every_quantile_is_the_deadline(
    errors: int, deadline: float
) -> None:
    made = figures(run(ChannelCalls(missed=errors)), deadline)
    assert (made.p50, made.p99, made.p999) == (deadline, deadline, deadline)
