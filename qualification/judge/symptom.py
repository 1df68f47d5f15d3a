"""What an application would notice of a NIC. It decides nothing: verdicts come from the wire."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import quantiles

from qualification.messages.calls import Calls, ChannelCalls, Served

from .verdict import percent

_MOST_NAMED = 2


@dataclass(frozen=True)
class CallRun:
    """One run of calls as both ends saw it.

    Attributes:
        ways: Names of the ways that its channels took, in turn, for example "outer4-csum/inner6".
        client: What the client on the DUT's host reports.
        server: What the server reports.
    """

    ways: tuple[str, ...]
    client: Calls
    server: Served


@dataclass(frozen=True)
class Runs:
    """The same calls in three places.

    Attributes:
        deadline: Seconds after which a call counts as an error.
        tunnel: Through the tunnel, with every offload of the DUT on.
        all_off: Through the tunnel, with every offload of the DUT off.
        one_host: With both ends on the DUT's host, without a NIC.
    """

    deadline: float
    tunnel: CallRun
    all_off: CallRun
    one_host: CallRun


@dataclass(frozen=True)
class CallFigures:
    """The figures of one run of calls.

    Attributes:
        calls: Calls made.
        errors: Calls among them that missed their deadline, broke, or brought a wrong answer.
        missed: Errors that are missed deadlines.
        corrupt: Messages that arrived, at either end, with other bytes than were sent.
        p50: Median latency, seconds. A call in error counts as the deadline: it took no less.
        p99: The 99th percentile of the latency, seconds; null for fewer than two calls.
        p999: The 99.9th percentile; for fewer than 1,000 calls it is near the longest.
        segments: TCP segments of data that the DUT's host sent.
        retransmitted: Segments that it sent again.
        peer_retransmitted: Segments that the server sent again.
        errors_by_way: Errors and calls of the ways that had errors.
    """

    calls: int
    errors: int
    missed: int
    corrupt: int
    p50: float | None
    p99: float | None
    p999: float | None
    segments: int
    retransmitted: int
    peer_retransmitted: int
    errors_by_way: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Symptom:
    """Calls through a pair's tunnel, compared with calls that no offload can spoil.

    Attributes:
        pair: Name of the pair.
        deadline: Seconds after which a call counts as an error.
        tunnel: Through the tunnel, with every offload of the DUT on.
        all_off: Through the tunnel, with every offload of the DUT off.
        one_host: With both ends on the DUT's host.
        errors: A sentence on errors, for people.
        pace: A sentence on latencies and retransmissions.
    """

    pair: str
    deadline: float
    tunnel: CallFigures
    all_off: CallFigures
    one_host: CallFigures
    errors: str
    pace: str


def summarise(pair: str, runs: Runs) -> Symptom:
    """Returns the comparison of the three runs of a pair.

    Args:
        pair: Name of the pair.
        runs: The runs.
    """
    tunnel, all_off, one_host = (
        figures(run, runs.deadline) for run in (runs.tunnel, runs.all_off, runs.one_host)
    )
    return Symptom(
        pair,
        runs.deadline,
        tunnel,
        all_off,
        one_host,
        errors=_errors(tunnel, all_off, one_host, runs.deadline),
        pace=_pace(tunnel, all_off, one_host, runs.deadline),
    )


def figures(run: CallRun, deadline: float) -> CallFigures:
    """Returns the figures of a run.

    Args:
        run: The run.
        deadline: Seconds after which a call counts as an error.
    """
    channels = run.client.channels
    by_way: dict[str, tuple[int, int]] = {}
    for number, channel in enumerate(channels):
        way = run.ways[number % len(run.ways)]
        errors, calls = by_way.get(way, (0, 0))
        by_way[way] = errors + _errors_of(channel), calls + _calls_of(channel)
    errors = sum(map(_errors_of, channels))
    took = [seconds for channel in channels for seconds in channel.latencies] + [deadline] * errors
    # Inclusive, so that no percentile exceeds the longest latency. Rounded to the microsecond, so
    # that interpolating between two deadlines gives the deadline.
    cuts = (
        [round(cut, 6) for cut in quantiles(took, n=1000, method="inclusive")] if took[1:] else ()
    )
    return CallFigures(
        calls=sum(map(_calls_of, channels)),
        errors=errors,
        missed=sum(channel.missed for channel in channels),
        corrupt=sum(channel.corrupt for channel in channels) + run.server.corrupt,
        p50=cuts[499] if cuts else None,
        p99=cuts[989] if cuts else None,
        p999=cuts[998] if cuts else None,
        segments=sum(channel.segments for channel in channels),
        retransmitted=sum(channel.retransmitted for channel in channels),
        peer_retransmitted=run.server.retransmitted,
        errors_by_way={way: counts for way, counts in by_way.items() if counts[0]},
    )


def _errors_of(channel: ChannelCalls) -> int:
    return channel.missed + channel.broken + channel.corrupt


def _calls_of(channel: ChannelCalls) -> int:
    return len(channel.latencies) + _errors_of(channel)


def _errors(
    tunnel: CallFigures, all_off: CallFigures, one_host: CallFigures, deadline: float
) -> str:
    late = all(run.missed == run.errors for run in (tunnel, all_off, one_host))
    what = f"missed their {deadline:g} s deadline" if late else "failed"
    if not (tunnel.errors or all_off.errors or one_host.errors):
        return (
            f"none of {tunnel.calls:,} calls {what.replace('their', 'its')} through the tunnel "
            "with all offloads on; none with all off, none on one host"
        )
    ways = sorted(tunnel.errors_by_way.items(), key=lambda item: -item[1][0] / item[1][1])
    named = [f"{errors} of {calls} over {way}" for way, (errors, calls) in ways[:_MOST_NAMED]]
    more = [f"{len(ways) - _MOST_NAMED} more ways"] if len(ways) > _MOST_NAMED else []
    where = f" ({', '.join(named + more)})" if named else ""
    corrupt = f"; {tunnel.corrupt:,} messages arrived changed" if tunnel.corrupt else ""
    return (
        f"{_share(tunnel)} of {tunnel.calls:,} calls {what} through the tunnel with all offloads "
        f"on{where}; {_share(all_off)} with all off, {_share(one_host)} on one host{corrupt}"
    )


def _share(run: CallFigures) -> str:
    return f"{run.errors:,} ({percent(run.errors / run.calls)})" if run.errors else "none"


def _pace(tunnel: CallFigures, all_off: CallFigures, one_host: CallFigures, deadline: float) -> str:
    runs = {"all on": tunnel, "all off": all_off, "one host": one_host}
    return "; ".join(
        f"{name}: p50 {_took(run.p50, deadline)}, p99 {_took(run.p99, deadline)}, "
        f"p99.9 {_took(run.p999, deadline)}, "
        f"{run.retransmitted:,} of {run.segments:,} segments sent again"
        for name, run in runs.items()
    )


def _took(seconds: float | None, deadline: float) -> str:
    if seconds is None:
        return "unknown"
    over = ">" if seconds >= deadline else ""
    return f"{over}{seconds:.3g} s" if seconds >= 1 else f"{over}{seconds * 1000:.3g} ms"
