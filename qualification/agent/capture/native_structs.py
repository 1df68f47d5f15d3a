"""The structures of `watch.h` and `expected_frames.h` for ctypes: what Python and C share."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from qualification.wire.native import REASONS, KeyCounter
from qualification.wire.verify import LAYERS

if TYPE_CHECKING:
    from array import array

    from qualification.agent.traffic.expected_frames import ExpectedFrames


def memory(kind: type[ctypes._SimpleCData[int]], numbers: array[int] | bytearray) -> Any:
    """Returns a pointer for C to memory of Python; ctypes keeps the memory alive while it is used.

    Args:
        kind: The type of the numbers.
        numbers: The memory.
    """
    assert ctypes.sizeof(kind) == memoryview(numbers).itemsize
    if not numbers:
        return None
    return ctypes.pointer(kind.from_buffer(numbers))  # a ctypes array type would exist per length


class ExpectedStruct(ctypes.Structure):
    """`struct expected`: the memory of an `ExpectedFrames`."""

    _fields_ = [
        ("frames", ctypes.POINTER(ctypes.c_uint8)),
        ("starts", ctypes.POINTER(ctypes.c_uint32)),
        ("received_ids", ctypes.POINTER(ctypes.c_int32)),
        ("first_frames", ctypes.POINTER(ctypes.c_uint32)),
        ("fragmentable", ctypes.c_char_p),
        ("outer", ctypes.POINTER(ctypes.c_uint64)),
        *((name, ctypes.c_uint32) for name in ("first_port", "crafted_packets", "tunnel")),
    ]

    @classmethod
    def of(cls, expected: ExpectedFrames) -> ExpectedStruct:
        """Returns the structure that points into the memory of an `ExpectedFrames`."""
        return cls(
            memory(ctypes.c_uint8, expected.frames),
            memory(ctypes.c_uint32, expected.starts),
            memory(ctypes.c_int32, expected.received_ids),
            memory(ctypes.c_uint32, expected.first_frames),
            expected.fragmentable,
            memory(ctypes.c_uint64, expected.outer),
            expected.first_port,
            len(expected.outer),
            expected.tunnel,
        )


SUBMITTED_COUNTS = ("packets", "frames", "csum_partial", "super_packets", "segments")


class SubmittedStruct(ctypes.Structure):
    """`struct submitted`."""

    _fields_ = [
        ("sizes", ctypes.POINTER(ctypes.c_uint16)),
        ("first_port", ctypes.c_uint32),
        ("crafted_packets", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in SUBMITTED_COUNTS),
    ]


class WatchStruct(ctypes.Structure):
    """`struct watch`."""

    at: int
    left: int
    next: int

    _fields_ = [
        ("ring", ctypes.c_void_p),
        ("block_size", ctypes.c_uint32),
        ("block_count", ctypes.c_uint32),
        ("next", ctypes.c_uint32),
        ("at", ctypes.c_void_p),
        ("left", ctypes.c_uint32),
        ("stop_at_wrong", ctypes.c_uint32),
        ("poll", ctypes.c_void_p),
        ("end", ctypes.c_int32),
        ("pause", ctypes.c_uint32),
        ("our_vnis", ctypes.POINTER(ctypes.c_int32)),
        ("our_vni_count", ctypes.c_uint32),
        *(
            (name, ctypes.c_int32)
            for name in (
                "vni", "flow_port", "ttl", "vlan", "first_late_port", "end_late_port",
                "first_late_ttl", "end_late_ttl",
            )
        ),
        ("longest", ctypes.c_uint32),
        ("vxlan_port", ctypes.c_uint16),
        ("must_have", ctypes.c_uint8),
        ("must_not_have", ctypes.c_uint8),
        ("tunnel_ttl", ctypes.c_uint8),
        ("payload_sizes", ctypes.POINTER(KeyCounter)),
        ("paths", ctypes.POINTER(KeyCounter)),
        ("last", ctypes.POINTER(ctypes.c_uint8)),
        ("by_port", ctypes.POINTER(ctypes.c_uint32)),
        ("by_value", ctypes.POINTER(ctypes.c_uint64)),
        *(
            (name, ctypes.c_uint64)
            for name in (
                "arrived", "frames", "bad", "unasked", "late", "foreign", "csum_not_ready",
                "over_mtu",
            )
        ),
        ("expected", ctypes.POINTER(ExpectedStruct)),
        ("unexpected", ctypes.c_uint64),
        ("submitted", ctypes.POINTER(SubmittedStruct)),
        ("bad_layers", ctypes.c_uint64 * len(LAYERS)),
        ("unjudged", ctypes.c_uint64 * len(REASONS)),
    ]  # fmt: skip
