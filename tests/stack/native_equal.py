"""Converts what the C implementation finds in a frame, to compare it with the reference."""

from __future__ import annotations

import ctypes
from typing import Any

from qualification.stack.codes import MOST_PACKETS, MOST_SUMS
from qualification.stack.judge import walk_frame


class _Sum(ctypes.Structure):
    _fields_ = [
        ("pseudo", ctypes.c_uint64),
        *((name, ctypes.c_int32) for name in ("start", "end", "field")),
        *((name, ctypes.c_uint32) for name in ("stored", "computed")),
        *((name, ctypes.c_uint8) for name in ("kind", "depth", "state", "how")),
    ]


class _Packet(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int32) for name in ("start", "l4", "end", "source_port")),
        ("destination_port", ctypes.c_int32),
        ("protocol", ctypes.c_int16),
        *((name, ctypes.c_uint8) for name in ("family", "carrier")),
    ]


class _Walk(ctypes.Structure):
    _fields_ = [
        ("sums", _Sum * MOST_SUMS),
        ("packets", _Packet * MOST_PACKETS),
        *((name, ctypes.c_uint32) for name in ("used", "depth")),
        *((name, ctypes.c_int32) for name in ("vni", "noticed")),
        *(
            (name, ctypes.c_uint8)
            for name in ("carrier", "is_short", "direction", "fragment")
        ),
    ]  # fmt: skip


_SUM = ("start", "end", "field", "stored", "computed", "kind", "depth", "state", "how")
_PACKET = (
    "start", "l4", "end", "source_port", "destination_port", "protocol", "family", "carrier",
)  # fmt: skip
_WALK = ("vni", "noticed", "carrier", "is_short", "direction", "fragment")


def _plain(found: Any, sums: Any, packets: Any) -> dict[str, Any]:
    return {
        "sums": [{name: int(getattr(each, name)) for name in _SUM} for each in sums],
        "packets": [{name: int(getattr(each, name)) for name in _PACKET} for each in packets],
        **{name: int(getattr(found, name)) for name in _WALK},
    }


def assert_equal(
    library: ctypes.CDLL,
    frame: bytes,
    wire_length: int | None = None,
    link: int = 1,
    ports: frozenset[int] = frozenset({4789}),
) -> None:
    """Asserts that the C implementation and the reference find the same in a frame.

    C reads memory that ends with the frame, for sanitizers.
    """
    found = _Walk()
    exact = (ctypes.c_uint8 * len(frame)).from_buffer_copy(frame)
    wire = len(frame) if wire_length is None else wire_length
    library.vx_walk(
        ctypes.byref(exact), ctypes.c_int64(len(frame)), ctypes.c_int64(wire),
        ctypes.c_uint32(link), (ctypes.c_uint16 * len(ports))(*ports), ctypes.c_uint32(len(ports)),
        ctypes.byref(found),
    )  # fmt: skip
    ours = _plain(found, found.sums[: found.used], found.packets[: found.depth])
    walk = walk_frame(frame, wire, link, ports)
    assert _plain(walk, walk.sums, walk.packets) == ours, frame.hex()
