"""Reads the frames of capture files: classic pcap and pcapng.

Every frame is returned as an Ethernet frame, so that the rest of `wire` handles one kind only: a
frame of a link type without an Ethernet header gets one, with the right EtherType and zero
addresses.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, https://www.tcpdump.org/linktypes.html
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from .capture_reader import CaptureFileError, CutShortError, Window
from .pcap import MICROSECONDS, MODIFIED, NANOSECONDS, PcapReader
from .pcapng import SECTION_HEADER, PcapngReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .capture_reader import Reader

__all__ = ["CaptureFileError", "CutShortError", "frames_of", "read_frames", "reader_of"]

_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"\xfd7": "xz", b"BZ": "bzip2"}


def read_frames(path: Path) -> Iterator[tuple[bytes, int]]:
    """Reads the frames of a pcap or pcapng file, one after the other.

    Args:
        path: The file, or a pipe.

    Yields:
        The captured bytes, as an Ethernet frame, and the frame's length on the wire.

    Raises:
        CaptureFileError: The file is no capture file, is damaged, or has a link type that is not
            supported.
        CutShortError: The file ends within a packet; raised after the last complete packet.
        OSError: The file cannot be opened.
    """
    with path.open("rb", buffering=0) as file:
        yield from reader_of(file)


def frames_of(content: bytes) -> Iterator[tuple[bytes, int]]:
    """Reads frames as `read_frames` does, from the content of a file."""
    return iter(reader_of(io.BytesIO(content)))


def reader_of(file: io.RawIOBase | io.BytesIO) -> Reader:
    """Returns the reader for the format of a capture file.

    Raises:
        CaptureFileError: The file is empty, or in no format that is supported.
        CutShortError: The file ends within its header.
    """
    start = Window(file)
    if not start.has(1):
        raise CaptureFileError("the file is empty")
    start.has(4)
    magic = bytes(start.data[: min(start.end, 4)])
    if magic == SECTION_HEADER:
        return PcapngReader(start)
    for order in "<>":
        number = int.from_bytes(magic, "little" if order == "<" else "big")
        if number in (MICROSECONDS, NANOSECONDS, MODIFIED):
            return PcapReader(start, order)
    compression = _COMPRESSED.get(magic[:2])
    if compression:
        raise CaptureFileError(f"this is a {compression} file: unpack it first")
    raise CaptureFileError("neither a pcap nor a pcapng file")
