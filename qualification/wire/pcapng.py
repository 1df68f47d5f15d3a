"""Reads pcapng (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct

from .capture_reader import CaptureFileError, Reader, Window, as_ethernet, cut_short

SECTION_HEADER = b"\x0a\x0d\x0d\x0a"
"""The type of a section header block, with which every file begins, in any byte order."""

_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_BYTE_ORDER = 0x1A2B3C4D


class PcapngReader(Reader):
    """Reads pcapng.

    Attributes:
        order: Byte order of the current section, "<" or ">" as in `struct`.
        interfaces: Link type and snap length of each interface of the section.
    """

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.order = "<"
        self.interfaces: list[tuple[int, ...]] = []

    def next(self) -> tuple[bytes, int] | None:
        """Reads blocks up to and including a packet; see `Reader.next`."""
        window = self.window
        frame = None
        while frame is None:
            if not window.has(12):
                if window.at == window.end:
                    return None
                raise cut_short(self.number + 1, window)
            frame = self._block(window)
        return frame

    def _block(self, window: Window) -> tuple[bytes, int] | None:
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
    """Returns the frame in the body of a packet block.

    Raises:
        struct.error: The block is too short for its fields.
        IndexError: The block is too short for its frame, or names an unknown interface.
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
    return as_ethernet(block[start : start + captured], wire_length, link)


def _byte_order(window: Window) -> str:
    for order in "<>":
        if struct.unpack_from(order + "I", window.data, window.at + 8)[0] == _BYTE_ORDER:
            return order
    place = window.position
    raise CaptureFileError(f"the section at byte {place} has no byte order mark of pcapng")
