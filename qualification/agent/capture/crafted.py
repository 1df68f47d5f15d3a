"""Captures of a crafted packet set: the sender's tx tap, and the peer's capture.

The buffers are injected by AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c), so
that the tunnel treats them as the stack's own: with CHECKSUM_PARTIAL, and super-packets not yet
segmented.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from qualification.agent.traffic.prepared_set import PreparedSet, expected_frames
from qualification.messages.bursts import CaptureOrder, CraftedOrder, Submitted
from qualification.wire.packet import Packet

from .native_capture import NativeCraftedCounter
from .peer import PeerCapture
from .ring import Rings
from .tx_tap import TxTap, segment_count

if TYPE_CHECKING:
    from ctypes import CDLL


class CraftedTxTap(TxTap[NativeCraftedCounter]):
    """Counts the submitted buffers of a crafted packet set, each by its own segment size."""

    def __init__(self, order: CaptureOrder, rings: Rings, prepared: PreparedSet) -> None:
        self._prepared = prepared
        self._submitted: Counter[str] = Counter()
        super().__init__(order, rings)

    def _native_from(self, library: CDLL) -> NativeCraftedCounter:
        native = NativeCraftedCounter(library, self._order, self._prepared)
        native.count_paths(self._paths)
        return native

    @property
    def frames(self) -> int:
        """Frames that the buffers submitted so far make on the wire."""
        return self._submitted["frames"] + (self._native.counted("frames") if self._native else 0)

    def _count(self, packet: Packet, payload: int, csum_partial: bool) -> None:
        crafted, sizes = (
            (packet.source_port or 0) - self._prepared.first_port,
            self._prepared.segment_sizes,
        )
        count = segment_count(payload, sizes[crafted] if 0 <= crafted < len(sizes) else 0)
        submitted = self._submitted
        submitted["packets"] += 1
        submitted["frames"] += count
        submitted["csum_partial"] += count if csum_partial else 0
        if count > 1:
            submitted["super_packets"] += 1
            submitted["segments"] += count

    def finish(self) -> Submitted:
        """Ends the capture and returns what was submitted."""
        drops = self._close()
        if self._native is not None:
            self._native.drain()
            self._submitted.update(self._native.all_counted())
        return Submitted(drops=drops, paths=tuple(self._paths.tally()), **self._submitted)


class CraftedCapture(PeerCapture):
    """Judges every frame of a crafted packet set, and compares it with the expected frames."""

    def __init__(self, order: CaptureOrder, rings: Rings, packet_set: CraftedOrder) -> None:
        super().__init__(order, rings, expected_frames(packet_set))
