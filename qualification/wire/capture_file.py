"""Frames out of capture files: classic pcap and pcapng, read through a window.

Every frame comes out as an Ethernet frame, so that the rest of `wire` knows one kind only: link
types that lack an Ethernet header get one, with the EtherType right and the addresses not.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, https://www.tcpdump.org/linktypes.html
(and its pages on LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2).
"""

from __future__ import annotations

import io
import os
import stat
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ETHERNET, RAW_IP, COOKED, COOKED_V2 = 1, 101, 113, 276
_LARGEST_FRAME = 1 << 26
"""More bytes than any frame has: a length beyond it is not a length. libpcap's limit is 2**18."""

_WINDOW = 256 << 10
"""Bytes of a file in memory at a time: the second level of any CPU's cache holds them."""

_MICROSECONDS, _NANOSECONDS, _MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_BYTE_ORDER = 0x1A2B3C4D
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"\xfd7": "xz", b"BZ": "bzip2"}


class CaptureFileError(ValueError):
    """A file is not a capture file that can be read; its text says why."""


class CutShortError(CaptureFileError):
    """A capture file ends within a packet. All packets before it have been handed out."""


def read_frames(path: Path) -> Iterator[tuple[bytes, int]]:
    """Read the frames of a pcap or pcapng file, one after the other.

    Args:
        path: The file, or a pipe.

    Yields:
        The bytes captured, as an Ethernet frame, and the bytes it had on the wire.

    Raises:
        CaptureFileError: Not a capture file, damaged, or of another link type.
        CutShortError: The file ends within a packet; raised behind the last whole one.
        OSError: The file cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        yield from reader_of(file)


def frames_of(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Read frames as `read_frames` does, from the content of a file."""
    return iter(reader_of(io.BytesIO(content)))


def reader_of(file: io.RawIOBase | io.BytesIO) -> Reader:
    """Return the reader for what kind of capture a file is; raises as `read_frames` does."""
    start = Window(file)
    if not start.has(1):
        raise CaptureFileError("the file is empty")
    start.has(4)
    magic = bytes(start.data[: min(start.end, 4)])
    if magic == b"\x0a\x0d\x0d\x0a":
        return PcapngReader(start)
    for order in "<>":
        number = int.from_bytes(magic, "little" if order == "<" else "big")
        if number in (_MICROSECONDS, _NANOSECONDS):
            return PcapReader(start, order)
        if number == _MODIFIED:
            raise CaptureFileError(
                "this is the modified pcap format of old Linux patches, which is not supported; "
                "tshark -r OLD -w NEW converts it"
            )
    packing = _PACKED.get(magic[:2])
    if packing:
        raise CaptureFileError(f"this is a {packing} file: unpack it first")
    raise CaptureFileError("neither a pcap nor a pcapng file")


class Window:
    """A part of a file in memory that stays where it is and warm, and moves on through the file.

    Reading a file this way costs the CPU no more than mapping it: page faults and unmapping come
    to what copying within the cache does. It takes pipes as well, and files of any size.

    Attributes:
        data: The memory.
        at: Where in it the next thing to be read begins.
        end: Where in it ends what was read of the file.
    """

    def __init__(self, file: io.RawIOBase | io.BytesIO) -> None:
        self._file = file
        self._before = 0  # bytes of the file that have been in front of `data`
        self._size = _size_of(file)
        self.data = bytearray(_WINDOW)
        self.at = self.end = 0

    @property
    def position(self) -> int:
        """Offset of `at` in the file."""
        return self._before + self.at

    @property
    def file_end(self) -> int:
        """Where the file ends, as far as that is known."""
        return self._before + self.end if self._size is None else self._size

    def has(self, length: int) -> bool:
        """Whether so many bytes follow from `at` on; reads them where need be."""
        if self._size is not None and self.position + length > self._size:
            return False  # a length that is none does not make us read the whole file
        while self.end - self.at < length:
            if not self.read_on():
                return False
        return True

    def read_on(self) -> bool:
        """Moves on to `at` and fills up; False if the file has ended."""
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
    """Bytes of a file; None for a pipe, or where 0 means that nobody knows, as in /proc."""
    if isinstance(file, io.BytesIO):
        return len(file.getbuffer())
    status = os.fstat(file.fileno())
    return status.st_size or None if stat.S_ISREG(status.st_mode) else None


