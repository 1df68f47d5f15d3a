"""Bulk TCP: several streams at once, each written as fast as the kernel takes it.

The kernel spaces what it sends by the pace (SO_MAX_PACING_RATE, socket(7)): TCP does so itself
where no fq queueing discipline does (`tcp_pacing_check`, net/ipv4/tcp_output.c).
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import struct
import time
from collections.abc import Callable, Sequence

from qualification.messages.bursts import FlowOrder

from .flow_socket import flow_socket
from .pace import Pace, seconds_for
from .payload import CHUNK, PREFACE, Stream, mark
from .send_result import SendResult
from .tcp_info import tcp_info

_STALL_SECONDS = 2.5
"""How long no stream may have written a byte before the burst ends, in addition to its time at its
pace. It is longer than the kernel takes to send a SYN again, or data several times (RFC 6298: 1 s;
Linux: 0.2 s, doubling)."""
_SO_MAX_PACING_RATE = 47
_UNPACED = 10
"""Segments of a stream that the kernel does not space (`tcp_update_skb_after_send`)."""
_LOOK_SECONDS = 1.25
"""Time between two checks for progress. A lost SYN is sent again after one second (RFC 6298), which
leaves it the rest to be answered."""


class _NoProgress:
    """Tells when the streams send again as much as gets through, measured over `_LOOK_SECONDS`.

    Behind a NIC that corrupts every frame, or every one but single retransmissions, streams proceed
    from one retransmission timeout to the next, and the frames that were captured are evidence
    enough. A path must lose half of its frames to look like that; a slow one never does.
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
    result: SendResult,
) -> None:
    """Sends one burst of TCP.

    Args:
        order: The burst.
        namespace: Descriptor of the namespace of its sockets; None for the current one.
        sockets: Closes the sockets.
        over: Returns whether to end.
        result: Is filled in.
    """
    selector = sockets.enter_context(selectors.DefaultSelector())
    streams: list[socket.socket] = []
    for number in range(order.streams):
        sock = sockets.enter_context(flow_socket(order, namespace))
        sock.setblocking(False)
        # A stream that its deadline ends must not retransmit into the next burst.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
        if order.pace:
            rate = max(1, order.pace * order.payload // order.streams)
            sock.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, rate)
        sock.connect_ex((order.destination, order.port))
        stream = Stream(order.seed, number)
        selector.register(sock, selectors.EVENT_WRITE, (number, sock, stream))
        streams.append(sock)
    share = -(-order.frames * order.payload // order.streams)
    position = [-1] * order.streams  # -1: not connected yet
    open_streams = order.streams
    pace, started = Pace(order.pace), 0
    progress = time.monotonic()
    # A socket takes in far more than it sends at once: its last byte may be written long before.
    stall = _STALL_SECONDS + 2 * seconds_for(order.frames, order.pace)
    no_progress = _NoProgress(streams)
    while open_streams and not over() and not no_progress() and time.monotonic() - progress < stall:
        for key, events in selector.select(0.05):
            progress = time.monotonic()
            number, sock, stream = key.data
            if events & selectors.EVENT_READ:  # the receiver has read everything and closed
                selector.unregister(sock)
                open_streams -= 1
                continue
            try:
                if position[number] < 0:
                    pace.after(_UNPACED * started)
                    started += 1
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
