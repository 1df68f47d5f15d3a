"""Which frames of a capture are wrong, and what the hardware did to them, as a run says it.

The dimensions are those of a run, with families, VNIs and lengths besides; signatures are looked
for in frames over Ethernet, plain or in VXLAN, as in a run.
"""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING

from qualification.agent.capture.dimensions import ShapeCounter
from qualification.judge import pattern
from qualification.judge.signature.sign import sign
from qualification.messages.bursts import BadFrame
from qualification.plan.flows import Flow
from qualification.stack.classes import is_wrong_on_wire
from qualification.stack.judge import walk_frame
from qualification.stack.outcomes import outcome_of
from qualification.wire.dissect import dissect
from qualification.wire.layers import LAYERS
from qualification.wire.sentences import sentences
from qualification.wire.verify import check

from .reading import records_of
from .words import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qualification.messages.bursts import Family, Protocol
    from qualification.stack.counting import KeptFrame
    from qualification.wire.capture_reader import Reader

    from .findings import Findings

_ETHERNET = 1
_MOST_SIGNED = 256
_MOST_VALUES = 12
_L4: dict[int, Protocol] = {6: "tcp", 17: "udp"}
Counts = dict[str, dict[str, tuple[int, int]]]


def dimensions(
    reader: Reader, found: Findings, progress: Callable[[int], None] | None
) -> tuple[Counts, str | None]:
    """Counts frames, and wrong ones among them, by dimension and value.

    Args:
        reader: The capture, from its beginning on.
        found: What was found in it.
        progress: Called from time to time with the number of frames so far.

    Returns:
        The counts, and a phrase that says which frames are wrong; None where nothing can be said.
    """
    ports, longest = found.counting.ports, found.counting.longest_wire
    shapes, more, bad = ShapeCounter(longest), Counter[tuple[str, str, bool]](), 0
    for record in records_of(reader):
        if progress is not None and reader.number % 1024 == 0:
            progress(reader.number)
        walk = walk_frame(record.frame, record.wire_length, record.link, ports)
        if not walk.packets:
            continue
        outcome = outcome_of(walk, record.wire_length, record.direction)
        wrong = is_wrong_on_wire(outcome, found.context)
        bad += wrong
        families = " in ".join(f"IPv{packet.family}" for packet in reversed(walk.packets))
        more["family", families, wrong] += 1
        more["length", _octave(record.wire_length), wrong] += 1
        if outcome.vni is not None:
            more["VNI", str(outcome.vni), wrong] += 1
        layout = dissect(record.frame, record.wire_length, ports)
        if record.link == _ETHERNET and layout is not None:
            shapes.add(record.frame, record.wire_length, layout, wrong)
    counts: Counts = {}
    for name, value, _ in more:
        right, wrongs = more[name, value, False], more[name, value, True]
        counts.setdefault(name, {})[value] = right + wrongs, wrongs
    tallied = shapes.tally()
    return counts | tallied, pattern.explain(tallied, bad)


def _octave(length: int) -> str:
    """Returns the range of lengths that a length is in: from a power of two up to the next."""
    low = 1 << max(length.bit_length() - 1, 6)
    return f"{low} to {2 * low - 1}" if length >= 64 else "under 64"


def dimension_lines(counts: Counts, phrase: str | None) -> Iterator[str]:
    """Yields a table of each dimension: the values with the most wrong frames."""
    yield f"wrong: {phrase}" if phrase else "no dimension tells wrong frames from right ones"
    for name, values in counts.items():
        yield ""
        yield f"{name:<28}{'wrong':>12}{'of':>12}{'share':>10}"
        ranked = sorted(values.items(), key=lambda item: (-item[1][1], -item[1][0]))
        for value, (frames, wrong) in ranked[:_MOST_VALUES]:
            yield f"  {value:<26}{wrong:>12,}{frames:>12,}{wrong / frames:>10.2%}"
        if len(ranked) > _MOST_VALUES:
            yield f"  and {len(ranked) - _MOST_VALUES:,} others"


class Signing:
    """Collects wrong frames for signatures: by what tells flows apart in them."""

    def __init__(self, ports: frozenset[int]) -> None:
        self._ports = ports
        self._groups: dict[Flow, list[BadFrame]] = {}

    def take(self, kept: KeptFrame) -> None:
        """Takes a wrong frame, if it is over Ethernet and of TCP or UDP."""
        record = kept.record
        if record.link != _ETHERNET:
            return
        checked = check(record.frame, record.wire_length, self._ports)
        layout = checked.layout
        if layout is None or not checked.bad:
            return
        outer, inner = layout.outer, layout.inner or layout.outer
        if inner.protocol not in _L4:
            return
        flow = Flow(
            outer=_family(outer.family),
            outer_checksum=bool(outer.checksum),
            inner=_family(inner.family),
            l4=_L4[inner.protocol],
            segmentation=False,
            port=outer.destination_port or 0 if layout.inner else 0,
            tunnel=layout.inner is not None,
        )
        group = self._groups.setdefault(flow, [])
        if len(group) < _MOST_SIGNED:
            layers = tuple(name for bit, name in LAYERS.items() if checked.bad & bit)
            texts = tuple(sentences(record.frame, checked))
            group.append(BadFrame(base64.b64encode(record.frame).decode(), layers, texts))

    def lines(self) -> Iterator[str]:
        """Yields what the hardware did, for each kind of flow with wrong frames."""
        if not self._groups:
            yield "no wrong frame of TCP or UDP over Ethernet, plain or in VXLAN, to look at"
        for flow, frames in self._groups.items():
            yield f"{flow.id}, {count(len(frames))}: {sign(frames, flow)}"


def _family(number: int) -> Family:
    return 4 if number == 4 else 6
