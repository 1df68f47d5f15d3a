"""Captures with the C implementation, which judges each frame where the kernel wrote it.

C leaves to Python, one at a time, the frames that Python has to see: wrong frames, of which some
are kept as evidence, and frames that C has no room to count.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from qualification.wire.native import REASONS, KeyCounter, Native, native_for
from qualification.wire.verify import LAYERS

from .native_structs import SUBMITTED_COUNTS, ExpectedStruct, SubmittedStruct, WatchStruct, memory
from .ring import PAUSE_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from qualification.agent.traffic.expected_frames import ExpectedFrames
    from qualification.agent.traffic.prepared_set import PreparedSet
    from qualification.messages.bursts import CaptureOrder

    from .dimensions import ShapeCounter
    from .paths import PathCounter
    from .ring import Ring, RingFrame

_POLL = ctypes.cast(ctypes.CDLL(None).poll, ctypes.c_void_p).value
"""Address of poll(2) in this process. The C code links to no libc and cannot find it itself."""
_SIZE_KEY = "qQ"  # a key of count_submitted, as `struct` format: payload bytes, csum_partial
_PATH_KEY, _PATHS = "QQ", 1024
"""A key of count_path, and the distinct ones that are counted before they are passed on."""
_SIZES = 4096
"""Distinct payload sizes that are counted before they are passed on to Python."""


def native() -> Native:
    """Returns the C implementation, or the reason why Python judges frames on this host."""
    return native_for(__file__)


class NativeCapture:
    """A capture by the C implementation.

    Args:
        library: The C implementation.
        function: Name of the function that takes frames.
        order: What is captured.

    Attributes:
        counts: The structure that C works on, with what it has counted.
    """

    _payload_sizes: KeyCounter | None = None
    _paths: tuple[KeyCounter, PathCounter] | None = None

    def __init__(self, library: ctypes.CDLL, function: str, order: CaptureOrder) -> None:
        self._run = getattr(library, function)
        self._run.argtypes, self._run.restype = (ctypes.POINTER(WatchStruct),), None
        self._step = library.vx_step
        self._step.argtypes, self._step.restype = (ctypes.POINTER(WatchStruct),), None
        first_late_port, end_late_port = order.late_ports
        first_late_ttl, end_late_ttl = order.late_ttls
        self.counts = WatchStruct(
            our_vnis=(ctypes.c_int32 * len(order.our_vnis))(*order.our_vnis),
            our_vni_count=len(order.our_vnis),
            vni=-1 if order.vni is None else order.vni,
            flow_port=order.flow_port,
            ttl=-1 if order.ttl is None else order.ttl,
            vlan=-1 if order.vlan is None else order.vlan,
            first_late_port=first_late_port,
            end_late_port=end_late_port,
            first_late_ttl=first_late_ttl,
            end_late_ttl=end_late_ttl,
            vxlan_port=order.vxlan_port,
            tunnel_ttl=order.tunnel_ttl,
            poll=_POLL,
            pause=PAUSE_MS,
        )

    def watch(self, ring: Ring, end: int) -> None:
        """Sets the ring to read, before any frame is taken.

        Args:
            ring: The ring, which is read from its next block on.
            end: File descriptor of a pipe, whose other end is closed to stop the capture.
        """
        watch = self.counts
        watch.ring, watch.block_size, watch.block_count = ring.address, ring.BLOCK, ring.block_count
        watch.next, watch.end = ring.next, end
        self._ring = ring

    def take(self, take_in_python: Callable[[RingFrame], None]) -> None:
        """Takes the frames of all blocks that get ready until the capture is stopped.

        Args:
            take_in_python: Takes a frame that C leaves to Python.
        """
        watch, ring = self.counts, self._ring
        while True:
            self._run(ctypes.byref(watch))
            if not watch.left:
                break
            full = (self._payload_sizes, self._paths and self._paths[0])
            if any(counter and counter.used == counter.capacity for counter in full):
                self.drain()  # C may have stopped only for lack of room
                continue
            take_in_python(ring.frame_at(watch.at - ring.address)[0])
            self._step(ctypes.byref(watch))
        ring.next = watch.next

    def count_paths(self, paths: PathCounter) -> None:
        """Counts frames by their pair of ports as well, if they are to be counted."""
        if paths.wanted:
            self._paths = KeyCounter.of(_PATHS, _PATH_KEY), paths
            self.counts.paths = ctypes.pointer(self._paths[0])

    def drain(self) -> None:
        """Passes on what the key counters hold."""
        if self._paths is not None:
            counter, paths = self._paths
            for pair, _none, frames in counter.drain():
                paths.count(pair, frames)


class NativeJudge(NativeCapture):
    """Judges frames as `PeerCapture` does.

    Args:
        library: The C implementation.
        order: What is captured.
        must_have: Layers whose checksum must not be absent.
        must_not_have: Layers whose checksum must be absent.
        longest: Bytes of the longest frame the link takes.
        shapes: Counts frames by shape.
        expected: The expected frames, if they are known in advance.
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
            counts.expected = ctypes.pointer(ExpectedStruct.of(expected))
        counts.last = memory(ctypes.c_uint8, shapes.last)
        counts.by_port = memory(ctypes.c_uint32, shapes.by_port)
        counts.by_value = memory(ctypes.c_uint64, shapes.by_value)

    def unjudged(self) -> dict[str, int]:
        """Returns the number of frames that could not be judged, by reason."""
        counts = self.counts
        found = {reason or "unknown": counts.unjudged[at] for at, reason in enumerate(REASONS)}
        found.update({"csum-not-ready": counts.csum_not_ready, "over-mtu": counts.over_mtu})
        return {reason: frames for reason, frames in found.items() if frames}

    def bad_layers(self) -> dict[str, int]:
        """Returns the number of wrong frames, by the name of the wrong layer."""
        found = {name: self.counts.bad_layers[at] for at, name in enumerate(LAYERS.values())}
        return {name: frames for name, frames in found.items() if frames}


