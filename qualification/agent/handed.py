"""What the sender's kernel hands to its NIC of a flow: how much of it is left for the NIC to do."""

from __future__ import annotations

import time
from collections import Counter
from ctypes import CDLL

from qualification.wire.dissect import dissect
from qualification.wire.packet import TCP, Packet

from .capture import OURS, Capture, of_flow, whose_is
from .in_place import Counting, InPlace, native
from .messages import CaptureOrder, Handed
from .ring import RingFrame, Rings


class SenderCapture(Capture):
    """Counts what the kernel hands to the NIC: unfinished checksums, super-packets.

    Attributes:
        in_place: Whether the C twin may take what Python need not see.
    """

    in_place = True

    def __init__(self, order: CaptureOrder, rings: Rings) -> None:
        self._sizes: Counter[tuple[int, bool]] = Counter()
        library = native().library if self.in_place else None
        self._counting = None if library is None else self._in_place(library, order)
        super().__init__(order, rings)

    def _in_place(self, library: CDLL, order: CaptureOrder) -> InPlace:
        return Counting(library, order, self._add)

    def _take_ready(self) -> None:
        if self._counting is None:
            super()._take_ready()
            return
        if self._counting.take(self._ring, self._end, self._take):
            self._last_arrival = time.monotonic()

    def _take(self, frame: RingFrame) -> None:
        data = bytes(frame.data)
        layout = dissect(data, frame.wire_length, self._ports)
        if layout is None or whose_is(self._order, layout, data) != OURS:
            return
        packet = of_flow(self._order, layout)
        if packet is None:
            return
        header = (data[packet.l4 + 12] >> 4) * 4 if packet.protocol == TCP else 8
        self._count(packet, packet.l4_length - header, frame.unfinished)

    def _count(self, packet: Packet, payload: int, unfinished: bool) -> None:
        del packet
        self._add(payload, unfinished, 1)

    def _add(self, payload: int, unfinished: bool, packets: int) -> None:
        self._sizes[payload, unfinished] += packets

    def finish(self, segment: int) -> Handed:
        """Ends the capture and says what was handed over.

        Args:
            segment: Largest payload of one frame, bytes: what super-packets are cut by.
        """
        drops = self._close()
        if self._counting is not None:
            self._counting.drain()
        packets = frames = unfinished = super_packets = segments = 0
        for (payload, partial), count in self._sizes.items():
            pieces = max(1, -(-payload // segment))
            packets += count
            frames += pieces * count
            unfinished += pieces * count if partial else 0
            if pieces > 1:
                super_packets += count
                segments += pieces * count
        return Handed(packets, frames, unfinished, super_packets, segments, drops)
