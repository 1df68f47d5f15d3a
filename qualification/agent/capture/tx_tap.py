"""What the sender's kernel hands to its NIC of a flow: how much of it is left for the NIC to do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qualification.messages.bursts import CaptureOrder, Submitted
from qualification.wire.dissect import dissect
from qualification.wire.packet import TCP, Packet

from .native_capture import NativeTxCounter
from .peer import OURS, Capture, NativeT, of_flow, whose_is
from .ring import RingFrame, Rings

if TYPE_CHECKING:
    from ctypes import CDLL


class TxTap(Capture[NativeT]):
    """Sees what the kernel hands to the NIC."""

    def _take(self, frame: RingFrame) -> None:
        data = bytes(frame.data)
        layout = dissect(data, frame.wire_length, self._ports)
        if layout is None or whose_is(self._order, layout, data) != OURS:
            return
        packet = of_flow(self._order, layout)
        if packet is None:
            return
        header = (data[packet.l4 + 12] >> 4) * 4 if packet.protocol == TCP else 8
        self._count(packet, packet.l4_length - header, frame.csum_not_ready)

    def _count(self, packet: Packet, payload: int, unfinished: bool) -> None:
        raise NotImplementedError


class BulkTxTap(TxTap[NativeTxCounter]):
    """Counts what the kernel hands to the NIC: unfinished checksums, super-packets."""

    def __init__(self, order: CaptureOrder, rings: Rings) -> None:
        self._sizes: Counter[tuple[int, bool]] = Counter()
        super().__init__(order, rings)

    def _native_from(self, library: CDLL) -> NativeTxCounter:
        return NativeTxCounter(library, self._order, self._add)

    def _count(self, _packet: Packet, payload: int, unfinished: bool) -> None:
        self._add(payload, unfinished, 1)

    def _add(self, payload: int, unfinished: bool, packets: int) -> None:
        self._sizes[payload, unfinished] += packets

    def finish(self, segment: int) -> Submitted:
        """Ends the capture and says what was handed over.

        Args:
            segment: Largest payload of one frame, bytes: what super-packets are cut by.
        """
        drops = self._close()
        if self._native is not None:
            self._native.drain()
        packets = frames = unfinished = super_packets = segments = 0
        for (payload, partial), count in self._sizes.items():
            pieces = max(1, -(-payload // segment))
            packets += count
            frames += pieces * count
            unfinished += pieces * count if partial else 0
            if pieces > 1:
                super_packets += count
                segments += pieces * count
        return Submitted(packets, frames, unfinished, super_packets, segments, drops)
