"""Frames out of capture files: classic pcap and pcapng, read in place.

Every frame comes out as an Ethernet frame, so that the rest of `wire` knows one kind only: link
types that lack an Ethernet header get one, with the EtherType right and the addresses not.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, https://www.tcpdump.org/linktypes.html
(and its pages on LINKTYPE_LINUX_SLL and LINKTYPE_LINUX_SLL2).
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ETHERNET, RAW_IP, COOKED, COOKED_V2 = 1, 101, 113, 276
_LARGEST_FRAME = 1 << 26
"""More bytes than any frame has: a length beyond it is not a length. libpcap's limit is 2**18."""

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
        path: The file. It is mapped, not read, if the file system allows it.

    Yields:
        The bytes captured, as an Ethernet frame, and the bytes it had on the wire.

    Raises:
        CaptureFileError: Not a capture file, damaged, or of another link type.
        CutShortError: The file ends within a packet; raised behind the last whole one.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        try:
            content: bytes | mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # a pipe, or an empty file
            content = file.read()
    yield from frames_of(content)


def frames_of(content: bytes | mmap.mmap) -> Iterator[tuple[bytes, int]]:
    """Read frames as `read_frames` does, from the content of a file."""
    if len(content) == 0:
        raise CaptureFileError("the file is empty")
    if content[:4] == b"\x0a\x0d\x0d\x0a":
        return _pcapng(content)
    for order in "<>":
        magic = int.from_bytes(content[:4], "little" if order == "<" else "big")
        if magic in (_MICROSECONDS, _NANOSECONDS):
            return _pcap(content, order)
        if magic == _MODIFIED:
            raise CaptureFileError(
                "this is the modified pcap format of old Linux patches, which is not supported; "
                "tshark -r OLD -w NEW converts it"
            )
    packing = _PACKED.get(content[:2])
    if packing:
        raise CaptureFileError(f"this is a {packing} file: unpack it first")
    raise CaptureFileError("neither a pcap nor a pcapng file")


def _pcap(content: bytes | mmap.mmap, order: str) -> Iterator[tuple[bytes, int]]:
    if len(content) < 24:
        raise CutShortError(f"cut short in the file header, at byte {len(content)}")
    (link,) = struct.unpack_from(order + "I", content, 20)
    link &= 0xFFFF  # the rest tells of the FCS, which lies behind the IP packet
    read_header = struct.Struct(order + "8xII").unpack_from
    at, number, size = 24, 0, len(content)
    while at < size:
        number += 1
        if at + 16 > size:
            raise _cut_short(number, size)
        captured, wire_length = read_header(content, at)
        if captured > _LARGEST_FRAME:
            raise CaptureFileError(
                f"packet {number}, at byte {at}, cannot be {captured} bytes long"
            )
        at += 16
        if at + captured > size:
            raise _cut_short(number, size)
        yield _as_ethernet(content[at : at + captured], wire_length, link)
        at += captured


def _pcapng(content: bytes | mmap.mmap) -> Iterator[tuple[bytes, int]]:
    order = "<"
    interfaces: list[tuple[int, ...]] = []  # link type and snap length of each, in this section
    at, number, size = 0, 0, len(content)
    while at < size:
        if at + 12 > size:
            raise _cut_short(number + 1, size)
        if content[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = _byte_order(content, at)
            interfaces = []
        kind, length = struct.unpack_from(order + "II", content, at)
        if length < 12 or length % 4:
            raise CaptureFileError(f"the block at byte {at} cannot be {length} bytes long")
        if at + length > size:
            raise _cut_short(number + 1, size)
        end = at + length - 4
        if struct.unpack_from(order + "I", content, end)[0] != length:
            raise CaptureFileError(f"the block at byte {at} tells two lengths")
        block, frame = content[at + 8 : end], None
        try:
            if kind == _INTERFACE:
                interfaces.append(struct.unpack_from(order + "H2xI", block))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                number += 1
                frame = _packet_of(kind, order, block, interfaces)
        except (struct.error, IndexError):
            raise CaptureFileError(f"the block at byte {at} is damaged") from None
        if frame is not None:
            yield frame
        at += length


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


def _byte_order(content: bytes | mmap.mmap, at: int) -> str:
    for order in "<>":
        if struct.unpack_from(order + "I", content, at + 8)[0] == _BYTE_ORDER:
            return order
    raise CaptureFileError(f"the section at byte {at} has no byte order mark of pcapng")


def _cut_short(number: int, size: int) -> CutShortError:
    return CutShortError(f"cut short in packet {number}, at byte {size}")


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
