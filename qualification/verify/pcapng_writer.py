"""Writes frames that are not right as pcapng, with what is wrong as their comment."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .words import sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from qualification.stack.counting import KeptFrame

    from .findings import Findings

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _FLAGS, _RESOLUTION = 1, 2, 9


def section() -> bytes:
    """Returns the header of a file."""
    return _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(link: int) -> bytes:
    """Returns the description of an interface of a link type, with times in nanoseconds."""
    about = struct.pack("<HHI", link, 0, 0) + _option(_RESOLUTION, b"\x09")
    return _block(_INTERFACE, about + _option(0, b""))


def packet(
    number: int,
    time: int,
    frame: bytes,
    wire_length: int,
    direction: int = 0,
    comments: Iterable[str] = (),
) -> bytes:
    """Returns a frame.

    Args:
        number: The number of the interface, from 0.
        time: Nanoseconds since 1970.
        frame: The bytes captured.
        wire_length: Its length on the wire.
        direction: 1 inbound, 2 outbound, 0 if unknown.
        comments: What Wireshark shows with it.
    """
    time = min(time, (1 << 64) - 1)  # by a damaged resolution it can be any
    body = struct.pack("<5I", number, time >> 32, time & 0xFFFFFFFF, len(frame), wire_length)
    body += frame + bytes(-len(frame) % 4)
    body += b"".join(_option(_COMMENT, text.encode()) for text in comments)
    if direction:
        body += _option(_FLAGS, struct.pack("<I", direction))
    return _block(_PACKET, body + _option(0, b""))


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Findings, KeptFrame], None]]:
    """Opens a file and yields a function that adds a frame to it.

    Each link type is an interface of the file.

    Raises:
        OSError: The file cannot be written.
    """
    interfaces: dict[int, int] = {}
    with path.open("wb") as file:
        file.write(section())

        def write(found: Findings, kept: KeptFrame) -> None:
            record = kept.record
            if record.link not in interfaces:
                interfaces[record.link] = len(interfaces)
                file.write(interface(record.link))
            texts = [f"frame {kept.number}: {found.class_of(kept).value}", *sentences(kept.walk)]
            file.write(
                packet(
                    interfaces[record.link], record.time, record.frame, record.wire_length,
                    record.direction, texts,
                )
            )  # fmt: skip

        yield write


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
