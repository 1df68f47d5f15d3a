"""The server of calls; see `calls`."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from qualification.agent.traffic.payload import mark
from qualification.messages.calls import CallsOrder, Served

from .client import HEADER, MAGIC, RESET, Bodies, read, sent_segments, tcp_socket

_LARGEST = 16 << 20
"""Bytes of the largest request; a header that says more is corrupt."""


class CallServer:
    """Answers calls, each connection on a thread of its own, until `finish`.

    Args:
        order: The calls; the server listens on the destinations of its routes.
        namespace: Descriptor of the namespace of its sockets; None for the current one.
    """

    def __init__(self, order: CallsOrder, namespace: int | None) -> None:
        self._mark = mark(order.seed)
        self._bodies = Bodies(order.seed)
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._calls = self._corrupt = self._segments = self._again = 0
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []
        try:
            for address in dict.fromkeys(destination for _, destination in order.routes):
                self._listeners.append(tcp_socket(address, namespace))
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
        with contextlib.suppress(OSError):  # the client closed the connection, or `finish` did
            while self._answer(connection):
                pass
            connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, connection: socket.socket) -> bool:
        """Answers one call; returns False if the request is corrupt, which ends the connection."""
        magic, whose, number, size = HEADER.unpack(read(connection, HEADER.size, None))
        good: bool = magic == MAGIC and whose == self._mark and size <= _LARGEST
        if good:
            good = read(connection, size, None) == self._bodies.make(number, size)
        if good:
            answer = HEADER.pack(MAGIC, whose, number + 1, size)
            connection.sendall(answer + self._bodies.make(number + 1, size))
        with self._lock:
            self._calls += good
            self._corrupt += not good
        return good

    def finish(self) -> Served:
        """Ends every connection; returns what was served."""
        with self._lock:
            self._closing.set()
        self._close_listeners()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # the client has closed it
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for connection in self._connections:
            segments, again = sent_segments(connection)
            self._segments += segments
            self._again += again
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.close()
        self._connections.clear()
        return Served(self._calls, self._corrupt, self._segments, self._again)

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            with contextlib.suppress(OSError):  # it does not listen yet
                listener.shutdown(socket.SHUT_RDWR)  # wakes its thread; close() would not
            listener.close()