class Reader:
    """Reads a capture frame by frame; iterating raises as `read_frames` does.

    Attributes:
        window: Where it is in the file.
        number: How many frames were read so far.
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
        """Read a frame; None where there is none any more."""
        raise NotImplementedError


class PcapReader(Reader):
    """Of classic pcap.

    Attributes:
        order: Byte order of the file, as `struct` spells it.
        link: Its link type.
    """

    def __init__(self, window: Window, order: str) -> None:
        super().__init__(window)
        if not window.has(24):
            raise CutShortError(f"cut short in the file header, at byte {window.file_end}")
        self.order = order
        (link,) = struct.unpack_from(order + "I", window.data, 20)
        self.link = link & 0xFFFF  # the rest tells of the FCS, which lies behind the IP packet
        self._lengths = struct.Struct(order + "8xII").unpack_from
        window.at = 24

    def next(self) -> tuple[bytes, int] | None:
        """Read a record."""
        window = self.window
        if not window.has(16):
            if window.at == window.end:
                return None
            raise _cut_short(self.number + 1, window)
        captured, wire_length = self._lengths(window.data, window.at)
        if captured > _LARGEST_FRAME:
            raise CaptureFileError(
                f"packet {self.number + 1}, at byte {window.position}, "
                f"cannot be {captured} bytes long"
            )
        if not window.has(16 + captured):
            raise _cut_short(self.number + 1, window)
        start = window.at + 16
        window.at = start + captured
        self.number += 1
        return _as_ethernet(bytes(window.data[start : window.at]), wire_length, self.link)


class PcapngReader(Reader):
    """Of pcapng.

    Attributes:
        order: Byte order of the section, as `struct` spells it.
        interfaces: Link type and snap length of each, in this section.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.order = "<"
        self.interfaces: list[tuple[int, ...]] = []

    def next(self) -> tuple[bytes, int] | None:
        """Read blocks up to a packet, and that."""
        window = self.window
        frame = None
        while frame is None:
            if not window.has(12):
                if window.at == window.end:
                    return None
                raise _cut_short(self.number + 1, window)
            frame = self._block(window)
        return frame

    def _block(self, window: Window) -> tuple[bytes, int] | None:
        place = window.position
        if window.data[window.at : window.at + 4] == b"\x0a\x0d\x0d\x0a":
            self.order = _byte_order(window)
            self.interfaces = []
        kind, length = struct.unpack_from(self.order + "II", window.data, window.at)
        if length < 12 or length % 4:
            raise CaptureFileError(f"the block at byte {place} cannot be {length} bytes long")
        if not window.has(length):
            raise _cut_short(self.number + 1, window)
        start, end = window.at, window.at + length - 4
        if struct.unpack_from(self.order + "I", window.data, end)[0] != length:
            raise CaptureFileError(f"the block at byte {place} tells two lengths")
        block, frame = bytes(window.data[start + 8 : end]), None
        try:
            if kind == _INTERFACE:
                self.interfaces.append(struct.unpack_from(self.order + "H2xI", block))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                frame = _packet_of(kind, self.order, block, self.interfaces)
                self.number += 1
        except (struct.error, IndexError):
            raise CaptureFileError(f"the block at byte {place} is damaged") from None
        window.at = start + length
        return frame


def _packet_of(
    kind: int, order: str, block: bytes, interfaces: list[tuple[int, ...]]
) -> tuple[bytes, int]:
    """Return the frame of a packet block's body.

    Raises:
        struct.error: It is too short for its fields.
        IndexError: It is too short for its frame, or names an interface that is not there.
    """
    if kind == _SIMPLE_PACKET:
        interface, start = 0, 4
        (wire_length,) = struct.unpack_from(order + "I", block)
        link, snap_length = interfaces[interface]
        captured = min(wire_length, snap_length or wire_length)
    else:
        start = 20
        id_field = "I" if kind == _PACKET else "H2x"
        interface, captured, wire_length = struct.unpack_from(f"{order}{id_field}8xII", block)
        link, _ = interfaces[interface]
    if start + captured > len(block):
        raise IndexError
    return _as_ethernet(block[start : start + captured], wire_length, link)


def _byte_order(window: Window) -> str:
    for order in "<>":
        if struct.unpack_from(order + "I", window.data, window.at + 8)[0] == _BYTE_ORDER:
            return order
    place = window.position
    raise CaptureFileError(f"the section at byte {place} has no byte order mark of pcapng")


def _cut_short(number: int, window: Window) -> CutShortError:
    return CutShortError(f"cut short in packet {number}, at byte {window.file_end}")


def _as_ethernet(frame: bytes, wire_length: int, link: int) -> tuple[bytes, int]:
    """Give a frame an Ethernet header if its link type has another one, or none."""
    if link == ETHERNET:
        return frame, wire_length
    if link == COOKED:  # 16 bytes, the last two of them an EtherType
        return frame[2:], wire_length - 2
    if link == COOKED_V2:  # 20 bytes, the first two of them an EtherType
        return bytes(12) + frame[:2] + frame[20:], wire_length - 6
    if link == RAW_IP:
        kind = b"\x86\xdd" if frame[:1] >= b"\x60" else b"\x08\x00"
        return bytes(12) + kind + frame, wire_length + 14
    raise CaptureFileError(
        f"link type {link} is not supported: only Ethernet (1), raw IP (101) and "
        "Linux cooked captures (113, 276) are"
    )
