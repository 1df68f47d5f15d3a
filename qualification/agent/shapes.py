"""Counts a burst's frames by shape, so that it shows which of them are wrong.

The capture's thread does one addition a frame, by all that tells the frame from its neighbours
together; what that comes to in each dimension is added up once, when the burst is over.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qualification.wire.dissect import Layout
from qualification.wire.packet import TCP

if TYPE_CHECKING:
    _Key = tuple[int | None, int, int, int, bool | None, bool | None]

SOURCE_PORT = "outer source port"
PARITY = "length"
SIZE = "size"
PSH = "TCP PSH"
PREVIOUS = "previous frame"
"""The dimensions. A flow keeps its outer source port, and with it its transmit queue. The length
whose parity counts is that of the innermost L4, which is what a checksum covers. Bulk TCP and
UDP_SEGMENT leave the last segment with PSH, or shorter than the rest. What came before a frame in
its flow tells faults that hit frames one by one from those that hit a whole super-packet."""

SHORT, BARELY, MIDDLE, FULL = "under 60", "60 to 64", "65 and up", "full"
"""Values of `SIZE`: of the innermost Ethernet frame, bytes; "full" fills the link's MTU."""

OTHERS = "others"
"""The value of what there was no room for."""

_MOST_VALUES = 64
_FCS_FREE_MINIMUM, _MINIMUM_AND_TAG = 60, 65
_PSH_FLAG = 0x08
_NO_PORT = 65536
_AFTER = (None, False, True)
_PUSHED = (False, True, None)
_20_BITS = 0xFFFFF
_REST = struct.Struct("<IBBB")


class ShapeCounter:
    """Counts frames, and wrong ones among them.

    Args:
        longest: Bytes of the longest frame the link takes, without FCS.

    Attributes:
        last: What the last frame of each outer source port was, and of those without at the end:
            an index of `_AFTER`. The C twin writes there as well.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._right: dict[_Key, int] = {}
        self._wrong: dict[_Key, int] = {}
        self.last = bytearray(_NO_PORT + 1)

    def add(self, data: bytes, wire_length: int, layout: Layout, wrong: bool) -> None:
        """Counts a frame that was judged."""
        _, outer, vxlan, _, _, inner, _ = layout
        port = outer.source_port
        if inner is None:
            packet, frame = outer, wire_length
        else:
            packet, frame = inner, outer.end - (vxlan or 0) - 8
        l4 = packet.l4
        pushed = None
        if packet.protocol == TCP and len(data) > l4 + 13:
            pushed = data[l4 + 13] & _PSH_FLAG != 0
        # The innermost packet of a frame whose tunnel is broken is anybody's guess.
        l4_length = -1 if inner is None and vxlan is not None else packet.end - l4
        last = _NO_PORT if port is None else port
        key = (port, wire_length, frame, l4_length, pushed, _AFTER[self.last[last]])
        self.last[last] = 2 if wrong else 1
        counts = self._wrong if wrong else self._right
        counts[key] = counts.get(key, 0) + 1

    def merge(self, counted: Iterable[tuple[int, int, int]]) -> None:
        """Counts what the C twin has counted: its keys (in_place.c, count_shape), and how often."""
        for lengths, rest, count in counted:
            wire_length, frame = lengths & _20_BITS, lengths >> 20 & _20_BITS
            port, pushed, last, wrong = _REST.unpack(rest.to_bytes(7, "little"))
            known = port - 1 if port else None
            key = (known, wire_length, frame, (lengths >> 40) - 1, _PUSHED[pushed], _AFTER[last])
            counts = self._wrong if wrong else self._right
            counts[key] = counts.get(key, 0) + count

    def tally(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Frames, and wrong ones among them, by dimension and value.

        A frame that has no value in a dimension is left out there. Of a dimension of very many
        values those with most wrong frames, then most frames, are kept; the rest is `OTHERS`.
        """
        sums: dict[str, dict[str, list[int]]] = {}
        for wrong, counts in enumerate((self._right, self._wrong)):
            for key, count in counts.items():
                for dimension, value in self._values(key):
                    both = sums.setdefault(dimension, {}).setdefault(value, [0, 0])
                    both[0] += count
                    both[1] += count * wrong
        return {dimension: _bounded(values) for dimension, values in sums.items()}

    def _values(self, key: _Key) -> list[tuple[str, str]]:
        port, wire_length, frame, l4_length, pushed, after_wrong = key
        values = []
        if port is not None:
            values.append((SOURCE_PORT, str(port)))
        if l4_length >= 0:
            values.append((PARITY, "odd" if l4_length & 1 else "even"))
            values.append((SIZE, self._size(wire_length, frame)))
        if pushed is not None:
            values.append((PSH, "set" if pushed else "not set"))
        if after_wrong is not None:
            values.append((PREVIOUS, "wrong" if after_wrong else "right"))
        return values

    def _size(self, wire_length: int, frame: int) -> str:
        if wire_length >= self._longest:
            return FULL
        if frame < _FCS_FREE_MINIMUM:
            return SHORT
        return BARELY if frame < _MINIMUM_AND_TAG else MIDDLE


def _bounded(values: dict[str, list[int]]) -> dict[str, tuple[int, int]]:
    first = sorted(values, key=lambda value: (-values[value][1], -values[value][0], value))
    kept = {value: (values[value][0], values[value][1]) for value in first[:_MOST_VALUES]}
    rest = [values[value] for value in first[_MOST_VALUES:]]
    if rest:
        kept[OTHERS] = (sum(frames for frames, _ in rest), sum(wrong for _, wrong in rest))
    return kept
