"""What the verdict of a cell rests on, as the page shows it, from its evidence."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from itertools import chain

from qualification.judge.evidence import Evidence, total
from qualification.judge.statistics import rate
from qualification.messages.bursts import BadFrame

from .dissection import dissected
from .evidence_model import PageDetail, PageDimension, PageFrame, RateAt

_MOST_VALUES = 64
"""Values of a dimension that are shown; the worst ones, if there are more."""
_MOST_LOG_LINES = 20


def detail_of(evidence: Evidence, port: int, confidence: float) -> PageDetail:
    """Returns what the page shows of a cell's evidence.

    Args:
        evidence: The evidence.
        port: UDP port of the cell's tunnel; 0 for plain traffic.
        confidence: The confidence of the intervals.
    """
    bursts = evidence.bursts
    samples = [frame for burst in bursts for frame in burst.received.captured.samples]
    samples += [frame for result in evidence.received for frame in result.samples]
    logs = [line for b in bursts for line in (*b.sent.kernel_log, *b.received.kernel_log)]
    logs += [line for result in evidence.received for line in result.kernel_log]
    return PageDetail(
        evidence.refused,
        tuple(_figures(evidence)),
        tuple(_counters(evidence)),
        tuple(dict.fromkeys(logs))[:_MOST_LOG_LINES],
        tuple(_dimensions(total(bursts).shapes, confidence)),
        tuple(
            (shape.shape, ", ".join(shape.wrong), shape.frames, shape.captured, shape.delivered)
            for result in evidence.received
            for shape in result.shapes
        ),
        _frame(samples[0], port) if samples else None,
    )


def _frame(frame: BadFrame, port: int) -> PageFrame:
    return dissected(base64.b64decode(frame.data), frame.findings, port)


def _figures(evidence: Evidence) -> Iterable[tuple[str, int]]:
    """Yields what the bursts of a cell sum up to; what is 0 and means nothing is left out."""
    bursts = evidence.bursts
    if not bursts:
        return
    sums = total(bursts)
    submitted = [burst.sent.submitted for burst in bursts]
    yield "bursts", len(bursts)
    yield "buffers that the kernel submitted to the driver", sum(s.packets for s in submitted)
    yield "frames that they make on the wire", sums.submitted
    yield "frames whose checksum is left to the NIC", sums.csum_partial
    yield "super-packets that the NIC segments", sum(s.super_packets for s in submitted)
    yield "frames that the NIC makes of super-packets", sums.segments
    yield "frames that the peer captured and verified", sums.frames
    yield "wrong frames", sums.bad
    more: Mapping[str, int] = {
        **{f"wrong in {layer}": count for layer, count in sums.bad_layers.items()},
        "outer checksums that nobody asked for": sums.unasked,
        "outer source ports that were not submitted": sums.rerouted,
        "frames lost": sums.lost,
        "frames that the peer had no room for": sums.peer_dropped,
        "frames that a capture lost": sums.drops,
        "frames of other hosts or runs": sums.foreign,
        "payloads with wrong bytes": sums.corrupt,
        "datagrams that came twice": sums.duplicates,
        **{f"not judged: {reason}": count for reason, count in sums.unjudged.items()},
    }
    for name, count in more.items():
        if count:
            yield name, count


def _counters(evidence: Evidence) -> Iterable[tuple[str, int, int]]:
    """Yields the counters that moved: name, by how much on the DUT, and on the peer."""
    dut: dict[str, int] = {}
    peer: dict[str, int] = {}
    sent = ((dut, burst.sent.counters) for burst in evidence.bursts)
    received = ((peer, burst.received.counters) for burst in evidence.bursts)
    of_dut = ((dut, result.counters) for result in evidence.received)
    for sums, counters in chain(sent, received, of_dut):
        for name, count in counters.items():
            sums[name] = sums.get(name, 0) + count
    for name in sorted(dut.keys() | peer.keys()):
        yield name, dut.get(name, 0), peer.get(name, 0)


def _dimensions(
    shapes: Mapping[str, Mapping[str, tuple[int, int]]], confidence: float
) -> Iterable[PageDimension]:
    """Yields the rates by dimension, if any frame is wrong at all."""
    for name, values in shapes.items():
        if len(values) < 2 or not any(bad for _, bad in values.values()):
            continue
        shown = sorted(values.items(), key=lambda item: -item[1][1])[:_MOST_VALUES]
        rates = []
        for value, (frames, bad) in sorted(shown):
            found = rate(bad, frames, confidence)
            rates.append(RateAt(value, frames, bad, found.low, found.high))
        yield PageDimension(name, tuple(rates))
