"""The parts that readers of pcap and pcapng share: errors, a window on the file, link types.

Sources: https://www.tcpdump.org/linktypes.html and its pages on LINKTYPE_LINUX_SLL and
LINKTYPE_LINUX_SLL2.
"""

from __future__ import annotations

import io
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ETHERNET, RAW_IP, COOKED, COOKED_V2 = 1, 101, 113, 276

_WINDOW = 512 << 10
"""Bytes of a file that are in memory at a time: they fit into the second-level cache of most CPUs,
and as few calls to C are made for a file as that allows."""


class CaptureFileError(ValueError):
    """A file cannot be read as a capture; the message says why."""


class CutShortError(CaptureFileError):
    """A capture file ends within a packet. All packets before it have been returned."""


class Window:
    """A buffer that holds a part of a file and moves forward through the file.

    The buffer stays at one place in memory and in the cache. Reading a file this way costs the CPU
    no more than mapping it, as page faults and unmapping cost as much as copying within the cache.
    It also works for pipes, and for files of any size.

    Attributes:
        data: The buffer.
        at: Index in `data` of the next byte to be parsed.
        end: Index in `data` behind the last byte read from the file.
    """

    def __init__(self, file: io.RawIOBase | io.BytesIO) -> None:
        self._file = file
        self._before = 0  # bytes of the file before those in `data`
        self._size = _size_of(file)
        self.data = bytearray(_WINDOW)
        self.at = self.end = 0

    @property
    def position(self) -> int:
        """Offset of `at` in the file."""
        return self._before + self.at

    @property
    def file_end(self) -> int:
        """Size of the file; as long as that is unknown, the bytes read so far."""
        return self._before + self.end if self._size is None else self._size

    def has(self, length: int) -> bool:
        """Returns whether `length` bytes follow from `at` on; reads on in the file for it."""
        if self._size is not None and self.position + length > self._size:
            return False  # so that a damaged length does not cause reading the entire file
        while self.end - self.at < length:
            if not self.read_on():
                return False
        return True

    def read_on(self) -> bool:
        """Moves the window to `at` and fills it; returns False at the end of the file."""
        rest = self.data[self.at : self.end]
        if len(rest) == len(self.data):  # a packet that is larger than the window
            self.data = bytearray(2 * len(self.data))
        self.data[: len(rest)] = rest
        self._before += self.at
        self.at, self.end = 0, len(rest)
        with memoryview(self.data) as view:
            got = self._file.readinto(view[self.end :]) or 0
        self.end += got
        return got > 0


def _size_of(file: io.RawIOBase | io.BytesIO) -> int | None:
    """Returns the size of a file; None if unknown, as for pipes and for files in /proc (size 0)."""
    if isinstance(file, io.BytesIO):
        return len(file.getbuffer())
    if not isinstance(file, io.FileIO):
        return None  # what is unpacked on the way
    status = os.fstat(file.fileno())
    return status.st_size or None if stat.S_ISREG(status.st_mode) else None


class Record(NamedTuple):
    """A frame as it is in a capture.

    Attributes:
        frame: The bytes captured, from the header of the link type on.
        wire_length: Length of the frame on the wire.
        link: The link type.
        time: When it was captured, in nanoseconds since 1970; 0 if the capture does not say.
        direction: 1 inbound, 2 outbound, 0 if the capture does not say.
    """

    frame: bytes
    wire_length: int
    link: int
    time: int = 0
    direction: int = 0


class Reader:
    """Reads a capture frame by frame. Iterating raises the errors of `next`.

    Attributes:
        window: The part of the file that is being read.
        number: The number of frames read so far.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self.number = 0

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        while True:
            frame = self.next()
            if frame is None:
                return
            yield frame

    def next(self) -> tuple[bytes, int] | None:
        """Reads a frame; returns its bytes and its length on the wire, or None at the end.

        Raises:
            CaptureFileError: The file is damaged, or has a link type that is not supported.
            CutShortError: The file ends within a packet.
        """
        record = self.next_record()
        return record and as_ethernet(record.frame, record.wire_length, record.link)

    def next_record(self) -> Record | None:
        """Reads a frame of any link type; returns None at the end.

        Raises:
            CaptureFileError: The file is damaged.
            CutShortError: The file ends within a packet.
        """
        raise NotImplementedError

    def recover(self) -> bool:
        """Goes on behind damage that `next_record` has met; returns False if that cannot be."""
        return False

    def time_of(self, raw: int, interface: int) -> int:
        """Returns the nanoseconds since 1970 for the two words of a record's time.

        Args:
            raw: The first word times 2**32, plus the second.
            interface: The number of the interface.
        """
        raise NotImplementedError


def cut_short(number: int, window: Window) -> CutShortError:
    """Returns the error for a file that ends within packet `number`."""
    return CutShortError(f"cut short in packet {number}, at byte {window.file_end}")


def as_ethernet(frame: bytes, wire_length: int, link: int) -> tuple[bytes, int]:
    """Returns a frame with an Ethernet header, and its length on the wire with that header.

    Args:
        frame: The bytes captured.
        wire_length: The length on the wire with the header of its link type.
        link: The link type.

    Raises:
        CaptureFileError: The link type is not supported.
    """
    if link == ETHERNET:
        return frame, wire_length
    if link == COOKED:  # header of 16 bytes that ends with an EtherType
        return frame[2:], wire_length - 2
    if link == COOKED_V2:  # header of 20 bytes that begins with an EtherType
        return bytes(12) + frame[:2] + frame[20:], wire_length - 6
    if link == RAW_IP:
        kind = b"\x86\xdd" if frame[:1] >= b"\x60" else b"\x08\x00"
        return bytes(12) + kind + frame, wire_length + 14
    raise CaptureFileError(
        f"link type {link} is not supported: only Ethernet (1), raw IP (101) and "
        "Linux cooked captures (113, 276) are"
    )
