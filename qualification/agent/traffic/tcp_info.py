"""What the kernel tells of a TCP connection, `struct tcp_info` of include/uapi/linux/tcp.h."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_SIZE = 192
_MSS, _SENT_AGAIN, _ACKED, _DATA_SEGMENTS = 16, 100, 120, 156


class TcpInfo(NamedTuple):
    """Of one connection so far. What an older kernel does not know is 0.

    Attributes:
        mss: Payload bytes of a full segment, as the kernel cuts for this peer.
        segments: Data segments sent, each time that they were (Linux 4.6).
        sent_again: Segments sent again, SYN among them.
        acked: Bytes that the other end has acknowledged (Linux 4.1).
    """

    mss: int
    segments: int
    sent_again: int
    acked: int


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Ask for it; of a connection that has ended too, as long as its socket is open."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)

    def field(kind: str, at: int) -> int:
        size = struct.calcsize(kind)
        return int(struct.unpack_from(kind, info, at)[0]) if len(info) >= at + size else 0

    return TcpInfo(
        mss=field("@I", _MSS),
        segments=field("@I", _DATA_SEGMENTS),
        sent_again=field("@I", _SENT_AGAIN),
        acked=field("@Q", _ACKED),
    )
