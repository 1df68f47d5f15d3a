"""Reverse traffic: what the peer sends to the DUT while the DUT sends a burst. It is not verified.

Its only purpose is that the DUT receives while it sends; its frames are the peer's work.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import ExitStack, suppress

from qualification.agent.traffic.flow_socket import flow_socket
from qualification.agent.traffic.sending import send
from qualification.messages.bursts import FlowOrder

_PIECE = 1 << 20


class ReverseSink:
    """Receives a burst on a thread of its own, and drops it.

    Args:
        order: The burst.
        namespace: Descriptor of the namespace of its sockets; None for the current one.

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
        """Receives and drops what is there; returns False at the end of a stream."""
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
        """Returns whether anything was received."""
        return self.received > 0

    def close(self) -> None:
        """Ends it and closes its connections, which ends a sender of TCP, too."""
        self._closing.set()
        self._thread.join()


class ReverseSender:
    """Sends a burst on a thread of its own until it is closed, or all is sent.

    Args:
        order: The burst.
        namespace: Descriptor of the namespace of its sockets; None for the current one.
    """

    def __init__(self, order: FlowOrder, namespace: int | None) -> None:
        self._order, self._namespace = order, namespace
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reverse", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError):  # its receiver was closed
            send(self._order, self._namespace, self._stop.is_set)

    def close(self) -> None:
        """Ends it."""
        self._stop.set()
        self._thread.join()
