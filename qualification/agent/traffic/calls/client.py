"""Calls as an application makes them: request and answer over TCP, each with a deadline.

This module has the client, and what it shares with the server (`call_server`).

Several channels run at once; each is a persistent connection with one call at a time. A message is
a header with a length and a body that follows from the seed and the call's number; the answer is as
long as the request. A call that misses its deadline, or whose connection breaks, is an error, and
its channel gets a new connection, as with a gRPC client.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from qualification.agent.traffic.flow_socket import socket_for
from qualification.agent.traffic.payload import POOL, STEP, mark, pool
from qualification.agent.traffic.tcp_info import tcp_info
from qualification.messages.calls import Calls, CallsOrder, ChannelCalls

HEADER = struct.Struct("!4sIII")  # magic, the seed's mark, number of the message, bytes of body
MAGIC = b"vxc\x01"
RESET = struct.pack("@ii", 1, 0)  # SO_LINGER: data in flight is dropped, not sent again
_FAILED_IN_A_ROW = 3
"""Consecutive errors after which a channel gives up; it would only wait for more of them."""


class CorruptAnswer(Exception):  # noqa: N818  (a finding, not a crash)
    """A message was received in full and is not the one that was sent."""


class Bodies:
    """Makes the body of each message: a slice of the seed's pool, repeated."""

    def __init__(self, seed: int) -> None:
        self._pool = pool(seed)

    def make(self, number: int, size: int) -> bytes:
        """Returns the body of a message: `size` bytes."""
        start = number * STEP % POOL
        block = self._pool[start : start + POOL]
        return (block * (size // POOL + 1))[:size]


def sent_segments(sock: socket.socket) -> tuple[int, int]:
    """Returns the data segments that a connection has sent, and those that it retransmitted."""
    info = tcp_info(sock)
    return info.segments, info.sent_again


def read(sock: socket.socket, size: int, end: float | None) -> bytearray:
    """Reads `size` bytes.

    Args:
        sock: The connection.
        size: Bytes.
        end: The time on the monotonic clock by which they must be there; None for no limit.

    Raises:
        socket.timeout: They were not there in time.
        OSError: The connection broke.
    """
    data = bytearray(size)
    view = memoryview(data)
    while view:
        sock.settimeout(_left(end))
        count = sock.recv_into(view)
        if count == 0:
            raise ConnectionResetError("the other end closed the connection")
        view = view[count:]
    return data


def _left(end: float | None) -> float | None:
    """Seconds until then, for `settimeout`; 0 would mean something else there."""
    return None if end is None else max(end - time.monotonic(), 1e-6)


def tcp_socket(address: str, namespace: int | None) -> socket.socket:
    """Returns a TCP socket of an address's family; None is the current namespace."""
    return socket_for(address, socket.SOCK_STREAM, namespace)


class Channel(Protocol):
    """What a client makes its calls over, one call at a time."""

    def exchange(self, number: int, request: bytes, answer: bytes, seconds: float) -> None:
        """Makes one call and compares its answer with the right one.

        Raises:
            socket.timeout: It was not answered within `seconds`.
            OSError: Its connection broke.
            CorruptAnswer: Its answer is wrong.
        """

    def hang_up(self) -> None:
        """Ends the connection; the next call makes a new one."""

    @property
    def sent(self) -> tuple[int, int]:
        """Returns the data segments sent, and retransmitted, by all connections that have ended."""


def make_calls(
    order: CallsOrder, open_channel: Callable[[int], Channel], stop: Callable[[], bool]
) -> Calls:
    """Makes calls over every channel at once.

    Args:
        order: The calls.
        open_channel: Makes the channel of a number.
        stop: Returns whether to give up.
    """
    start = time.monotonic()
    bodies = Bodies(order.seed)

    def over() -> bool:
        return stop() or time.monotonic() - start > order.seconds

    def run(number: int) -> ChannelCalls:
        return _run(order, number, open_channel(number), bodies, over)

    with ThreadPoolExecutor(order.channels, "channel") as threads:
        channels = tuple(threads.map(run, range(order.channels)))
    return Calls(channels, time.monotonic() - start)


def _run(
    order: CallsOrder, which: int, channel: Channel, bodies: Bodies, over: Callable[[], bool]
) -> ChannelCalls:
    """Makes the calls of a channel until all are made, time is over, or nothing gets through."""
    latencies: list[float] = []
    missed = broken = corrupt = failed = 0
    for turn in range(order.calls):
        if failed == _FAILED_IN_A_ROW or over():
            break
        serial = turn * order.channels + which
        size, number = order.sizes[serial % len(order.sizes)], 2 * serial
        request, answer = bodies.make(number, size), bodies.make(number + 1, size)
        failed += 1
        start = time.monotonic()
        try:
            channel.exchange(number, request, answer, order.deadline)
            latencies.append(time.monotonic() - start)
            failed = 0
            continue
        except socket.timeout:  # noqa: UP041  (until Python 3.10 they were two)
            missed += 1
        except OSError:
            broken += 1
        except CorruptAnswer:
            corrupt += 1
        channel.hang_up()
    channel.hang_up()
    return ChannelCalls(tuple(latencies), missed, broken, corrupt, *channel.sent)


class TcpChannel:
    """A channel that speaks this module's protocol.

    Args:
        order: The calls.
        number: Of the channel; it selects the route.
        namespace: Descriptor of the namespace of its sockets; None for the current one.
    """

    def __init__(self, order: CallsOrder, number: int, namespace: int | None) -> None:
        self._mark, self._port = mark(order.seed), order.port
        self._source, self._destination = order.routes[number % len(order.routes)]
        self._namespace = namespace
        self._socket: socket.socket | None = None
        self.sent = 0, 0

    def exchange(self, number: int, request: bytes, answer: bytes, seconds: float) -> None:
        """See `Channel`; the time for a new connection counts as the call's."""
        end = time.monotonic() + seconds
        sock = self._connected(end)
        sock.settimeout(_left(end))
        # The timeout of sendall() is for the whole buffer.
        sock.sendall(HEADER.pack(MAGIC, self._mark, number, len(request)) + request)
        expected = HEADER.pack(MAGIC, self._mark, number + 1, len(answer))
        if read(sock, len(expected), end) != expected or read(sock, len(answer), end) != answer:
            raise CorruptAnswer

    def _connected(self, end: float) -> socket.socket:
        if self._socket is None:
            self._socket = tcp_socket(self._destination, self._namespace)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._socket.bind((self._source, 0))
            self._socket.settimeout(_left(end))
            self._socket.connect((self._destination, self._port))
        return self._socket

    def hang_up(self) -> None:
        """See `Channel`."""
        if self._socket is not None:
            segments, again = sent_segments(self._socket)
            self.sent = self.sent[0] + segments, self.sent[1] + again
            self._socket.close()
            self._socket = None
