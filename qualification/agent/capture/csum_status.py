"""Captures received frames with the receive checksum status that the NIC has given them.

This is a packet socket with PACKET_AUXDATA (packet(7)): `packet_recvmsg` in net/packet/af_packet.c
reports CHECKSUM_PARTIAL, and whether the checksum counts as verified (`skb_csum_unnecessary`).
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator

from .bpf import sender_filter

_SOL_PACKET, _PACKET_AUXDATA, _PACKET_STATISTICS = 263, 8, 6
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_ETH_P_ALL = 0x0003
_BUFFER = 32 << 20
"""Bytes of the socket buffer; it holds an entire burst."""

_AUXDATA = struct.Struct("=IIIHHHH")  # struct tpacket_auxdata, include/uapi/linux/if_packet.h
CSUM_NOT_READY, CSUM_VALID = 1 << 3, 1 << 7
"""Bits of a status: TP_STATUS_CSUMNOTREADY and TP_STATUS_CSUM_VALID."""

_LARGEST = 1 << 17  # bytes of a frame that GRO has merged
_REJECT_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)
_UDP = 17


class CsumStatusCapture:
    """Buffers the frames that an interface receives until they are taken.

    The socket is kept from one burst to the next, because closing it takes the kernel 10 ms or
    more, as with `ring.Rings`.
    """

    def __init__(self, interface: str) -> None:
        # A socket of protocol 0 receives nothing until bind, so no frame gets past the filter.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self.rest()
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
            self._socket.setblocking(False)
            self._socket.bind((interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise

    def watch(self, mac: str, port: int) -> None:
        """Captures from now on the frames from a MAC address to a UDP port."""
        # A link that was down has left an error on the socket; reading the error clears it.
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._filter(sender_filter(mac, (_UDP,), port, 0))
        for _ in self.take():
            pass
        self.drops()

    def rest(self) -> None:
        """Captures nothing until the next `watch`."""
        self._filter(_REJECT_ALL)

    def _filter(self, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        attached = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)

    def take(self) -> Iterator[tuple[bytes, int]]:
        """Yields the buffered frames, each with its receive checksum status."""
        try:
            while True:
                data, extra, _flags, _sender = self._socket.recvmsg(_LARGEST, 64)
                yield data, _AUXDATA.unpack_from(extra[0][2])[0] if extra else 0
        except BlockingIOError:
            return

    def drops(self) -> int:
        """Returns the number of frames lost for lack of room since the last call."""
        # struct tpacket_stats: all frames, and the lost ones among them; reading resets both.
        stats = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", stats)[1])

    def close(self) -> None:
        """Ends the capture."""
        self._socket.close()
