"""Watching a flow: the peer judges every frame of it. What the sender counts stands in `handed`.

Both read a ring on a thread of their own, so that a burst of any length needs one ring's worth of
memory. The ring only ever loses frames loudly.
"""

from __future__ import annotations

import base64
import os
import select
import struct
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar

from qualification.messages.bursts import SEGMENT, BadFrame, CaptureOrder, CaptureResult
from qualification.wire.dissect import Layout
from qualification.wire.native import NativeMismatchError
from qualification.wire.packet import Packet
from qualification.wire.verify import INNER_L4, LAYERS, OUTER_L4, check, explain

from .bpf import sender_filter
from .dimensions import ShapeCounter
from .native_capture import NativeCapture, NativeJudge, native
from .ring import PAUSE_MS, RingFrame, Rings

if TYPE_CHECKING:
    from ctypes import CDLL

    from qualification.agent.traffic.expected_frames import ExpectedFrames

NativeT = TypeVar("NativeT", bound=NativeCapture)
_ETHERNET = 14
_PAUSE = PAUSE_MS / 1000
OURS, LATE, FOREIGN = "ours", "late", "foreign"


def of_flow(order: CaptureOrder, layout: Layout) -> Packet | None:
    """The packet of a frame that is the flow's: the one in its tunnel, unless it has none."""
    return layout.outer if order.vni is None else layout.inner


def whose_is(order: CaptureOrder, layout: Layout | None, data: bytes) -> str:
    """Whether a frame belongs to the burst, to an earlier one of ours, or to somebody else."""
    if layout is None:
        return FOREIGN
    packet = of_flow(order, layout)
    port = None if packet is None else packet.destination_port
    if layout.vni == order.vni and port == order.flow_port:
        if order.ttl is not None and _ttl(layout.outer, data) != order.ttl:
            return LATE  # or of somebody's tunnel: the port does not tell
        return OURS
    broken = layout.vxlan is not None and layout.vni is None
    if broken and _ttl(layout.outer, data) in range(*order.late_ttls):
        return LATE  # of a plain burst, to the tunnel's port
    if order.vni is not None and layout.vxlan is None and layout.outer.trouble == "fragment":
        return OURS  # nobody else sends fragments to us from there; it cannot say so itself
    first, end = order.late_ports
    if layout.vni in order.our_vnis and port is not None and first <= port < end:
        return LATE
    return FOREIGN


def _ttl(packet: Packet, data: bytes) -> int | None:
    """TTL or hop limit; None where the header cannot be read."""
    if packet.l4 == packet.start:
        return None
    return data[packet.start + (8 if packet.family == 4 else 7)]


def _mistagged(wanted: int | None, tag: bytes | None) -> str | None:
    """What is wrong with a frame's outer VLAN tag; the kernel has taken it out of the bytes."""
    if wanted is None or tag == struct.pack("!HH", 0x8100, wanted):
        return None
    found = "none" if tag is None else tag.hex()
    return f"VLAN tags are {found}, should be 8100{wanted:04x}"


def _names(layers: int) -> tuple[str, ...]:
    return tuple(name for bit, name in LAYERS.items() if layers & bit)


