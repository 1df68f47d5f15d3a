"""Reads classic pcap (draft-ietf-opsawg-pcap), and its forms of old.

Before version 2.3 the two lengths of a record were exchanged, and some programs kept on writing
them so (libpcap, sf-pcap.c). The modified format of old Linux patches has 8 more bytes per record.
"""

from __future__ import annotations

import struct

from .capture_reader import CaptureFileError, CutShortError, Reader, Record, Window, cut_short

MICROSECONDS, NANOSECONDS, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
"""Magic numbers, by the unit of the timestamps; the last is that of a format of old Linux
patches."""

_LARGEST_FRAME = 1 << 26
"""A greater length is damage, as no frame has so many bytes. libpcap's limit is 2**18."""

_NAVTEL = 543  # the major version that this vendor wrote, with exchanged lengths
NOT_EXCHANGED, EXCHANGED, SOMETIMES_EXCHANGED = 0, 1, 2
"""Whether the lengths of a record are exchanged; sometimes: where the first is the greater."""


class PcapReader(Reader):
    """Reads classic pcap.

    Attributes:
        order: Byte order of the file, "<" or ">" as in `struct`.
        link: The link type.
        header_size: Bytes in front of the frame of a record.
        exchanged: Whether the two lengths of a record are exchanged.
    """

    def __init__(self, window: Window, order: str) -> None:
        super().__init__(window)
        if not window.has(24):
            raise CutShortError(f"cut short in the file header, at byte {window.file_end}")
        self.order = order
        magic, major, minor, link = struct.unpack_from(order + "IHH12xI", window.data)
        self.link = link & 0xFFFF  # the other bits describe the FCS, which is behind the IP packet
        self.header_size = 24 if magic == MODIFIED else 16
        self.exchanged = NOT_EXCHANGED
        if (major, minor) < (2, 3) or major == _NAVTEL:
            self.exchanged = EXCHANGED
        elif (major, minor) == (2, 3):
            self.exchanged = SOMETIMES_EXCHANGED
        self._fraction = 1 if magic == NANOSECONDS else 1000
        self._fields = struct.Struct(order + "IIII").unpack_from
        window.at = 24

    def next_record(self) -> Record | None:
        """Reads a record; see `Reader.next_record`."""
        window = self.window
        if not window.has(self.header_size):
            if window.at == window.end:
                return None
            raise cut_short(self.number + 1, window)
        seconds, fraction, captured, wire_length = self._fields(window.data, window.at)
        first_is_greater = captured > wire_length
        if self.exchanged == EXCHANGED or (self.exchanged and first_is_greater):
            captured, wire_length = wire_length, captured
        if captured > _LARGEST_FRAME:
            raise CaptureFileError(
                f"packet {self.number + 1}, at byte {window.position}, "
                f"cannot be {captured} bytes long, and nothing in a classic pcap tells where the "
                "next packet begins"
            )
        if not window.has(self.header_size + captured):
            raise cut_short(self.number + 1, window)
        start = window.at + self.header_size
        window.at = start + captured
        self.number += 1
        time = self.time_of(seconds << 32 | fraction, 0)
        return Record(bytes(window.data[start : window.at]), wire_length, self.link, time)

    def time_of(self, raw: int, interface: int) -> int:  # noqa: ARG002, there is only one
        """See `Reader.time_of`."""
        return (raw >> 32) * 10**9 + (raw & 0xFFFFFFFF) * self._fraction
