"""Fires a crafted packet set, into a tunnel or not, and holds what arrives against what was due.

The buffers go in by AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c), so that
the tunnel takes them for its stack's own: unfinished, and super-packets uncut.
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
from .tx_tap import TxTap

if TYPE_CHECKING:
    from ctypes import CDLL


class CraftedTxTap(TxTap[NativeCraftedCounter]):
    """Counts what the kernel hands to the NIC of a crafted packet set, each crafted packet by its own segment size."""

    def __init__(self, order: CaptureOrder, rings: Rings, prepared: PreparedSet) -> None:
        self._prepared = prepared
        self._submitted: Counter[str] = Counter()
        super().__init__(order, rings)

    def _native_from(self, library: CDLL) -> NativeCraftedCounter:
        return NativeCraftedCounter(library, self._order, self._prepared)

    @property
    def frames(self) -> int:
        """Frames that what was seen so far makes on the wire."""
        return self._submitted["frames"] + (self._native.counted("frames") if self._native else 0)

    def _count(self, packet: Packet, payload: int, csum_partial: bool) -> None:
        crafted, sizes = (packet.source_port or 0) - self._prepared.first_port, self._prepared.sizes
        segment = (sizes[crafted] if 0 <= crafted < len(sizes) else 0) or max(1, payload)
        pieces = max(1, -(-payload // segment))
        submitted = self._submitted
        submitted["packets"] += 1
        submitted["frames"] += pieces
        submitted["csum_partial"] += pieces if csum_partial else 0
        if pieces > 1:
            submitted["super_packets"] += 1
            submitted["segments"] += pieces

    def finish(self) -> Submitted:
        """Ends the capture and says what was handed over."""
        drops = self._close()
        if self._native is not None:
            self._submitted.update(self._native.all_counted())
        return Submitted(drops=drops, **self._submitted)


class CraftedCapture(PeerCapture):
    """Judges every frame of a crafted packet set, and whether it is one of those that were due."""

    def __init__(self, order: CaptureOrder, rings: Rings, packet_set: CraftedOrder) -> None:
        super().__init__(order, rings, expected_frames(packet_set))
