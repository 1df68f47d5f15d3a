"""Receives one burst with sockets and compares every byte with what was sent."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time

from qualification.messages.bursts import Delivered, FlowOrder

from .batch import MOST, receive_batch
from .flow_socket import flow_socket
from .payload import CHUNK, LARGEST_SMALL, PREFACE, Stream, mark

_SO_RCVBUFFORCE = 33
_BUFFER = 64 << 20
"""Receive buffer, bytes: it holds a whole burst, so that no datagram is lost at the socket."""


class Receiver:
    """Receives one burst on a thread of its own and compares every byte with what was sent.

    Args:
        order: The burst.
        namespace: Descriptor of the namespace of its sockets; None for the current one.

    Attributes:
        received: Datagrams, or payload bytes of streams, received so far.
    """

    def __init__(self, order: FlowOrder, namespace: int | None) -> None:
        self._order = order
        self.received = self._corrupt = self._duplicates = 0
        self._complete = self._cut_off = False
        self._last_arrival = time.monotonic()
        self._closing = threading.Event()
        self._failure: BaseException | None = None
        self._socket = flow_socket(order, namespace)
        try:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.setblocking(False)
            self._socket.bind((order.destination, order.port))
            if order.protocol == "tcp":
                # The streams inherit it. Waking up for every segment would cost too much CPU.
                wake_up = CHUNK
                if order.in_flight:
                    # A sender makes no super-packet of more than half the window, either
                    # (tcp_bound_to_half_wnd, include/net/tcp.h).
                    window = order.payload * max(2, order.in_flight // order.streams)
                    # The kernel doubles it, for the bytes beside the payload (socket(7)).
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
                    wake_up = min(CHUNK, window // 2)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, wake_up)
                self._socket.listen(order.streams)
        except BaseException:
            self._socket.close()
            raise
        self._thread = threading.Thread(target=self._run, name="receiver", daemon=True)
        self._thread.start()

    @property
    def complete(self) -> bool:
        """Returns whether the burst is complete."""
        return self._complete

    def quiet_for(self) -> float:
        """Returns the seconds since something was received, or since the start."""
        return time.monotonic() - self._last_arrival

    def _run(self) -> None:
        try:
            if self._order.protocol == "tcp":
                self._receive_streams()
            else:
                self._receive_datagrams()
        except BaseException as error:
            self._failure = error

    def _receive_datagrams(self) -> None:
        order = self._order
        batch = receive_batch(order.seed, max(order.payload, LARGEST_SMALL), order.frames + MOST)
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while not self._closing.is_set():
                selector.select(0.02)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        tally = batch.receive(self._socket)
                        self._last_arrival = time.monotonic()
                        self.received, self._corrupt, self._duplicates = tally
                        self._complete = tally.different >= order.frames

    def _receive_streams(self) -> None:
        order = self._order
        ended = 0
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as sockets:
            selector.register(self._socket, selectors.EVENT_READ)
            while not self._closing.is_set():
                for key, _events in selector.select(0.02):
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    if key.data is None:
                        stream_socket, _peer = sock.accept()
                        sockets.enter_context(stream_socket)
                        stream_socket.setblocking(False)
                        selector.register(stream_socket, selectors.EVENT_READ, _StreamReader(order))
                    elif not self._read(sock, key.data):
                        selector.unregister(sock)
                        sock.close()
                        ended += 1
                self._complete = ended >= order.streams

    def _read(self, sock: socket.socket, reader: _StreamReader) -> bool:
        """Reads what is there; returns False at the end of the stream."""
        try:
            while True:
                data = sock.recv(1 << 18)
                if not data:
                    return False
                self.received += len(data)
                self._last_arrival = time.monotonic()
                self._corrupt += not reader.fits(data)
        except BlockingIOError:
            return True
        except OSError:  # a reset: the sender stopped at its deadline
            self._cut_off = True
            return False

    def finish(self) -> Delivered:
        """Ends the burst; returns what was delivered."""
        self._closing.set()
        self._thread.join()
        self._socket.close()
        if self._failure is not None:
            raise self._failure
        complete = self._complete and not self._cut_off
        return Delivered(self.received, self._corrupt, self._duplicates, complete)


class _StreamReader:
    """Compares one stream with what was sent, by position."""

    def __init__(self, order: FlowOrder) -> None:
        self._order = order
        self._preface = b""
        self._stream: Stream | None = None
        self._position = 0

    def fits(self, data: bytes) -> bool:
        """Returns whether the next bytes of the stream are those that were sent."""
        good = True
        if self._stream is None:
            need = PREFACE.size - len(self._preface)
            self._preface, data = self._preface + data[:need], data[need:]
            if len(self._preface) < PREFACE.size:
                return True
            whose, number = PREFACE.unpack(self._preface)
            good = whose == mark(self._order.seed) and number < self._order.streams
            self._stream = Stream(self._order.seed, number if good else 0)
        # As bytes: memoryviews are compared item by item, which is forty times slower.
        for start in range(0, len(data), CHUNK):
            piece = data[start : start + CHUNK]
            good = good and piece == bytes(self._stream.at(self._position, len(piece)))
            self._position += len(piece)
        return good
