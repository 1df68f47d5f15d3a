"""What the peer sends to the DUT while the DUT is judged: traffic that nobody looks at.

The DUT is to be busy receiving, no more; what it receives is the peer's work.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import ExitStack, suppress

from qualification.messages.bursts import FlowOrder

from .flow_socket import flow_socket
from .sending import send

_PIECE = 1 << 20


class ReverseSink:
    """Takes in a burst on a thread of its own, and drops it.

    Attributes:
        received: Bytes of payload so far.
    """

    def __init__(self, order: FlowOrder, namespace: int | None) -> None:
        self.received = 0
        self._closing = threading.Event()
        self._buffer = bytearray(_PIECE)
        self._tcp = order.protocol == "tcp"
        self._socket = flow_socket(order, namespace)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setblocking(False)
            self._socket.bind((order.destination, order.port))
            if self._tcp:
                self._socket.listen(order.streams)
        except BaseException:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector, ExitStack() as sockets:
            sockets.enter_context(self._socket)
            selector.register(self._socket, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _events in selector.select(0.02):
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    if self._tcp and sock is self._socket:
                        stream = sockets.enter_context(sock.accept()[0])
                        stream.setblocking(False)
                        selector.register(stream, selectors.EVENT_READ)
                    elif not self._take(sock):
                        selector.unregister(sock)

    def _take(self, sock: socket.socket) -> bool:
        """Drops what is there; False at a stream's end."""
        with suppress(BlockingIOError):
            try:
                size = sock.recv_into(self._buffer)
            except OSError as error:
                if isinstance(error, BlockingIOError):
                    raise
                return False
            self.received += size
            return bool(size) or not self._tcp
        return True

    def has_some(self) -> bool:
        """Whether anything has come."""
        return self.received > 0

    def close(self) -> None:
        """Ends it; a sender that goes on is told so by its connections' end."""
        self._closing.set()
        self._thread.join()


class ReverseSender:
    """Sends a burst on a thread of its own until it is told to stop, or has sent it."""

    def __init__(self, order: FlowOrder, namespace: int | None) -> None:
        self._order, self._namespace = order, namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="back", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):  # its receiver has gone
            send(self._order, self._namespace, self._stop.is_set)

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()
