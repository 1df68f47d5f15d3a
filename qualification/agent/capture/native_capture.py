"""Captures at the C implementation's speed: frame after frame judged where the kernel wrote it.

The C implementation takes what it can, and leaves to Python one frame at a time what Python has to
see: wrong frames of which some are kept, and whatever it has no room to count.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from qualification.wire.native import REASONS, KeyCounter, Native, native_for
from qualification.wire.verify import LAYERS

from .ring import PAUSE_MS

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    from qualification.agent.traffic.expected_frames import ExpectedFrames
    from qualification.agent.traffic.prepared_set import PreparedSet
    from qualification.messages.bursts import CaptureOrder

    from .dimensions import ShapeCounter
    from .ring import Ring, RingFrame

_POLL = ctypes.cast(ctypes.CDLL(None).poll, ctypes.c_void_p).value
"""Where this process has poll(2), which C has no other way to."""
_SUBMITTED = "qQ"  # a key, as count_handed makes it
_SIZES = 4096
"""Distinct sizes that are counted before they are told."""


def native() -> Native:
    """What judges frames on this host: the C implementation, or Python and why."""
    return native_for(__file__)


def _memory(kind: type[ctypes._SimpleCData[int]], numbers: array[int] | bytearray) -> Any:
    """Memory of Python's for C to work on; ctypes keeps it where a structure points to it."""
    assert ctypes.sizeof(kind) == memoryview(numbers).itemsize
    if not numbers:
        return None
    return ctypes.pointer(kind.from_buffer(numbers))  # of an array, each length would be a type


class _Expected(ctypes.Structure):
    """`struct due`: the memory of a `ExpectedFrames`."""

    _fields_ = [
        ("frames", ctypes.POINTER(ctypes.c_uint8)),
        ("starts", ctypes.POINTER(ctypes.c_uint32)),
        ("came", ctypes.POINTER(ctypes.c_int32)),
        ("firsts", ctypes.POINTER(ctypes.c_uint32)),
        ("fragmentable", ctypes.c_char_p),
        ("outer", ctypes.POINTER(ctypes.c_uint64)),
        *((name, ctypes.c_uint32) for name in ("first_port", "crafted_packets", "tunnel")),
    ]

    @classmethod
    def of(cls, expected: ExpectedFrames) -> _Expected:
        """What it has, in place: ctypes keeps it."""
        return cls(
            _memory(ctypes.c_uint8, expected.frames),
            _memory(ctypes.c_uint32, expected.starts),
            _memory(ctypes.c_int32, expected.came),
            _memory(ctypes.c_uint32, expected.firsts),
            expected.fragmentable,
            _memory(ctypes.c_uint64, expected.outer),
            expected.first_port,
            len(expected.outer),
            expected.tunnel,
        )


_SUBMITTED_COUNTS = ("packets", "frames", "csum_partial", "super_packets", "segments")


class _Submitted(ctypes.Structure):
    """`struct handed`."""

    _fields_ = [
        ("sizes", ctypes.POINTER(ctypes.c_uint16)),
        ("first_port", ctypes.c_uint32),
        ("crafted_packets", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in _SUBMITTED_COUNTS),
    ]


class _Watch(ctypes.Structure):
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
                "vni", "flow_port", "ttl", "vlan", "first_late", "end_late", "first_mark",
                "end_mark",
            )
        ),
        ("longest", ctypes.c_uint32),
        ("vxlan_port", ctypes.c_uint16),
        ("must_have", ctypes.c_uint8),
        ("must_not_have", ctypes.c_uint8),
        ("tally", ctypes.POINTER(KeyCounter)),
        ("last", ctypes.POINTER(ctypes.c_uint8)),
        ("by_port", ctypes.POINTER(ctypes.c_uint32)),
        ("by_value", ctypes.POINTER(ctypes.c_uint64)),
        *(
            (name, ctypes.c_uint64)
            for name in (
                "arrived", "frames", "bad", "unasked", "late", "foreign", "csum_not_ready", "over_mtu",
            )
        ),
        ("expected", ctypes.POINTER(_Expected)),
        ("unexpected", ctypes.c_uint64),
        ("submitted", ctypes.POINTER(_Submitted)),
        ("bad_layers", ctypes.c_uint64 * len(LAYERS)),
        ("unjudged", ctypes.c_uint64 * len(REASONS)),
    ]  # fmt: skip


