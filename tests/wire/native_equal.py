"""Converts the C implementation's result for one frame to the reference's types."""

from __future__ import annotations

import ctypes

from qualification.wire.dissect import VXLAN_PORTS, Layout
from qualification.wire.layers import Checked
from qualification.wire.native import REASONS
from qualification.wire.packet import Packet
from qualification.wire.verify import check


class _Packet(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("start", "l4", "end")),
        *((name, ctypes.c_int32) for name in ("source_port", "destination_port", "checksum")),
        ("protocol", ctypes.c_int16),
        ("family", ctypes.c_uint8),
        ("trouble", ctypes.c_uint8),
    ]


class _Judged(ctypes.Structure):
    _fields_ = [
        ("outer", _Packet),
        ("inner", _Packet),
        ("vxlan", ctypes.c_int64),
        ("inside", ctypes.c_int64),
        ("vni", ctypes.c_int32),
        ("masks", ctypes.c_uint32),
        *((name, ctypes.c_uint8) for name in ("reason", "trouble")),
    ]


def native_check(
    library: ctypes.CDLL,
    frame: bytes,
    wire_length: int | None = None,
    ports: frozenset[int] = VXLAN_PORTS,
) -> Checked:
    """Returns the result of C's `check`, on memory that ends with the frame, for sanitizers."""
    found = _Judged()
    exact = (ctypes.c_uint8 * len(frame)).from_buffer_copy(frame)
    is_ip = library.vx_check(
        ctypes.byref(exact),
        ctypes.c_int64(len(frame)),
        ctypes.c_int64(len(frame) if wire_length is None else wire_length),
        (ctypes.c_uint16 * len(ports))(*ports),
        ctypes.c_uint32(len(ports)),
        ctypes.byref(found),
    )
    masks = found.masks.to_bytes(4, "little")
    layout = _layout(frame, found) if is_ip else None
    return Checked(*masks, REASONS[found.reason], layout)


def _layout(frame: bytes, found: _Judged) -> Layout:
    return Layout(
        vlans=_tags(frame, 0, found.outer.start),
        outer=_packet(frame, found.outer),
        vxlan=None if found.vxlan < 0 else found.vxlan,
        vni=None if found.vni < 0 else found.vni,
        inner_vlans=_tags(frame, found.vxlan + 8, found.inside) if found.inside >= 0 else (),
        inner=_packet(frame, found.inner) if found.inner.family else None,
        trouble=REASONS[found.trouble],
    )


def _tags(frame: bytes, start: int, end: int) -> tuple[int, ...]:
    tags = range(start + 14, end, 4)
    return tuple(int.from_bytes(frame[at : at + 2], "big") for at in tags)


def _packet(frame: bytes, found: _Packet) -> Packet:
    at, length = (found.start + 12, 8) if found.family == 4 else (found.start + 8, 32)
    return Packet(
        found.family,
        found.start,
        found.l4,
        found.end,
        found.protocol,
        frame[at : at + length] if found.l4 > found.start else b"",
        *(
            None if field < 0 else field
            for field in (found.source_port, found.destination_port, found.checksum)
        ),
        REASONS[found.trouble],
    )


def assert_equal(
    library: ctypes.CDLL,
    frame: bytes,
    wire_length: int | None = None,
    ports: frozenset[int] = VXLAN_PORTS,
) -> None:
    """Asserts that the C implementation and the reference return the same result for a frame."""
    assert native_check(library, frame, wire_length, ports) == check(frame, wire_length, ports)
