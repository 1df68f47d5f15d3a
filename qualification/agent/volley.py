"""Fires a volley, into a tunnel or not, and holds what arrives against what was due.

The buffers go in by AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c), so that
the tunnel takes them for its stack's own: unfinished, and super-packets uncut.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from ctypes import CDLL

from qualification.wire.packet import TCP, UDP, Packet
from qualification.wire.shots import Maker, Path, Shot
from qualification.wire.volleys import VOLLEYS

from . import namespaces
from .capture import PeerCapture
from .due import Due
from .handed import SenderCapture
from .in_place import CountingShots, InPlace
from .messages import CaptureOrder, Handed, VolleyOrder
from .payload import pool
from .ring import Rings

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_SEND_BUFFER = 16 << 20
_FINISHED = bytes(10)
"""The struct virtio_net_hdr of a frame that asks for nothing."""


def shots_of(order: VolleyOrder) -> Iterator[Shot]:
    """The buffers of a volley; the same wherever they are made."""
    path = Path.of(
        (order.source_mac, order.destination_mac),
        (order.source, order.destination),
        order.port,
        order.mtu,
        order.ttl,
        order.around,
    )
    make = Maker(path, TCP if order.protocol == "tcp" else UDP, pool(order.seed))
    return VOLLEYS[order.volley].shots(make, order.segmented)


class RawSockets:
    """Sends buffers as they are, on any device of a namespace.

    The sockets are kept: closing one takes the kernel 10 ms and more, as with `ring.Rings`.
    """

    def __init__(self) -> None:
        self._of: dict[int | None, socket.socket] = {}

    def fire(self, shots: Iterable[Shot], device: str, namespace: int | None) -> int:
        """Sends a volley.

        Args:
            shots: Its buffers.
            device: What they are sent on.
            namespace: Where that is; None for here.

        Returns:
            How many frames what the kernel took of it has to make on the wire.
        """
        raw = self._of.get(namespace) or self._open(namespace)
        raw.bind((device, 0))
        frames = 0
        for shot in shots:
            try:
                raw.send(shot.vnet() + shot.frame)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                continue  # a kernel before 6.2 takes no UDP super-packets here
            frames += shot.frames
        return frames

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


class VolleySender(SenderCapture):
    """Counts what the kernel hands to the NIC of a volley, each shot by its own segment size."""

    def __init__(self, order: CaptureOrder, rings: Rings, shots: Iterable[Shot]) -> None:
        self._sizes_of = {shot.source_port: shot.gso_size for shot in shots}
        self._handed: Counter[str] = Counter()
        self._counting_shots: CountingShots | None = None
        super().__init__(order, rings)

    def _in_place(self, library: CDLL, order: CaptureOrder) -> InPlace:
        self._counting_shots = counting = CountingShots(library, order, self._sizes_of)
        return counting

    @property
    def frames(self) -> int:
        """Frames that what was seen so far makes on the wire."""
        counting = self._counting_shots
        return self._handed["frames"] + (counting.counted("frames") if counting else 0)

    def _count(self, packet: Packet, payload: int, unfinished: bool) -> None:
        segment = self._sizes_of.get(packet.source_port or 0, 0) or max(1, payload)
        pieces = max(1, -(-payload // segment))
        handed = self._handed
        handed["packets"] += 1
        handed["frames"] += pieces
        handed["unfinished"] += pieces if unfinished else 0
        if pieces > 1:
            handed["super_packets"] += 1
            handed["segments"] += pieces

    def finish(self, _segment: int = 0) -> Handed:
        """Ends the capture and says what was handed over."""
        drops = self._close()
        if self._counting_shots is not None:
            self._handed.update(self._counting_shots.all_counted())
        return Handed(drops=drops, **self._handed)


class VolleyCapture(PeerCapture):
    """Judges every frame of a volley, and whether it is one of those that were due."""

    def __init__(self, order: CaptureOrder, rings: Rings, volley: VolleyOrder) -> None:
        super().__init__(order, rings, Due(shots_of(volley), tunnel=order.vni is not None))
