"""Fires a volley, into a tunnel or not, and holds what arrives against what was due.

The buffers go in by AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c), so that
the tunnel takes them for its stack's own: unfinished, and super-packets uncut.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from qualification.wire.packet import Packet
from qualification.wire.shots import VNET_SIZE

from . import namespaces
from .capture import PeerCapture
from .handed import HandedCapture
from .in_place import CountingShots
from .messages import CaptureOrder, Handed, VolleyOrder
from .ring import Rings
from .salvo import Salvo, due_of

if TYPE_CHECKING:
    from ctypes import CDLL

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_SEND_BUFFER = 16 << 20
_FINISHED = bytes(VNET_SIZE)
"""The struct virtio_net_hdr of a frame that asks for nothing."""


class RawSockets:
    """Sends buffers as they are, on any device of a namespace.

    The sockets are kept: closing one takes the kernel 10 ms and more, as with `ring.Rings`.
    """

    def __init__(self) -> None:
        self._of: dict[int | None, socket.socket] = {}

    def fire(self, salvo: Salvo, device: str, namespace: int | None) -> int:
        """Sends a volley.

        Args:
            salvo: Its buffers.
            device: What they are sent on.
            namespace: Where that is; None for here.

        Returns:
            How many frames what the kernel took of it has to make on the wire.
        """
        raw = self._of.get(namespace) or self._open(namespace)
        raw.bind((device, 0))
        sent = 0
        for buffer, frames in salvo:
            try:
                raw.send(buffer)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                continue  # a kernel before 6.2 takes no UDP super-packets here
            sent += frames
        return sent

    def throw(self, frames: Iterable[bytes], device: str) -> int:
        """Sends finished frames on a device that is here; says how many."""
        raw = self._of.get(None) or self._open(None)
        raw.bind((device, 0))
        count = 0
        for frame in frames:
            raw.send(_FINISHED + frame)
            count += 1
        return count

    def _open(self, namespace: int | None) -> socket.socket:
        with namespaces.inside(namespace):
            raw = self._of[namespace] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        return raw

    def close(self) -> None:
        """Closes them all."""
        while self._of:
            self._of.popitem()[1].close()


class VolleySender(HandedCapture[CountingShots]):
    """Counts what the kernel hands to the NIC of a volley, each shot by its own segment size."""

    def __init__(self, order: CaptureOrder, rings: Rings, salvo: Salvo) -> None:
        self._salvo = salvo
        self._handed: Counter[str] = Counter()
        super().__init__(order, rings)

    def _twin_from(self, library: CDLL) -> CountingShots:
        return CountingShots(library, self._order, self._salvo)

    @property
    def frames(self) -> int:
        """Frames that what was seen so far makes on the wire."""
        return self._handed["frames"] + (self._twin.counted("frames") if self._twin else 0)

    def _count(self, packet: Packet, payload: int, unfinished: bool) -> None:
        shot, sizes = (packet.source_port or 0) - self._salvo.first_port, self._salvo.sizes
        segment = (sizes[shot] if 0 <= shot < len(sizes) else 0) or max(1, payload)
        pieces = max(1, -(-payload // segment))
        handed = self._handed
        handed["packets"] += 1
        handed["frames"] += pieces
        handed["unfinished"] += pieces if unfinished else 0
        if pieces > 1:
            handed["super_packets"] += 1
            handed["segments"] += pieces

    def finish(self) -> Handed:
        """Ends the capture and says what was handed over."""
        drops = self._close()
        if self._twin is not None:
            self._handed.update(self._twin.all_counted())
        return Handed(drops=drops, **self._handed)


class VolleyCapture(PeerCapture):
    """Judges every frame of a volley, and whether it is one of those that were due."""

    def __init__(self, order: CaptureOrder, rings: Rings, volley: VolleyOrder) -> None:
        super().__init__(order, rings, due_of(volley))
