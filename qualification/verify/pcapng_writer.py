"""Writes frames that are not right as pcapng, with what is wrong as their comment."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .words import sentences

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qualification.stack.counting import KeptFrame

    from .findings import Findings

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_COMMENT, _FLAGS, _RESOLUTION = 1, 2, 9


@contextmanager
def writing(path: Path) -> Iterator[Callable[[Findings, KeptFrame], None]]:
    """Opens a file and yields a function that adds a frame to it.

    Each link type is an interface of the file. Times are in nanoseconds.

    Raises:
        OSError: The file cannot be written.
    """
    interfaces: dict[int, int] = {}
    with path.open("wb") as file:
        file.write(_block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))

        def write(found: Findings, kept: KeptFrame) -> None:
            record = kept.record
            if record.link not in interfaces:
                interfaces[record.link] = len(interfaces)
                about = struct.pack("<HHI", record.link, 0, 0) + _option(_RESOLUTION, b"\x09")
                file.write(_block(_INTERFACE, about + _option(0, b"")))
            texts = [f"frame {kept.number}: {found.class_of(kept).value}", *sentences(kept.walk)]
            time = min(record.time, (1 << 64) - 1)  # by a damaged resolution it can be any
            fields = (
                interfaces[record.link], time >> 32, time & 0xFFFFFFFF,
                len(record.frame), record.wire_length,
            )  # fmt: skip
            body = struct.pack("<5I", *fields) + record.frame + bytes(-len(record.frame) % 4)
            body += b"".join(_option(_COMMENT, text.encode()) for text in texts)
            if record.direction:
                body += _option(_FLAGS, struct.pack("<I", record.direction))
            file.write(_block(_PACKET, body + _option(0, b"")))

        yield write


def _block(kind: int, body: bytes) -> bytes:
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
