"""Moves frames between two TAPs: reads them from one kernel, finishes them, writes them to another.

Frames that the firmware does not touch are moved at once. The others are returned to the caller, as
the kernel submitted them and as a correct NIC would send them, for the firmware to change. With the
C implementation a batch of frames is one call (`vx_carry` and `vx_finish` in engine.c). The Python
implementation does the same more slowly; it is the reference.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable, Iterator

from qualification.wire.native import native_for

from . import counters
from .firmwares import Touches
from .offload import finish
from .tx_descriptor import GSO_NONE, UNCHECKED, RxStatus, TxDescriptor, parse

_BATCH = 64
"""Frames read from one end before the other end has its turn."""

_LARGEST = 1 << 18
"""Size of the read buffer in bytes. The kernel's super-packets are up to 64 KiB (gso_max_size)
unless a user turns on BIG TCP."""

_SHORTEST = 60
"""Size of the shortest Ethernet frame in bytes, without FCS: a MAC pads to it with zeros."""

_ROOM, _MOST = 1 << 20, 4096
"""The most bytes and the most frames that C makes of one super-packet. They suffice unless the
segments are tiny."""

_TOUCHES: dict[Touches, int] = {"nothing": 0, "segmented": 1, "unfinished": 2, "all": 3}


class Engine:
    """The engine of one NIC, in Python.

    Args:
        header_size: Size of the vnet header of its own kernel's frames, in bytes.
        other_header_size: The same for the kernel at the other end.
        counts: The NIC's counters; see `counters`.
    """

    def __init__(self, header_size: int, other_header_size: int, counts: memoryview) -> None:
        self._header_size, self.counts = header_size, counts
        self._unchecked = UNCHECKED.header(other_header_size)
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)

    def carry(
        self, fd: int, queue: int, into: int, touches: Touches
    ) -> Iterator[tuple[TxDescriptor, list[bytearray]]]:
        """Moves one batch of frames to the other end, except for those that the firmware touches.

        Args:
            fd: The queue of its own kernel.
            queue: The number of that queue.
            into: The queue of the other end's kernel.
            touches: Which frames the firmware has to see.

        Yields:
            For each of those, the descriptor and the frames that a correct NIC sends for it.

        Raises:
            OSError: The TAP is broken.
        """
        counts = self.counts
        for _ in range(_BATCH):
            try:
                length = os.readv(fd, (self._buffer,))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                counts[counters.UNREAD] += 1
                continue
            counts[counters.TAKEN] += 1
            descriptor, frames = self._counted(self._view[:length], queue)
            if _TOUCHES[touches] >= (
                1 if descriptor.gso != GSO_NONE else 2 if descriptor.needs_csum else 3
            ):
                yield descriptor, frames
            else:
                pad(frames)
                for frame in frames:
                    self.write(into, UNCHECKED, frame)

    def finish(self, submitted: memoryview, queue: int = 0) -> tuple[TxDescriptor, list[bytearray]]:
        """Reads a descriptor and does the work that it asks for.

        Args:
            submitted: What was read from the TAP: vnet header and frame. Must be writable.
            queue: The queue that it was read from.

        Returns:
            The descriptor, and the frames for the wire.
        """
        descriptor = parse(submitted, self._header_size, queue)
        return descriptor, finish(descriptor)

    def write(self, into: int, status: RxStatus, frame: bytearray) -> None:
        """Writes a finished frame to a queue of the other end's kernel.

        Args:
            into: The queue.
            status: The checksum status to report.
            frame: The frame.
        """
        header = self._unchecked if status is UNCHECKED else status.header(len(self._unchecked))
        try:
            os.writev(into, (header, frame))
        except OSError:  # EIO: the interface is down
            self.counts[counters.DROPPED] += 1
        else:
            self.counts[counters.SENT] += 1

    def _counted(self, submitted: memoryview, queue: int) -> tuple[TxDescriptor, list[bytearray]]:
        descriptor, frames = self.finish(submitted, queue)
        if descriptor.gso != GSO_NONE:
            self.counts[counters.SUPER_PACKETS] += 1
            self.counts[counters.SEGMENTS] += len(frames)
        return descriptor, frames


class _Carry(ctypes.Structure):
    """`struct carry`."""

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", ctypes.c_void_p),
        ("errno_at", ctypes.c_void_p),
        ("buffer", ctypes.c_void_p),
        ("room", ctypes.c_size_t),
        ("out", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("left", ctypes.c_uint64),
        ("touches", ctypes.c_uint32),
    )


class NativeEngine(Engine):
    """The native (C) implementation of `Engine`.

    Args:
        library: The shared object.
        header_size: As for `Engine`.
        other_header_size: As for `Engine`.
        counts: As for `Engine`.
    """

    def __init__(
        self, library: ctypes.CDLL, header_size: int, other_header_size: int, counts: memoryview
    ) -> None:
        super().__init__(header_size, other_header_size, counts)
        size, pointer, whole = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
        self._vx_carry, self._vx_finish = library.vx_carry, library.vx_finish
        self._vx_carry.argtypes = pointer, whole, size, whole, size
        self._vx_finish.argtypes = pointer, size, size, pointer, size, pointer, size
        self._vx_carry.restype = self._vx_finish.restype = ctypes.c_long
        self._out = bytearray(_ROOM)
        self._made = memoryview(self._out)
        self._lengths = (ctypes.c_uint32 * _MOST)()
        libc = ctypes.CDLL(None)  # engine.c is not linked with one
        self._state = _Carry(
            read=_function(libc["read"]),
            write=_function(libc["write"]),
            errno_at=_function(libc["__errno_location"]),
            buffer=_address(self._buffer),
            room=_LARGEST,
            out=_address(self._out),
            counts=_address(counts),
        )

    def carry(
        self, fd: int, queue: int, into: int, touches: Touches
    ) -> Iterator[tuple[TxDescriptor, list[bytearray]]]:
        """Moves one batch of frames to the other end; see `Engine`."""
        state, state_at = self._state, ctypes.addressof(self._state)
        state.left, state.touches = _BATCH, _TOUCHES[touches]
        sizes = self._header_size, len(self._unchecked)
        while length := self._vx_carry(state_at, fd, sizes[0], into, sizes[1]):
            if length < 0:
                raise OSError(-length, os.strerror(-length))
            yield self._counted(self._view[:length], queue)

    def finish(self, submitted: memoryview, queue: int = 0) -> tuple[TxDescriptor, list[bytearray]]:
        """Reads a descriptor and does the work that it asks for; see `Engine`."""
        descriptor = parse(submitted, self._header_size, queue)
        size, made, start = self._header_size, self._made, 0
        number = self._vx_finish(
            _address(submitted), len(submitted), size, self._state.out, _ROOM, self._lengths, _MOST
        )
        if number < 0:
            return descriptor, finish(descriptor)
        frames = []
        for length in self._lengths[:number]:
            frames.append(bytearray(made[start : start + length]))
            start += length
        return descriptor, frames


def engine(header_size: int, other_header_size: int, counts: memoryview) -> Engine:
    """Returns the fastest engine there is; the arguments are those of `Engine`."""
    library = native_for(__file__).library
    if library is None:
        return Engine(header_size, other_header_size, counts)
    return NativeEngine(library, header_size, other_header_size, counts)


def pad(frames: Iterable[bytearray]) -> None:
    """Pads frames, in place, to the shortest that Ethernet allows."""
    for frame in frames:
        if len(frame) < _SHORTEST:
            frame.extend(bytes(_SHORTEST - len(frame)))


def _address(buffer: bytearray | memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _function(function: object) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