class Capture(Generic[NativeT]):
    """A ring read on a thread until it is given back.

    Args:
        order: What to watch.
        rings: Where the ring comes from.

    Attributes:
        use_native: Whether the C implementation may take what Python need not see.
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
        self._end, self._ending = os.pipe()  # C can wait for a pipe as well
        if self._native is not None:
            self._native.watch(self._ring, self._end)
        self._failure: BaseException | None = None
        self._seen_at, self._seen = time.monotonic(), self._position()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def _native_from(self, library: CDLL) -> NativeT:
        raise NotImplementedError

    def _position(self) -> int:
        """The block of the ring that is read next: another one when frames have come."""
        return self._ring.next if self._native is None else self._native.counts.next

    def quiet_for(self) -> float:
        """Seconds since a look of this kind found that frames had come, or since the start."""
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
            self._failure = error

    def _take_ready(self) -> None:
        """Takes what is ready; the C implementation, all that becomes ready up to the end."""
        if self._native is not None:
            self._native.take(self._take_left)
            return
        for frame in self._ring.frames():
            self._take(frame)

    def _take(self, frame: RingFrame) -> None:
        raise NotImplementedError

    def _take_left(self, frame: RingFrame) -> None:
        """Takes a frame that the C implementation has left to us."""
        self._take(frame)

    def _close(self) -> int:
        """Ends the capture; gives the number of frames that were lost."""
        os.close(self._ending)
        self._thread.join()
        os.close(self._end)
        drops = self._ring.drops()
        self._rings.give_back(self._ring)
        if self._failure is not None:
            raise self._failure
        return drops


class PeerCapture(Capture[NativeJudge]):
    """Judges every frame of a flow, in full, on the NIC it arrives at.

    Args:
        order: What to watch.
        rings: Where the ring comes from.
        due: The frames that are due, where each of them is known.
    """

    def __init__(
        self, order: CaptureOrder, rings: Rings, expected: ExpectedFrames | None = None
    ) -> None:
        self._expected = expected
        self._arrived = 0
        self._frames = self._bad = self._unasked = self._late = self._foreign = 0
        self._bad_layers: Counter[str] = Counter()
        self._unjudged: Counter[str] = Counter()
        self._samples: list[BadFrame] = []
        # A checksum of zero means "none", which is wrong where one was asked for. The kernel's own
        # sockets always ask for the innermost one.
        if order.vni is None:
            self._must_have = OUTER_L4
        else:
            self._must_have = INNER_L4 | (OUTER_L4 if order.outer_checksum else 0)
        self._must_not_have = OUTER_L4 if order.vni is not None and not order.outer_checksum else 0
        self._longest = _ETHERNET + order.mtu
        self._shapes = ShapeCounter(self._longest)
        super().__init__(order, rings)

    def _native_from(self, library: CDLL) -> NativeJudge:
        layers = self._must_have, self._must_not_have
        native = NativeJudge(
            library, self._order, *layers, self._longest, self._shapes, self._expected
        )
        native.counts.stop_at_wrong = self._order.keep > 0
        return native

    @property
    def arrived(self) -> int:
        """Frames so far that came from the NIC under test, and are neither late nor foreign."""
        return self._arrived + (self._native.counts.arrived if self._native else 0)

    def _take_left(self, frame: RingFrame) -> None:
        """Takes a frame that the C implementation finds wrong, by the reference, which has the last word."""
        assert self._native is not None
        before = self._bad
        self._take(frame)
        if self._bad == before:
            raise NativeMismatchError("a frame of the burst")
        self._native.counts.stop_at_wrong = len(self._samples) < self._order.keep

    def _take(self, frame: RingFrame) -> None:
        data = bytes(frame.data)
        checked = check(data, frame.wire_length, self._ports)
        whose = whose_is(self._order, checked.layout, data)
        # Only of our own flow we know what was asked for: another tunnel may well do without.
        bad = checked.bad | (checked.absent & self._must_have if whose == OURS else 0)
        if whose == LATE:
            self._late += 1
            return
        if whose == FOREIGN and not bad:
            self._foreign += 1
            return
        # Wrong, and no longer saying whose it is: it came from this NIC to our port all the same.
        self._arrived += 1
        if frame.csum_not_ready or frame.wire_length > self._longest:
            # What crossed no wire as it is here says nothing of the NIC, good or bad.
            self._unjudged["csum-not-ready" if frame.csum_not_ready else "over-mtu"] += 1
            return
        if self._must_not_have & ~checked.absent & (checked.good | checked.bad):
            self._unasked += 1
        differs = None
        layout, expected = checked.layout, self._expected
        if whose == OURS and layout is not None:
            differs = _mistagged(self._order.vlan, frame.vlan)
            if expected is not None and not differs:
                differs = expected.differs(data, layout)
        if bad or differs:
            self._frames += 1
            self._bad += 1
            names = _names(bad) + ((SEGMENT,) if differs else ())
            self._bad_layers.update(names)
            if len(self._samples) < self._order.keep:
                sample = self._sample(frame, data, names, checked.absent & bad)
                said = [differs] if differs else []
                if said and expected is not None and layout is not None:
                    said += expected.explain(data, layout)
                self._samples.append(replace(sample, findings=(*sample.findings, *said)))
        elif checked.unjudged:
            self._unjudged[checked.reason or "unknown"] += 1
            return
        else:
            self._frames += 1
        if layout is not None:
            self._shapes.add(data, frame.wire_length, layout, bool(bad or differs))

    def _sample(
        self, frame: RingFrame, data: bytes, names: tuple[str, ...], absent: int
    ) -> BadFrame:
        findings = list(explain(data, frame.wire_length, self._ports))
        findings += [name + " is 0, meaning none, though one was due" for name in _names(absent)]
        if frame.vlan is not None:
            data = data[:12] + frame.vlan + data[12:]
        return BadFrame(base64.b64encode(data).decode("ascii"), names, tuple(findings))

    def finish(self) -> CaptureResult:
        """Ends the capture and says what was seen."""
        drops = self._close()
        if self._native is not None:
            counts = self._native.counts
            self._frames += counts.frames
            self._bad += counts.bad
            self._unasked += counts.unasked
            self._late += counts.late
            self._foreign += counts.foreign
            self._bad_layers.update(self._native.bad_layers())
            self._bad_layers.update({SEGMENT: counts.unexpected} if counts.unexpected else {})
            self._unjudged.update(self._native.unjudged())
        return CaptureResult(
            frames=self._frames,
            bad=self._bad,
            bad_layers=dict(self._bad_layers),
            unasked=self._unasked,
            unjudged=dict(self._unjudged),
            late=self._late,
            foreign=self._foreign,
            drops=drops,
            samples=tuple(self._samples),
            shapes=self._shapes.tally(),
        )
