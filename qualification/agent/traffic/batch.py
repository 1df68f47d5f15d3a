"""Makes, sends, receives and verifies datagrams, a batch at each call.

The native implementation uses one sendmmsg(2) or recvmmsg(2) per call, and makes and verifies the
datagrams in C. The Python reference handles one datagram after the other.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Sequence
from typing import NamedTuple

from qualification.wire.native import native_for

from .payload import Datagrams, mark, pool

MOST = 64
"""Datagrams in a batch: as many as UDP_SEGMENT accepts (UDP_MAX_SEGMENTS)."""
_MSG_DONTWAIT = 0x40


class BatchCounts(NamedTuple):
    """Counts of the datagrams that were received.

    Attributes:
        received: All of them.
        corrupt: Of those, the ones whose bytes do not follow from their number.
        duplicates: Of those, the ones whose number was received before.
    """

    received: int
    corrupt: int
    duplicates: int

    @property
    def different(self) -> int:
        """Returns how many datagrams of the burst were received, each counted once."""
        return self.received - self.corrupt - self.duplicates


class SendBatch:
    """Makes and sends datagrams; the Python reference.

    Args:
        seed: Of the burst.
    """

    def __init__(self, seed: int) -> None:
        self._make = Datagrams(seed).make
        self._made: list[bytes] = []

    def make(self, sequence: int, sizes: Sequence[int]) -> bytes | memoryview:
        """Makes datagrams, `MOST` at most.

        Args:
            sequence: The number of the first.
            sizes: Their sizes, bytes, headers included.

        Returns:
            All of them, one behind the other; valid until the next call.
        """
        self._made = [self._make(sequence + index, size) for index, size in enumerate(sizes)]
        return b"".join(self._made)

    def send(self, sock: socket.socket, first: int) -> int:
        """Sends the datagrams that were made, each as a datagram of its own.

        Args:
            sock: A connected socket.
            first: The index of the datagram to begin with.

        Returns:
            How many were sent, at least one.

        Raises:
            OSError: The first one could not be sent.
        """
        sock.send(self._made[first])
        return 1


class ReceiveBatch:
    """Receives and verifies datagrams; the Python reference.

    Args:
        seed: Of the burst.
        size: Of its largest datagram, bytes.
        most: The numbers of its datagrams are below this.
    """

    def __init__(self, seed: int, size: int, most: int) -> None:
        self._sequence_of, self._size = Datagrams(seed).sequence_of, size
        self._here = bytearray(most)
        self._received = self._corrupt = self._duplicates = 0

    def receive(self, sock: socket.socket) -> BatchCounts:
        """Receives the datagrams that are there, or some of them.

        Returns:
            The counts of the burst so far.

        Raises:
            BlockingIOError: There are no more.
            OSError: The socket failed.
        """
        datagram = sock.recv(self._size + 1)
        sequence = self._sequence_of(datagram)
        self._received += 1
        if sequence is None or sequence >= len(self._here) or len(datagram) > self._size:
            self._corrupt += 1
        elif self._here[sequence]:
            self._duplicates += 1
        else:
            self._here[sequence] = 1
        return BatchCounts(self._received, self._corrupt, self._duplicates)


class _Piece(ctypes.Structure):
    """Represents `struct iovec`."""

    _fields_ = (("at", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """Represents `struct msghdr`, where a pointer has 64 bits."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("pieces", ctypes.POINTER(_Piece)),
        ("number", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """Represents `struct mmsghdr`."""

    _fields_ = (("header", _Header), ("length", ctypes.c_uint32))


class _Messages:
    """Buffers for the datagrams of one call of sendmmsg(2) or recvmmsg(2).

    Args:
        size: Bytes for each.
    """

    def __init__(self, size: int) -> None:
        self.data = ctypes.create_string_buffer(MOST * size)
        self.pieces, self.headers = (_Piece * MOST)(), (_Message * MOST)()
        start = ctypes.addressof(self.data)
        for number, message in enumerate(self.headers):
            self.pieces[number] = _Piece(start + number * size, size)
            message.header.pieces = ctypes.pointer(self.pieces[number])
            message.header.number = 1


class NativeSendBatch(SendBatch):
    """Makes and sends datagrams; the native implementation.

    Args:
        library: The native code.
        seed: Of the burst.
        size: Of the largest datagram, bytes.
    """

    def __init__(self, library: ctypes.CDLL, seed: int, size: int) -> None:
        super().__init__(seed)
        self._pool, self._mark = pool(seed), ctypes.c_uint32(mark(seed))
        self._datagrams = library.vx_datagrams
        self._datagrams.restype = ctypes.c_size_t
        self._sendmmsg = ctypes.CDLL(None, use_errno=True).sendmmsg
        self._room, self._count, self._sizes = _Messages(size), 0, (ctypes.c_uint32 * MOST)()
        self._view = memoryview(self._room.data).cast("B")

    def make(self, sequence: int, sizes: Sequence[int]) -> memoryview:
        """See `SendBatch`."""
        self._count = len(sizes)
        self._sizes[: self._count] = list(sizes)
        whole = self._datagrams(
            self._pool, self._mark, ctypes.c_uint32(sequence),
            self._sizes, ctypes.c_size_t(self._count), self._room.data, self._room.pieces,
        )  # fmt: skip
        return self._view[:whole]

    def send(self, sock: socket.socket, first: int) -> int:
        """See `SendBatch`."""
        here = ctypes.byref(self._room.headers, first * ctypes.sizeof(_Message))
        return _checked(self._sendmmsg(sock.fileno(), here, self._count - first, 0))


class NativeReceiveBatch(ReceiveBatch):
    """Receives and verifies datagrams; the native implementation.

    Args:
        library: The native code.
        seed: As for `ReceiveBatch`.
        size: As for `ReceiveBatch`.
        most: As for `ReceiveBatch`.
    """

    def __init__(self, library: ctypes.CDLL, seed: int, size: int, most: int) -> None:
        super().__init__(seed, size, most)
        self._pool, self._mark = pool(seed), ctypes.c_uint32(mark(seed))
        self._tally = library.vx_count_received
        self._recvmmsg = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._room, self._counts = _Messages(size), (ctypes.c_uint64 * 3)()
        self._seen, self._most = ctypes.create_string_buffer(most), ctypes.c_size_t(most)

    def receive(self, sock: socket.socket) -> BatchCounts:
        """See `ReceiveBatch`."""
        headers = self._room.headers
        count = _checked(
            self._recvmmsg(sock.fileno(), headers, MOST, _MSG_DONTWAIT, ctypes.c_void_p())
        )
        self._tally(
            self._pool, self._mark, headers, ctypes.c_size_t(count),
            self._seen, self._most, self._counts,
        )  # fmt: skip
        return BatchCounts(*self._counts)


def send_batch(seed: int, size: int) -> SendBatch:
    """Returns the fastest batch to send from; the arguments are those of `NativeSendBatch`."""
    library = native_for(__file__).library
    return NativeSendBatch(library, seed, size) if library else SendBatch(seed)


def receive_batch(seed: int, size: int, most: int) -> ReceiveBatch:
    """Returns the fastest batch to receive into; the arguments are those of `ReceiveBatch`."""
    library = native_for(__file__).library
    if library is None:
        return ReceiveBatch(seed, size, most)
    return NativeReceiveBatch(library, seed, size, most)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