class NativeCapture:
    """The C implementation at work on a capture."""

    _tally: KeyCounter | None = None

    def __init__(self, library: ctypes.CDLL, function: str, order: CaptureOrder) -> None:
        self._run = getattr(library, function)
        self._run.argtypes, self._run.restype = (ctypes.POINTER(_Watch),), None
        self._step = library.vx_step
        self._step.argtypes, self._step.restype = (ctypes.POINTER(_Watch),), None
        first_late, end_late = order.late_ports
        first_mark, end_mark = order.late_ttls
        self.counts = _Watch(
            our_vnis=(ctypes.c_int32 * len(order.our_vnis))(*order.our_vnis),
            our_vni_count=len(order.our_vnis),
            vni=-1 if order.vni is None else order.vni,
            flow_port=order.flow_port,
            ttl=-1 if order.ttl is None else order.ttl,
            vlan=-1 if order.vlan is None else order.vlan,
            first_late=first_late,
            end_late=end_late,
            first_mark=first_mark,
            end_mark=end_mark,
            vxlan_port=order.vxlan_port,
            poll=_POLL,
            pause=PAUSE_MS,
        )

    def watch(self, ring: Ring, end: int) -> None:
        """Says where frames come, before any is taken.

        Args:
            ring: From its next block on.
            end: File descriptor of a pipe whose other end is closed when there are to be no pauses.
        """
        watch = self.counts
        watch.ring, watch.block_size, watch.block_count = ring.address, ring.BLOCK, ring.block_count
        watch.next, watch.end = ring.next, end
        self._ring = ring

    def take(self, slowly: Callable[[RingFrame], None]) -> None:
        """Takes the blocks that are ready, pauses, and goes on so up to the end.

        Args:
            slowly: Takes a frame that is left to Python.
        """
        watch, ring = self.counts, self._ring
        while True:
            self._run(ctypes.byref(watch))
            if not watch.left:
                break
            if self._tally is not None and self._tally.used == self._tally.capacity:
                self.drain()  # perhaps it only had no room
                continue
            slowly(ring.frame_at(watch.at - ring.address)[0])
            self._step(ctypes.byref(watch))
        ring.next = watch.next

    def drain(self) -> None:
        """Hands over what is in a tally, if there is one."""


class NativeJudge(NativeCapture):
    """Judges frames as `PeerCapture` does.

    Args:
        library: The C implementation.
        order: What is watched.
        must_have: Layers whose checksum must not be absent.
        must_not_have: Layers whose checksum must be absent.
        longest: Bytes of the longest frame the link takes.
        shapes: Where frames are counted by shape.
        due: The frames that are due, where each of them is known.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        order: CaptureOrder,
        must_have: int,
        must_not_have: int,
        longest: int,
        shapes: ShapeCounter,
        expected: ExpectedFrames | None,
    ) -> None:
        super().__init__(library, "vx_judge_ring", order)
        counts = self.counts
        counts.must_have, counts.must_not_have = must_have, must_not_have
        counts.longest = longest
        if expected is not None:
            counts.expected = ctypes.pointer(_Expected.of(expected))
        counts.last = _memory(ctypes.c_uint8, shapes.last)
        counts.by_port = _memory(ctypes.c_uint32, shapes.by_port)
        counts.by_value = _memory(ctypes.c_uint64, shapes.by_value)

    def unjudged(self) -> dict[str, int]:
        """Frames that could not be judged, by reason."""
        counts = self.counts
        found = {reason or "unknown": counts.unjudged[at] for at, reason in enumerate(REASONS)}
        found.update({"csum-not-ready": counts.csum_not_ready, "over-mtu": counts.over_mtu})
        return {reason: frames for reason, frames in found.items() if frames}

    def bad_layers(self) -> dict[str, int]:
        """Wrong frames by the name of the wrong layer."""
        found = {name: self.counts.bad_layers[at] for at, name in enumerate(LAYERS.values())}
        return {name: frames for name, frames in found.items() if frames}


class NativeTxCounter(NativeCapture):
    """Counts frames as `BulkTxTap` does.

    Args:
        library: The C implementation.
        order: What is watched.
        add: Called with payload in bytes, whether it is unfinished, and how often that was.
    """

    def __init__(
        self, library: ctypes.CDLL, order: CaptureOrder, add: Callable[[int, bool, int], None]
    ) -> None:
        super().__init__(library, "vx_count_ring", order)
        self._add = add
        self._tally = tally = KeyCounter.of(_SIZES, _SUBMITTED)
        self.counts.tally = ctypes.pointer(tally)

    def drain(self) -> None:
        """Hands counts over."""
        assert self._tally is not None
        for payload, csum_partial, count in self._tally.drain():
            self._add(payload, bool(csum_partial), count)


class NativeCraftedCounter(NativeCapture):
    """Counts frames as `CraftedTxTap` does.

    Args:
        library: The C implementation.
        order: What is watched.
        prepared: What is fired.
    """

    def __init__(self, library: ctypes.CDLL, order: CaptureOrder, prepared: PreparedSet) -> None:
        super().__init__(library, "vx_count_ring", order)
        sizes = prepared.sizes
        self._submitted = _Submitted(
            _memory(ctypes.c_uint16, sizes), prepared.first_port, len(sizes)
        )
        self.counts.submitted = ctypes.pointer(self._submitted)

    def counted(self, name: str) -> int:
        """So many so far; the name is one of `Handed`'s."""
        return int(getattr(self._submitted, name))

    def all_counted(self) -> dict[str, int]:
        """All of them by name."""
        return {name: self.counted(name) for name in _SUBMITTED_COUNTS}
