"""Reads classic pcap (draft-ietf-opsawg-pcap)."""

from __future__ import annotations

import struct

from .capture_reader import CaptureFileError, CutShortError, Reader, Window, as_ethernet, cut_short

MICROSECONDS, NANOSECONDS, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
"""Magic numbers, by the unit of the timestamps; the last is that of a format of old Linux
patches."""

_LARGEST_FRAME = 1 << 26
"""A greater length is damage, as no frame has so many bytes. libpcap's limit is 2**18."""


class PcapReader(Reader):
    """Reads classic pcap.

    Attributes:
        order: Byte order of the file, "<" or ">" as in `struct`.
        link: The link type.
    """

    def __init__(self, window: Window, order: str) -> None:
        super().__init__(window)
        if not window.has(24):
            raise CutShortError(f"cut short in the file header, at byte {window.file_end}")
        self.order = order
        (link,) = struct.unpack_from(order + "I", window.data, 20)
        self.link = link & 0xFFFF  # the other bits describe the FCS, which is behind the IP packet
        self._lengths = struct.Struct(order + "8xII").unpack_from
        window.at = 24

    def next(self) -> tuple[bytes, int] | None:
        """Reads a record; see `Reader.next`."""
        window = self.window
        if not window.has(16):
            if window.at == window.end:
                return None
            raise cut_short(self.number + 1, window)
        captured, wire_length = self._lengths(window.data, window.at)
        if captured > _LARGEST_FRAME:
            raise CaptureFileError(
                f"packet {self.number + 1}, at byte {window.position}, "
                f"cannot be {captured} bytes long"
            )
        if not window.has(16 + captured):
            raise cut_short(self.number + 1, window)
        start = window.at + 16
        window.at = start + captured
        self.number += 1
        return as_ethernet(bytes(window.data[start : window.at]), wire_length, self.link)