class NativeTxCounter(NativeCapture):
    """Counts frames as `BulkTxTap` does.

    Args:
        library: The C implementation.
        order: What is captured.
        add: Called with a payload size in bytes, whether the checksum is left to the NIC
            (CHECKSUM_PARTIAL), and the number of such buffers.
    """

    def __init__(
        self, library: ctypes.CDLL, order: CaptureOrder, add: Callable[[int, bool, int], None]
    ) -> None:
        super().__init__(library, "vx_count_ring", order)
        self._add = add
        self._payload_sizes = KeyCounter.of(_SIZES, _SIZE_KEY)
        self.counts.payload_sizes = ctypes.pointer(self._payload_sizes)

    def drain(self) -> None:
        """Passes the counts on to `add`."""
        super().drain()
        assert self._payload_sizes is not None
        for payload, csum_partial, count in self._payload_sizes.drain():
            self._add(payload, bool(csum_partial), count)


class NativeCraftedCounter(NativeCapture):
    """Counts frames as `CraftedTxTap` does.

    Args:
        library: The C implementation.
        order: What is captured.
        prepared: The prepared packet set that is sent.
    """

    def __init__(self, library: ctypes.CDLL, order: CaptureOrder, prepared: PreparedSet) -> None:
        super().__init__(library, "vx_count_ring", order)
        sizes = prepared.segment_sizes
        self._submitted = SubmittedStruct(
            memory(ctypes.c_uint16, sizes), prepared.first_port, len(sizes)
        )
        self.counts.submitted = ctypes.pointer(self._submitted)

    def counted(self, name: str) -> int:
        """Returns a count so far.

        Args:
            name: A field of `Submitted`, one of `SUBMITTED_COUNTS`.
        """
        return int(getattr(self._submitted, name))

    def all_counted(self) -> dict[str, int]:
        """Returns all counts so far, by name."""
        return {name: self.counted(name) for name in SUBMITTED_COUNTS}
