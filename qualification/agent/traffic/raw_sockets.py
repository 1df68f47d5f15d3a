"""Sends buffers as they are, through AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c).

So the tunnel takes them for the stack's own: checksums left to do, and super-packets uncut.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from qualification.agent.host import namespaces
from qualification.wire.crafted.packet import VNET_SIZE

from .prepared_set import PreparedSet

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

    def send_prepared(self, prepared: PreparedSet, device: str, namespace: int | None) -> int:
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
        for buffer, frames in prepared:
            try:
                raw.send(buffer)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                continue  # a kernel before 6.2 takes no UDP super-packets here
            sent += frames
        return sent

    def inject(self, frames: Iterable[bytes], device: str) -> int:
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
