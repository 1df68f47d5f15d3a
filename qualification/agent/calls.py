"""Calls as an application makes them: request and answer over TCP, each with a deadline.

Several channels at once, each a persistent connection with one call at a time. A message is a
length-prefixed header and a body that the seed and the call's number determine; the answer is as
long as the request. A call that misses its deadline, or whose connection breaks, is an error, and
its channel gets a new connection, as a gRPC client would make one.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from . import namespaces
from .messages import Calls, CallsOrder, ChannelCalls, Served
from .payload import POOL, STEP, mark, pool

_HEADER = struct.Struct("!4sIII")  # magic, the seed's mark, number of the message, bytes of body
_MAGIC = b"vxc\x01"
_LARGEST = 16 << 20
_RESET = struct.pack("@ii", 1, 0)  # SO_LINGER: what is in flight is dropped, not sent again
_FAILED_IN_A_ROW = 3
"""Errors one after another after which a channel gives up: it would only wait for more."""

# struct tcp_info, include/uapi/linux/tcp.h; older kernels know less of it and tell less.
_TCP_INFO_SIZE = 192
_TOTAL_RETRANS = 100
_DATA_SEGS_OUT = 156


class _Broken(OSError):  # noqa: N818  (a finding, not a crash)
    """The other end closed, or speaks something else."""


class _Corrupt(Exception):  # noqa: N818  (a finding, not a crash)
    """A message came whole, and is not what was sent."""


class _Bodies:
    """The body of each message: a slice of the seed's pool, repeated."""

    def __init__(self, seed: int) -> None:
        self._pool = pool(seed)

    def make(self, number: int, size: int) -> bytes:
        start = number * STEP % POOL
        block = self._pool[start : start + POOL]
        return (block * (size // POOL + 1))[:size]


def _retransmitted(sock: socket.socket) -> tuple[int, int]:
    """Data segments that a connection has sent, and segments that it sent again."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)

    def field(at: int) -> int:
        return int(struct.unpack_from("@I", info, at)[0]) if len(info) >= at + 4 else 0

    return field(_DATA_SEGS_OUT), field(_TOTAL_RETRANS)


def _read(sock: socket.socket, size: int, end: float | None) -> bytearray:
    """So many bytes, by a time on the monotonic clock if there is one."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        sock.settimeout(_left(end))
        count = sock.recv_into(view)
        if count == 0:
            raise _Broken("the other end closed the connection")
        view = view[count:]
    return data


def _left(end: float | None) -> float | None:
    """Seconds until then, for `settimeout`; 0 would mean something else there."""
    return None if end is None else max(end - time.monotonic(), 1e-6)


# The server


class CallServer:
    """Answers calls, each connection on a thread of its own, until `finish`.

    Args:
        order: Whose calls; it listens on the destinations of its routes.
        namespace: Where; None for here.
    """

    def __init__(self, order: CallsOrder, namespace: int | None) -> None:
        self._mark = mark(order.seed)
        self._bodies = _Bodies(order.seed)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._calls = self._corrupt = self._segments = self._again = 0
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []
        try:
            for address in dict.fromkeys(destination for _, destination in order.routes):
                self._listeners.append(_socket(address, namespace))
                self._listeners[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self._listeners[-1].bind((address, order.port))
                self._listeners[-1].listen(order.channels)
        except BaseException:
            self._close_listeners()
            raise
        for listener in self._listeners:
            self._begin(self._accept, listener)

    def _begin(self, what: Callable[[socket.socket], None], sock: socket.socket) -> None:
        thread = threading.Thread(target=what, args=(sock,), name="call-server", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:  # shut down by `finish`
                return
            with self._lock:
                if self._closing.is_set():
                    connection.close()
                    return
                self._connections.append(connection)
                self._begin(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):  # the client's end of it, or ours
            while self._answer(connection):
                pass
            connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, connection: socket.socket) -> bool:
        """Answers one call; False if it was none, after which the stream cannot be followed."""
        magic, whose, number, size = _HEADER.unpack(_read(connection, _HEADER.size, None))
        good: bool = magic == _MAGIC and whose == self._mark and size <= _LARGEST
        if good:
            good = _read(connection, size, None) == self._bodies.make(number, size)
        if good:
            answer = _HEADER.pack(_MAGIC, whose, number + 1, size)
            connection.sendall(answer + self._bodies.make(number + 1, size))
        with self._lock:
            self._calls += good
            self._corrupt += not good
        return good

    def finish(self) -> Served:
        """Ends every connection and says what was served."""
        with self._lock:
            self._closing.set()
        self._close_listeners()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # the client was first
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            segments, again = _retransmitted(connection)
            self._segments += segments
            self._again += again
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            connection.close()
        self._connections.clear()
        return Served(self._calls, self._corrupt, self._segments, self._again)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):  # it does not listen yet
                listener.shutdown(socket.SHUT_RDWR)  # wakes its thread, which closing would not
            listener.close()


def _socket(address: str, namespace: int | None) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.inside(namespace):
        return socket.socket(family, socket.SOCK_STREAM)


# The client


def make_calls(order: CallsOrder, namespace: int | None, stop: Callable[[], bool]) -> Calls:
    """Makes calls over every channel at once.

    Args:
        order: The calls.
        namespace: Where sockets are made; None for here.
        stop: Whether to give up.
    """
    start = time.monotonic()
    bodies = _Bodies(order.seed)

    def over() -> bool:
        return stop() or time.monotonic() - start > order.seconds

    def run(channel: int) -> ChannelCalls:
        return _Channel(order, channel, namespace, bodies).run(over)

    with ThreadPoolExecutor(order.channels, "channel") as threads:
        channels = tuple(threads.map(run, range(order.channels)))
    return Calls(channels, time.monotonic() - start)


class _Channel:
    """One channel of a client: calls one after another, over a connection that it renews."""

    def __init__(
        self, order: CallsOrder, channel: int, namespace: int | None, bodies: _Bodies
    ) -> None:
        self._order, self._channel, self._namespace = order, channel, namespace
        self._bodies = bodies
        self._socket: socket.socket | None = None
        self._segments = self._again = 0

    def run(self, over: Callable[[], bool]) -> ChannelCalls:
        """Makes the channel's calls until they are made, it is over, or nothing gets through."""
        latencies: list[float] = []
        missed = broken = corrupt = failed = 0
        for turn in range(self._order.calls):
            if failed == _FAILED_IN_A_ROW or over():
                break
            failed += 1
            try:
                latencies.append(self._call(turn))
                failed = 0
                continue
            except socket.timeout:  # noqa: UP041  (until Python 3.10 they were two)
                missed += 1
            except OSError:
                broken += 1
            except _Corrupt:
                corrupt += 1
            self._hang_up()
        self._hang_up()
        return ChannelCalls(tuple(latencies), missed, broken, corrupt, self._segments, self._again)

    def _call(self, turn: int) -> float:
        """One call; how long it took, in seconds, with the connection if it needed a new one."""
        order = self._order
        serial = turn * order.channels + self._channel
        size, number = order.sizes[serial % len(order.sizes)], 2 * serial
        whose = mark(order.seed)
        request = _HEADER.pack(_MAGIC, whose, number, size) + self._bodies.make(number, size)
        expected = _HEADER.pack(_MAGIC, whose, number + 1, size) + self._bodies.make(
            number + 1, size
        )
        start = time.monotonic()
        end = start + order.deadline
        sock = self._connected(end)
        sock.settimeout(_left(end))
        sock.sendall(request)  # its timeout is for all of it
        answer = _read(sock, len(expected), end)
        seconds = time.monotonic() - start
        if answer != expected:
            raise _Corrupt
        return seconds

    def _connected(self, end: float) -> socket.socket:
        if self._socket is None:
            source, destination = self._order.routes[self._channel % len(self._order.routes)]
            self._socket = _socket(destination, self._namespace)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.bind((source, 0))
            self._socket.settimeout(_left(end))
            self._socket.connect((destination, self._order.port))
        return self._socket

    def _hang_up(self) -> None:
        if self._socket is not None:
            segments, again = _retransmitted(self._socket)
            self._segments += segments
            self._again += again
            self._socket.close()
            self._socket = None
