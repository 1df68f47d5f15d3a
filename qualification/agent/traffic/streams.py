"""Bulk TCP: several streams at once, each written as fast as the kernel takes it."""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qualification.messages.bursts import FlowOrder

from .flow_socket import flow_socket
from .payload import CHUNK, PREFACE, Stream, mark
from .tcp_info import tcp_info

if TYPE_CHECKING:
    from .sending import Sending

_STALL_SECONDS = 2.5
"""Without a byte that any stream could write: longer than a SYN takes to be sent again, or data
several times (RFC 6298: 1 s; in Linux 0.2 s and doubling)."""
_LOOK_SECONDS = 1.25
"""Between two looks at whether anything gets through: a SYN that is lost is sent again after one
second (RFC 6298), and has the rest for an answer."""


class _Hopeless:
    """Tells when as much is sent again as gets through, over all streams and a good second.

    A NIC that spoils all it is given, or all but what is sent again piece by piece, lets streams
    crawl from one timeout to the next; what was captured of them tells enough. A path must lose
    half of what it is given to look like that, and a merely slow one never does.
    """

    def __init__(self, streams: Sequence[socket.socket]) -> None:
        self._streams = streams
        self._next_look = time.monotonic() + _LOOK_SECONDS
        self._before = 0, 0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK_SECONDS
        seen = [tcp_info(stream) for stream in self._streams]
        again = sum(info.sent_again for info in seen)
        through = sum(info.acked // max(1, info.mss) for info in seen)
        (again_before, through_before), self._before = self._before, (again, through)
        return 0 < again - again_before >= through - through_before


def send_streams(
    order: FlowOrder,
    namespace: int | None,
    sockets: contextlib.ExitStack,
    over: Callable[[], bool],
    result: Sending,
) -> None:
    """Sends one burst of TCP; arguments as of `sending.send`.

    Args:
        order: The burst.
        namespace: Where its sockets are made.
        sockets: Closes them.
        over: Whether to end.
        result: What came of it.
    """
    selector = sockets.enter_context(selectors.DefaultSelector())
    streams: list[socket.socket] = []
    for number in range(order.streams):
        sock = sockets.enter_context(flow_socket(order, namespace))
        sock.setblocking(False)
        # A stream that its deadline cuts off must not go on retransmitting into the next burst.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
        sock.connect_ex((order.destination, order.port))
        stream = Stream(order.seed, number)
        selector.register(sock, selectors.EVENT_WRITE, (number, sock, stream))
        streams.append(sock)
    share = -(-order.frames * order.payload // order.streams)
    position = [-1] * order.streams  # -1: not connected yet
    open_streams = order.streams
    progress = time.monotonic()
    hopeless = _Hopeless(streams)
    while (
        open_streams
        and not over()
        and not hopeless()
        and time.monotonic() - progress < _STALL_SECONDS
    ):
        for key, events in selector.select(0.05):
            progress = time.monotonic()
            number, sock, stream = key.data
            if events & selectors.EVENT_READ:  # the receiver has read to our end and closed
                selector.unregister(sock)
                open_streams -= 1
                continue
            try:
                if position[number] < 0:
                    sock.send(PREFACE.pack(mark(order.seed), number))
                    result.segment = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
                    position[number] = 0
                at = position[number]
                written = sock.send(stream.at(at, min(CHUNK, share - at)))
            except BlockingIOError:
                continue
            except OSError as error:
                selector.unregister(sock)
                if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ETIMEDOUT):
                    return
                open_streams -= 1
                continue
            position[number] += written
            result.written += written
            if position[number] >= share:
                sock.shutdown(socket.SHUT_WR)
                selector.modify(sock, selectors.EVENT_READ, key.data)
    result.complete = open_streams == 0 and result.written >= share * order.streams
