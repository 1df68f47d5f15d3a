"""A capture that reads a ring on a thread of its own.

A burst of any length therefore needs no more memory than one ring. A ring that overflows counts
every frame it loses.
"""

from __future__ import annotations

import os
import select
import threading
import time
import traceback
from typing import TYPE_CHECKING, Generic, TypeVar

from qualification.messages.bursts import CaptureOrder
from qualification.messages.protocol import AgentProblem

from .bpf import sender_filter
from .native_capture import NativeCapture, native
from .ring import PAUSE_MS, RingFrame, Rings

if TYPE_CHECKING:
    from ctypes import CDLL

NativeT = TypeVar("NativeT", bound=NativeCapture)
_PAUSE = PAUSE_MS / 1000


class Capture(Generic[NativeT]):
    """Reads a ring on a thread until it is closed.

    Args:
        order: What to capture.
        rings: The rings to take one from.

    Attributes:
        use_native: Whether the C implementation takes the frames that Python need not see.
    """

    use_native = True

    def __init__(self, order: CaptureOrder, rings: Rings) -> None:
        self._order = order
        library = native().library if self.use_native else None
        self._native = None if library is None else self._native_from(library)
        self._ports = frozenset({order.vxlan_port})
        program = sender_filter(order.source_mac, order.protocols, order.port, order.snap)
        self._rings = rings
        self._ring = rings.take(order.interface, program, order.ring)
        self._end, self._ending = os.pipe()  # a pipe, because C can poll it as well
        if self._native is not None:
            self._native.watch(self._ring, self._end)
        self._failure: BaseException | None = None
        self._seen_at, self._seen = time.monotonic(), self._position()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def _native_from(self, library: CDLL) -> NativeT:
        raise NotImplementedError

    def _position(self) -> int:
        """Returns the block of the ring that is read next; it changes when frames arrive."""
        return self._ring.next if self._native is None else self._native.counts.next

    def quiet_for(self) -> float:
        """Returns the seconds since a call found that frames had arrived, or since the start."""
        position, now = self._position(), time.monotonic()
        if position != self._seen:
            self._seen_at, self._seen = now, position
        return now - self._seen_at

    def _run(self) -> None:
        try:
            while not select.select([self._end], [], [], 0 if self._ring.ready() else _PAUSE)[0]:
                self._take_ready()
            while not self._ring.empty():
                self._ring.wait(_PAUSE)
                self._take_ready()
        except BaseException as error:
            # Its traceback holds on to the frame that was read, and that to the ring's memory.
            traceback.clear_frames(error.__traceback__)
            self._failure = error

    def _take_ready(self) -> None:
        """Takes the frames that are ready; C takes all until the capture is stopped."""
        if self._native is not None:
            self._native.take(self._take_in_python)
            return
        for frame in self._ring.frames():
            self._take(frame)

    def _take(self, frame: RingFrame) -> None:
        raise NotImplementedError

    def _take_in_python(self, frame: RingFrame) -> None:
        """Takes a frame that the C implementation leaves to Python."""
        self._take(frame)

    def _close(self) -> int:
        """Ends the capture and returns the number of frames that the ring has lost.

        Raises:
            AgentProblem: The link was down meanwhile, so that what was lost says nothing of a NIC.
        """
        os.close(self._ending)
        self._thread.join()
        os.close(self._end)
        try:
            drops, went_down = self._ring.drops(), self._ring.broken()
        finally:
            self._rings.give_back(self._ring)
        if self._failure is not None:
            raise self._failure
        if went_down:
            interface = self._order.interface
            raise AgentProblem(
                "no-link",
                f"{interface} was set down during a burst",
                hint=f"see who does that: ip monitor link dev {interface}",
            )
        return drops
