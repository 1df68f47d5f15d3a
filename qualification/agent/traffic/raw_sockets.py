"""Sends buffers as they are by AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c).

The tunnel therefore treats them like the stack's own buffers: their checksums are left to the NIC
(CHECKSUM_PARTIAL), and super-packets are not segmented.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable

from qualification.agent.host import namespaces
from qualification.wire.crafted.packet import VNET_SIZE

from .pace import Pace
from .prepared_set import PreparedSet

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_SEND_BUFFER = 16 << 20
_FINISHED = bytes(VNET_SIZE)
"""The struct virtio_net_hdr of a finished frame, which requests no offload."""


class RawSockets:
    """Sends buffers as they are, on any device of a namespace.

    The sockets stay open: closing one takes the kernel 10 ms and more, as with `ring.Rings`.
    """

    def __init__(self) -> None:
        self._of: dict[int | None, socket.socket] = {}

    def send_prepared(
        self, prepared: PreparedSet, device: str, namespace: int | None, rate: int = 0
    ) -> int:
        """Sends a prepared packet set.

        Args:
            prepared: Its buffers.
            device: The device to send on.
            namespace: Descriptor of the device's namespace; None for the current one.
            rate: Most frames per second on the wire; 0 for no limit.

        Returns:
            How many frames the buffers that the kernel accepted make on the wire.
        """
        raw = self._of.get(namespace) or self._open(namespace)
        raw.bind((device, 0))
        sent, pace = 0, Pace(rate)
        for buffer, frames in prepared.buffers():
            if frames > 1:
                pace.after(sent, train=True)
            try:
                raw.send(buffer)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                continue  # a kernel before 6.2 refuses UDP super-packets here
            sent += frames
            pace.after(sent)
        return sent

    def inject(self, frames: Iterable[bytes], device: str, rate: int = 0) -> int:
        """Sends finished frames on a device of the current namespace; returns their number.

        Args:
            frames: The frames.
            device: The device to send on.
            rate: Most frames per second; 0 for no limit.
        """
        raw = self._of.get(None) or self._open(None)
        raw.bind((device, 0))
        count, pace = 0, Pace(rate)
        for frame in frames:
            raw.send(_FINISHED + frame)
            count += 1
            pace.after(count)
        return count

    def _open(self, namespace: int | None) -> socket.socket:
        with namespaces.inside(namespace):
            raw = self._of[namespace] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        return raw

    def close(self) -> None:
        """Closes the sockets."""
        while self._of:
            self._of.popitem()[1].close()
