"""Sends one burst. Traffic is the kernel's own: plain sockets, UDP_SEGMENT and bulk TCP.

The stack thus submits partial checksums (CHECKSUM_PARTIAL) and super-packets to the driver exactly
as it does for applications.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import socket
import struct
import time
from collections.abc import Callable, Iterator
from functools import partial

from qualification.agent.waiting import await_condition
from qualification.messages.bursts import FlowOrder
from qualification.messages.protocol import AgentProblem

from .batch import MOST, send_batch
from .flow_socket import flow_socket
from .pace import Pace, quiet_seconds
from .payload import HEADER, LARGEST_SMALL, small_size
from .send_result import SendResult
from .streams import send_streams

_SOL_UDP, _UDP_SEGMENT = 17, 103
_IN_FLIGHT = 32 << 10
_SIOCOUTQ = 0x5411
_DRAIN_SECONDS = 2.0
"""How long the queues of the host may take for what they hold at the end."""
_UDP_MAX = 65507 - 40
"""Payload of a UDP datagram, bytes, with room for the IPv6 header (RFC 768, RFC 8200)."""


def _waiting(sock: socket.socket) -> int:
    """Returns the bytes of a socket that the NIC has not confirmed as sent (udp(7), SIOCOUTQ)."""
    waiting: int = struct.unpack("@i", fcntl.ioctl(sock, _SIOCOUTQ, bytes(4)))[0]
    return waiting


def send(order: FlowOrder, namespace: int | None, stop: Callable[[], bool]) -> SendResult:
    """Sends one burst.

    Args:
        order: The burst.
        namespace: Descriptor of the namespace of its sockets; None for the current one.
        stop: Returns whether to give up.

    Raises:
        AgentProblem: The kernel has no UDP_SEGMENT.
    """
    result = SendResult(order.payload)
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
    """Yields what each call sends: the number of the first datagram, and the sizes of all."""
    sequence = 0
    if not order.segmented:
        # A call covers two milliseconds of the pace at most, and every socket gets its share.
        step = min(MOST, order.frames // order.streams, order.pace // 500) or 1
        for sequence in range(0, order.frames, step):
            end = min(sequence + step, order.frames)
            yield sequence, list(map(small_size, range(sequence, end)))
        return
    most = min(MOST, _UDP_MAX // order.payload) - 1
    turn = 0
    while sequence < order.frames:
        # The number of full segments varies, and so does the length of the last one, odd and even.
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
    result: SendResult,
) -> None:
    out: list[socket.socket] = []
    for _ in range(order.streams):
        sock = sockets.enter_context(flow_socket(order, namespace))
        # Little in flight: what a full queue of the host drops was never submitted to the driver.
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
    pace = Pace(order.pace)
    batch = send_batch(order.seed, max(order.payload, LARGEST_SMALL))
    segmented = order.segmented
    for turn, (sequence, sizes) in enumerate(_calls(order)):
        if over():
            return
        data, sock = batch.make(sequence, sizes), out[turn % len(out)]
        sent = _send_super_packet(sock, data, len(sizes)) if segmented else None
        if sent is None:
            if segmented:
                segmented = False
                for each in out:
                    each.setsockopt(_SOL_UDP, _UDP_SEGMENT, 0)
            sent = _send_repeatedly(partial(batch.send, sock), len(sizes))
        result.written += sent
        if sent < len(sizes):
            return
        pace.after(result.written)
    # What still waits in the host's queues was not submitted to the driver yet.
    seconds = _DRAIN_SECONDS + quiet_seconds(order.pace)
    result.complete = await_condition(lambda: not any(map(_waiting, out)), seconds, over)


def _send_super_packet(sock: socket.socket, data: bytes | memoryview, count: int) -> int | None:
    """Sends datagrams as one super-packet.

    Before Linux 6.11 UDP_SEGMENT is refused where the device of the route has no checksum offload
    (EIO of udp_send_skb). Each datagram then has to be sent by itself.

    Args:
        sock: A connected socket with UDP_SEGMENT.
        data: All datagrams, one behind the other.
        count: How many they are.

    Returns:
        How many were sent, all or none; None if the kernel refuses super-packets on this route.
    """

    def send_whole(_first: int) -> int:
        sock.send(data)
        return count

    try:
        return _send_repeatedly(send_whole, count)
    except OSError as error:
        if error.errno == errno.EIO:
            return None
        raise


def _send_repeatedly(send: Callable[[int], int], count: int) -> int:
    """Calls a function until all datagrams of a batch are sent, or until a queue stays full.

    Args:
        send: Sends from a datagram on, given by its index, and returns how many it sent.
        count: How many datagrams there are.

    Returns:
        How many were sent.
    """
    sent = refused = 0
    while sent < count:
        try:
            sent += send(sent)
            refused = 0
        except OSError as error:
            if error.errno == errno.ECONNREFUSED and not refused:
                refused = 1  # the error belongs to an earlier datagram; this one is not sent
            elif error.errno in (errno.ENOBUFS, errno.EAGAIN):
                break
            else:
                raise
    return sent
