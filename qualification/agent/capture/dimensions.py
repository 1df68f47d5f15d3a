"""Counts a burst's frames by shape, to show which shapes of frames are wrong.

The counts are plain memory, which the C implementation shares (count_shape in native_capture.c).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qualification.messages.dimensions import (
    BARELY,
    FULL,
    MIDDLE,
    OTHERS,
    PARITY,
    PREVIOUS,
    PSH,
    SHORT,
    SIZE,
    SOURCE_PORT,
)
from qualification.wire.packet import TCP

if TYPE_CHECKING:
    from qualification.wire.dissect import Layout

_MOST_VALUES = 64
_FCS_FREE_MINIMUM, _MINIMUM_AND_TAG = 60, 65
_PSH_FLAG = 0x08
_NO_PORT = 65536
_VALUES = (
    (PARITY, "even"), (PARITY, "odd"),
    (SIZE, SHORT), (SIZE, BARELY), (SIZE, MIDDLE), (SIZE, FULL),
    (PSH, "not set"), (PSH, "set"),
    (PREVIOUS, "right"), (PREVIOUS, "wrong"),
)  # fmt: skip
"""The values that frames are counted by, apart from ports: each has a count of frames and of wrong
ones."""
_PARITY, _SIZE, _PSH, _PREVIOUS = 0, 2, 6, 8


class ShapeCounter:
    """Counts frames, and wrong ones among them.

    Args:
        longest: Bytes of the longest frame the link takes, without FCS.

    Attributes:
        last: The last frame of each outer source port: 0 for no frame yet, 1 for a right one, 2 for
            a wrong one. The last entry is that of frames without a source port.
        by_port: The number of frames, and of wrong ones, of each outer source port; the last pair
            is that of frames without a source port.
        by_value: The number of frames, and of wrong ones, of each of `_VALUES`.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self.last = bytearray(_NO_PORT + 1)
        self.by_port = array("I", [0]) * (2 * (_NO_PORT + 1))
        self.by_value = array("Q", [0]) * (2 * len(_VALUES))

    def add(self, data: bytes, wire_length: int, layout: Layout, wrong: bool) -> None:
        """Counts a frame that was judged."""
        _, outer, vxlan, _, _, inner, _ = layout
        port = _NO_PORT if outer.source_port is None else outer.source_port
        self.by_port[2 * port] += 1
        self.by_port[2 * port + 1] += wrong
        if self.last[port]:
            self._count(_PREVIOUS + self.last[port] - 1, wrong)
        self.last[port] = 2 if wrong else 1

        if inner is None:
            packet, frame = outer, wire_length
        else:
            packet, frame = inner, outer.end - (vxlan or 0) - 8
        l4 = packet.l4
        if packet.protocol == TCP and len(data) > l4 + 13:
            self._count(_PSH + (data[l4 + 13] & _PSH_FLAG != 0), wrong)
        if inner is None and vxlan is not None:
            return  # the innermost packet of a frame with a broken tunnel is unknown
        self._count(_PARITY + (packet.end - l4 & 1), wrong)
        self._count(_SIZE + self._size(wire_length, frame), wrong)

    def _count(self, value: int, wrong: bool) -> None:
        self.by_value[2 * value] += 1
        self.by_value[2 * value + 1] += wrong

    def _size(self, wire_length: int, frame: int) -> int:
        """Returns the index of a frame's value in the dimension `SIZE`."""
        if wire_length >= self._longest:
            return 3
        return (frame >= _FCS_FREE_MINIMUM) + (frame >= _MINIMUM_AND_TAG)

    def tally(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Returns the number of frames, and of wrong ones, by dimension and value.

        A frame without a value in a dimension is not counted there. Of a dimension with very many
        values, those with the most wrong frames, then the most frames, are listed; `OTHERS` sums up
        the rest.
        """
        found: dict[str, dict[str, tuple[int, int]]] = {}
        ports = self._by_port()
        if ports:
            found[SOURCE_PORT] = ports
        for value, (dimension, name) in enumerate(_VALUES):
            frames, wrong = self.by_value[2 * value : 2 * value + 2]
            if frames:
                found.setdefault(dimension, {})[name] = frames, wrong
        return found

    def _by_port(self) -> dict[str, tuple[int, int]]:
        counts = self.by_port
        counted = [(counts[2 * port + 1], counts[2 * port], port) for port in self._ports()]
        counted.sort(reverse=True)
        rest = counted[_MOST_VALUES:]
        found = {str(port): (frames, wrong) for wrong, frames, port in counted[:_MOST_VALUES]}
        if rest:
            found[OTHERS] = sum(frames for _, frames, _ in rest), sum(wrong for wrong, *_ in rest)
        return found

    def _ports(self) -> Iterator[int]:
        """Yields the outer source ports of the frames counted."""
        for state in (1, 2):
            port = self.last.find(state, 0, _NO_PORT)
            while port >= 0:
                yield port
                port = self.last.find(state, port + 1, _NO_PORT)
