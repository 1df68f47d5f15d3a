"""Reads `struct tcp_info` of a TCP connection (include/uapi/linux/tcp.h)."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

_SIZE = 192
_MSS, _SENT_AGAIN, _ACKED, _DATA_SEGMENTS = 16, 100, 120, 156


class TcpInfo(NamedTuple):
    """The state of one connection. A field that an older kernel does not have is 0.

    Attributes:
        mss: Payload of a full segment towards this peer, bytes.
        segments: Data segments sent, retransmissions included (Linux 4.6).
        sent_again: Segments retransmitted, SYNs included.
        acked: Bytes that the other end has acknowledged (Linux 4.1).
    """

    mss: int
    segments: int
    sent_again: int
    acked: int


def tcp_info(sock: socket.socket) -> TcpInfo:
    """Returns the state of a connection, which may have ended as long as its socket is open."""
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
