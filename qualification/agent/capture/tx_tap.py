"""The tx tap: counts what the sender's kernel submits to the NIC driver, and leaves to the NIC."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qualification.messages.bursts import CaptureOrder, Submitted
from qualification.messages.submitted import SubmittedPacket
from qualification.wire.dissect import dissect
from qualification.wire.flow_frames import OURS, of_flow, whose_is
from qualification.wire.packet import TCP, Packet

from .native_capture import NativeTxCounter
from .paths import PathCounter
from .ring import RingFrame, Rings
from .ring_capture import Capture, NativeT
from .submitted import Search

if TYPE_CHECKING:
    from ctypes import CDLL


def payload_length(packet: Packet, data: bytes, wire_length: int, csum_partial: bool) -> int:
    """Returns the payload bytes that a submitted buffer holds.

    The headers tell, except in a super-packet that the kernel has prepared for partial GSO
    (`tx-gso-partial`): there all headers carry the length of one segment, `gso_size` bytes of
    payload, and the buffer holds several segments of just that size; a remainder has become a
    buffer of its own (`skb_segment`, net/core/skbuff.c; `inet_gso_segment`, net/ipv4/af_inet.c;
    Documentation/networking/segmentation-offloads.rst). Its checksum is always CHECKSUM_PARTIAL,
    so that bytes behind a packet that the kernel has finished, such as padding, are never counted.

    native_capture.c has the same function.

    Args:
        packet: The buffer's TCP or UDP packet, as its headers have it.
        data: The bytes captured.
        wire_length: Bytes of the whole buffer.
        csum_partial: Its checksum is left to the NIC.
    """
    header = (data[packet.l4 + 12] >> 4) * 4 if packet.protocol == TCP else 8
    one, held = packet.l4_length - header, wire_length - packet.l4 - header
    return held if csum_partial and 0 < 2 * one <= held and held % one == 0 else one


def segment_count(payload: int, segment: int) -> int:
    """Returns the number of frames that a submitted buffer makes on the wire.

    native_capture.c has the same function.

    Args:
        payload: Payload bytes of the buffer.
        segment: Payload bytes of each segment but the last; 0 if the buffer is not segmented.
    """
    return max(1, -(-payload // segment)) if segment else 1


class TxTap(Capture[NativeT]):
    """Captures the buffers of a flow that the kernel submits to the driver."""

    def __init__(self, order: CaptureOrder, rings: Rings) -> None:
        self._paths = PathCounter(order)
        super().__init__(order, rings)

    def _take(self, frame: RingFrame) -> None:
        data = bytes(frame.data)
        layout = dissect(data, frame.wire_length, self._ports)
        if layout is None or whose_is(self._order, layout, data) != OURS:
            return
        packet = of_flow(self._order, layout)
        if packet is None:
            return
        self._paths.add(layout)
        csum_partial = frame.csum_not_ready
        self._count(
            packet, payload_length(packet, data, frame.wire_length, csum_partial), csum_partial
        )

    def _count(self, packet: Packet, payload: int, csum_partial: bool) -> None:
        raise NotImplementedError

    def submitted(self, frames: list[bytes], segment: int) -> list[SubmittedPacket | None]:
        """Returns the buffers that some frames were made of, once the capture has ended.

        It must be asked before another capture begins, which may take the ring.

        Args:
            frames: Frames of the burst, as they arrived.
            segment: Payload bytes of each segment of a datagram's super-packet; 0 for a crafted
                packet set.
        """
        return Search(self._order, segment).find(self._ring, frames)


class BulkTxTap(TxTap[NativeTxCounter]):
    """Counts the submitted buffers of ordinary traffic."""

    def __init__(self, order: CaptureOrder, rings: Rings) -> None:
        self._sizes: Counter[tuple[int, bool]] = Counter()
        super().__init__(order, rings)

    def _native_from(self, library: CDLL) -> NativeTxCounter:
        native = NativeTxCounter(library, self._order, self._add)
        native.count_paths(self._paths)
        return native

    def _count(self, _packet: Packet, payload: int, csum_partial: bool) -> None:
        self._add(payload, csum_partial, 1)

    def _add(self, payload: int, csum_partial: bool, packets: int) -> None:
        self._sizes[payload, csum_partial] += packets

    def finish(self, segment: int) -> Submitted:
        """Ends the capture and returns what was submitted.

        Args:
            segment: Payload bytes of each segment of a super-packet but the last.
        """
        drops = self._close()
        if self._native is not None:
            self._native.drain()
        packets = frames = csum_partial = super_packets = segments = 0
        for (payload, partial), buffers in self._sizes.items():
            count = segment_count(payload, segment)
            packets += buffers
            frames += count * buffers
            csum_partial += count * buffers if partial else 0
            if count > 1:
                super_packets += buffers
                segments += count * buffers
        paths = tuple(self._paths.tally())
        return Submitted(packets, frames, csum_partial, super_packets, segments, drops, paths)
