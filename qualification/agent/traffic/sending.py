"""Sends one burst. Traffic is the kernel's own: plain sockets, UDP_SEGMENT and bulk TCP.

So the stack hands the NIC partial checksums and super-packets exactly as it does for users.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import struct
import time
from collections.abc import Callable, Iterator

from qualification.agent.waiting import await_condition
from qualification.messages.bursts import FlowOrder
from qualification.messages.protocol import AgentProblem

from .batch import MOST, send_batch
from .flow_socket import flow_socket
from .payload import HEADER, LARGEST_SMALL, small_size
from .streams import send_streams

_SOL_UDP, _UDP_SEGMENT = 17, 103
_IN_FLIGHT = 32 << 10
_SIOCOUTQ = 0x5411
_UDP_MAX = (
    65507 - 40
)  # of payload, beside any IP header; include/uapi/linux/udp.h allows 64 segments


def _waiting(sock: socket.socket) -> int:
    """Bytes of a socket that the NIC has not confirmed as sent, udp(7) SIOCOUTQ."""
    waiting: int = struct.unpack("@i", fcntl.ioctl(sock, _SIOCOUTQ, bytes(4)))[0]
    return waiting


class _Pace:
    """Keeps a sender at a number of frames per second, in steps of at least two milliseconds.

    With a rate of 0 it lets it go as fast as it can.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._start = time.monotonic()

    def after(self, frames: int) -> None:
        if not self._rate:
            return
        ahead = frames / self._rate - (time.monotonic() - self._start)
        if ahead > 0.002:
            time.sleep(ahead)


class Sending:
    """What came of a burst on the sending side.

    Attributes:
        written: Datagrams, or payload bytes of streams, given to the kernel.
        complete: All of it went out before the deadline.
        segment: Largest payload of one frame, bytes.
        seconds: How long it took.
    """

    def __init__(self, segment: int) -> None:
        self.written = 0
        self.complete = False
        self.segment = segment
        self.seconds = 0.0


def send(order: FlowOrder, namespace: int | None, stop: Callable[[], bool]) -> Sending:
    """Sends one burst.

    Args:
        order: The burst.
        namespace: Where its sockets are made; None for here.
        stop: Whether to give up.
    """
    result = Sending(order.payload)
    start = time.monotonic()
    end = start + order.deadline

    def over() -> bool:
        return stop() or time.monotonic() > end

    with contextlib.ExitStack() as sockets:
        if order.protocol == "tcp":
            send_streams(order, namespace, sockets, over, result)
        else:
            _send_datagrams(order, namespace, sockets, over, result)
    result.seconds = time.monotonic() - start
    return result


def _calls(order: FlowOrder) -> Iterator[tuple[int, list[int]]]:
    """What each call sends: the number of the first datagram, and the sizes of all."""
    sequence = 0
    if not order.segmented:
        # A step of the pace is no shorter than two milliseconds, and every socket gets its share.
        step = min(MOST, order.frames // order.streams, order.pace // 500) or 1
        for sequence in range(0, order.frames, step):
            end = min(sequence + step, order.frames)
            yield sequence, list(map(small_size, range(sequence, end)))
        return
    most = min(MOST, _UDP_MAX // order.payload) - 1
    turn = 0
    while sequence < order.frames:
        # Different numbers of full segments, and a last one of every length, odd and even.
        full = 1 + turn * 7 % most
        last = HEADER.size + turn * 131 % (order.payload - HEADER.size)
        yield sequence, [*[order.payload] * full, last]
        sequence += full + 1
        turn += 1


def _send_datagrams(
    order: FlowOrder,
    namespace: int | None,
    sockets: contextlib.ExitStack,
    over: Callable[[], bool],
    result: Sending,
) -> None:
    out: list[socket.socket] = []
    for _ in range(order.streams):
        sock = sockets.enter_context(flow_socket(order, namespace))
        # Little in flight: what a full queue of the host drops was never handed to the NIC.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _IN_FLIGHT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 1, 0))
        if order.segmented:
            try:
                sock.setsockopt(_SOL_UDP, _UDP_SEGMENT, order.payload)
            except OSError as error:
                raise AgentProblem(
                    "no-udp-segment", "this kernel has no UDP_SEGMENT (4.18 and later do)"
                ) from error
        sock.connect((order.destination, order.port))
        out.append(sock)
    pace = _Pace(order.pace)
    batch = send_batch(order.seed, max(order.payload, LARGEST_SMALL))
    for turn, (sequence, sizes) in enumerate(_calls(order)):
        if over():
            return
        data, sock = batch.make(sequence, sizes), out[turn % len(out)]
        sent = refused = 0
        while sent < len(sizes):
            try:
                if order.segmented:
                    sock.send(data)
                    sent = len(sizes)
                else:
                    sent += batch.send(sock, sent)
                refused = 0
            except OSError as error:
                if error.errno == errno.ECONNREFUSED and not refused:
                    refused = 1  # the notice was about an earlier one, and this one is unsent
                elif error.errno in (errno.ENOBUFS, errno.EAGAIN):
                    result.written += sent
                    return
                else:
                    raise
        result.written += sent
        pace.after(result.written)
    # What still waits in the host's queues was not handed to the NIC yet.
    result.complete = await_condition(lambda: not any(map(_waiting, out)), 2.0, over)
