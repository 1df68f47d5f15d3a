"""Reads pcapng (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .capture_reader import CaptureFileError, Reader, Record, Window, cut_short

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION_HEADER = b"\x0a\x0d\x0d\x0a"
"""The type of a section header block, with which every file begins, in any byte order."""

_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_BYTE_ORDER = 0x1A2B3C4D
_FARTHEST = 1 << 24  # bytes; no block is longer, and no search goes farther
_KNOWN = frozenset({_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET, 4, 5, 0x0A0D0D0A})
_END_OF_OPTIONS, _FLAGS, _TIME_RESOLUTION = 0, 2, 9


class PcapngReader(Reader):
    """Reads pcapng.

    Attributes:
        order: Byte order of the current section, "<" or ">" as in `struct`.
        interfaces: Link type, snap length, and units of time per second, of each interface of the
            section.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.order = "<"
        self.interfaces: list[tuple[int, int, int]] = []

    def next_record(self) -> Record | None:
        """Reads blocks up to and including a packet; see `Reader.next_record`."""
        window = self.window
        frame = None
        while frame is None:
            if not window.has(12):
                if window.at == window.end:
                    return None
                raise cut_short(self.number + 1, window)
            frame = self._block(window)
        return frame

    def _block(self, window: Window) -> Record | None:
        place = window.position
        if window.data[window.at : window.at + 4] == SECTION_HEADER:
            self.order = _byte_order(window)
            self.interfaces = []
        kind, length = struct.unpack_from(self.order + "II", window.data, window.at)
        if length < 12 or length % 4:
            raise CaptureFileError(f"the block at byte {place} cannot be {length} bytes long")
        if not window.has(length):
            raise cut_short(self.number + 1, window)
        start, end = window.at, window.at + length - 4
        if struct.unpack_from(self.order + "I", window.data, end)[0] != length:
            raise CaptureFileError(f"the block at byte {place} has two different lengths")
        block, frame = bytes(window.data[start + 8 : end]), None
        try:
            if kind == _INTERFACE:
                link, snap_length = struct.unpack_from(self.order + "H2xI", block)
                self.interfaces.append((link, snap_length, _units(self.order, block)))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                frame = self._packet_of(kind, block)
                self.number += 1
        except (struct.error, IndexError):
            raise CaptureFileError(f"the block at byte {place} is damaged") from None
        window.at = start + length
        return frame

    def recover(self) -> bool:
        """Goes to the next block that can be one, within 16 MiB; blocks begin at multiples of 4."""
        window = self.window
        for _ in range(_FARTHEST // 4):
            if not window.has(16):
                return False
            window.at += 4
            if self._seems_block():
                return True
        return False

    def _seems_block(self) -> bool:
        window = self.window
        kind, length = struct.unpack_from(self.order + "II", window.data, window.at)
        if kind not in _KNOWN or length < 12 or length % 4 or length > _FARTHEST:
            return False
        if not window.has(length):
            return False
        end = struct.unpack_from(self.order + "I", window.data, window.at + length - 4)[0]
        return bool(end == length)

    def _packet_of(self, kind: int, block: bytes) -> Record:
        """Returns the frame in the body of a packet block.

        Raises:
            struct.error: The block is too short for its fields.
            IndexError: The block is too short for its frame, or names an unknown interface.
        """
        order = self.order
        if kind == _SIMPLE_PACKET:
            (wire_length,) = struct.unpack_from(order + "I", block)
            link, snap_length, _ = self.interfaces[0]
            captured = min(wire_length, snap_length or wire_length)
            frame, time, direction = block[4 : 4 + captured], 0, 0
        else:
            id_field = "I" if kind == _PACKET else "H2x"
            interface, high, low, captured, wire_length = struct.unpack_from(
                f"{order}{id_field}IIII", block
            )
            link, _, _ = self.interfaces[interface]
            frame, time = block[20 : 20 + captured], self.time_of(high << 32 | low, interface)
            options = _options(order, block, 20 + (captured + 3 & ~3))
            flags = next((value for code, value in options if code == _FLAGS), b"")
            direction = struct.unpack(order + "I", flags)[0] & 3 if len(flags) == 4 else 0
        if len(frame) < captured:
            raise IndexError
        return Record(frame, wire_length, link, time, direction)

    def time_of(self, raw: int, interface: int) -> int:
        """See `Reader.time_of`."""
        return raw * 10**9 // self.interfaces[interface][2]


def _options(order: str, block: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """Yields the options from an offset in a block on, as far as they are whole."""
    while at + 4 <= len(block):
        code, length = struct.unpack_from(order + "HH", block, at)
        if code == _END_OF_OPTIONS or at + 4 + length > len(block):
            return
        yield code, block[at + 4 : at + 4 + length]
        at += 4 + (length + 3 & ~3)


def _units(order: str, block: bytes) -> int:
    """Returns the units of time per second of an interface: by default, microseconds."""
    for code, value in _options(order, block, 8):
        if code == _TIME_RESOLUTION and len(value) == 1:
            exponent = value[0] & 0x7F
            return 1 << exponent if value[0] & 0x80 else 10 ** min(exponent, 18)
    return 10**6


def _byte_order(window: Window) -> str:
    for order in "<>":
        if struct.unpack_from(order + "I", window.data, window.at + 8)[0] == _BYTE_ORDER:
            return order
    place = window.position
    raise CaptureFileError(f"the section at byte {place} has no byte order mark of pcapng")
