"""The peer's capture: judges every frame of a flow on the NIC that receives it."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from qualification.messages.bursts import SEGMENT, BadFrame, CaptureOrder, CaptureResult
from qualification.wire.flow_frames import (
    FOREIGN,
    LATE,
    OURS,
    mistagged,
    of_flow,
    outer_changed,
    required,
    whose_is,
    wrong_layers,
)
from qualification.wire.native import NativeMismatchError
from qualification.wire.verify import LAYERS, OUTER_L4, check, explain

from .dimensions import ShapeCounter
from .native_capture import NativeJudge
from .paths import PathCounter
from .ring import RingFrame, Rings
from .ring_capture import Capture

if TYPE_CHECKING:
    from ctypes import CDLL

    from qualification.agent.traffic.expected_frames import ExpectedFrames
    from qualification.wire.dissect import Layout

_ETHERNET = 14
_COUNTERPARTS = 4
"""Bad frames beside which a right one is kept."""
_BLOCKS = 8
"""Blocks of the ring in which it is looked for."""


class PeerCapture(Capture[NativeJudge]):
    """Judges every frame of a flow in full.

    Args:
        order: What to capture.
        rings: The rings to take one from.
        expected: The expected frames, if they are known in advance.
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
        self._must_have = required(order)
        self._must_not_have = OUTER_L4 if order.vni is not None and not order.outer_checksum else 0
        self._longest = _ETHERNET + order.mtu
        self._shapes = ShapeCounter(self._longest)
        self._paths = PathCounter(order)
        super().__init__(order, rings)

    def _native_from(self, library: CDLL) -> NativeJudge:
        layers = self._must_have, self._must_not_have
        native = NativeJudge(
            library, self._order, *layers, self._longest, self._shapes, self._expected
        )
        native.counts.stop_at_wrong = self._order.keep > 0
        native.count_paths(self._paths)
        return native

    @property
    def arrived(self) -> int:
        """Frames received so far from the NIC under test that are neither late nor foreign."""
        return self._arrived + (self._native.counts.arrived if self._native else 0)

    @property
    def bad(self) -> int:
        """Frames found wrong so far."""
        return self._bad + (self._native.counts.bad if self._native else 0)

    def _take_in_python(self, frame: RingFrame) -> None:
        """Judges by the reference, which decides, a frame that C finds wrong."""
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
        bad = wrong_layers(checked, whose, self._must_have)
        if whose == LATE:
            self._late += 1
            return
        if whose == FOREIGN and not bad:
            self._foreign += 1
            return
        # A wrong frame may no longer show its flow, but it is from this NIC and to this port.
        self._arrived += 1
        if frame.csum_not_ready or frame.wire_length > self._longest:
            # A frame that did not cross the wire in this form says nothing about the NIC.
            self._unjudged["csum-not-ready" if frame.csum_not_ready else "over-mtu"] += 1
            return
        if self._must_not_have & ~checked.absent & (checked.good | checked.bad):
            self._unasked += 1
        difference = None
        layout, expected = checked.layout, self._expected
        if whose == OURS and layout is not None:
            difference = mistagged(self._order.vlan, frame.vlan) or outer_changed(
                self._order.tunnel_ttl, self._order.vni, layout, data
            )
            if expected is not None and not difference:
                difference = expected.check_off(data, layout)
        if bad or difference:
            self._frames += 1
            self._bad += 1
            names = _names(bad) + ((SEGMENT,) if difference else ())
            self._bad_layers.update(names)
            if len(self._samples) < self._order.keep:
                sample = self._sample(frame, data, names, checked.absent & bad)
                findings = [difference] if difference else []
                if findings and expected is not None and layout is not None:
                    findings += expected.explain(data, layout)
                counterpart = (
                    self._counterpart(frame, layout) if len(self._samples) < _COUNTERPARTS else ""
                )
                findings = [*sample.findings, *findings]
                self._samples.append(
                    replace(sample, findings=tuple(findings), counterpart=counterpart)
                )
        elif checked.unjudged:
            self._unjudged[checked.reason or "unknown"] += 1
            return
        else:
            self._frames += 1
        self._paths.add(layout if whose == OURS and not (bad or difference) else None)
        if layout is not None:
            self._shapes.add(data, frame.wire_length, layout, bool(bad or difference))

    def _sample(
        self, frame: RingFrame, data: bytes, names: tuple[str, ...], absent: int
    ) -> BadFrame:
        findings = list(explain(data, frame.wire_length, self._ports))
        findings += [
            f"{name} checksum is 0 (no checksum), though the flow requires one"
            for name in _names(absent)
        ]
        return BadFrame(_encoded(frame, data), names, tuple(findings))

    def _counterpart(self, bad: RingFrame, layout: Layout | None) -> str:
        """Returns a right frame of the flow, as long as a bad one, that the ring has beside it.

        One of the same connection is best. It is looked for in the block that is being read and in
        those before it, whose bytes are still there, so that a burst without bad frames costs
        nothing.
        """
        ring, here = self._ring, self._position()
        port, other = (None if layout is None else layout.outer.source_port), ""
        for back in range(min(_BLOCKS, ring.block_count)):
            for frame in ring.block((here - back) % ring.block_count):
                if frame.wire_length != bad.wire_length or frame.csum_not_ready:
                    continue
                data = bytes(frame.data)
                found = self._right(frame, data)
                if found is not None and found.outer.source_port == port:
                    return _encoded(frame, data)
                other = other or (_encoded(frame, data) if found is not None else "")
        return other

    def _right(self, frame: RingFrame, data: bytes) -> Layout | None:
        """Returns the layout of a frame of the flow in which nothing is wrong, else None."""
        checked = check(data, frame.wire_length, self._ports)
        order, layout = self._order, checked.layout
        if (
            layout is None
            or whose_is(order, layout, data) != OURS
            or of_flow(order, layout) is None
        ):
            return None
        if checked.bad or checked.unjudged or checked.absent & self._must_have:
            return None
        if self._must_not_have & ~checked.absent & checked.good:
            return None
        if mistagged(order.vlan, frame.vlan):
            return None
        if outer_changed(order.tunnel_ttl, order.vni, layout, data):
            return None
        expected = self._expected
        return None if expected is not None and expected.explain(data, layout) else layout

    def finish(self) -> CaptureResult:
        """Ends the capture and returns its result."""
        drops = self._close()
        if self._native is not None:
            counts = self._native.counts
            self._frames += counts.frames
            self._bad += counts.bad
            self._native.drain()
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
            paths=self._paths.tally(),
        )


def _encoded(frame: RingFrame, data: bytes) -> str:
    """Returns the bytes of a frame, with the VLAN tag that was stripped from it, as base64."""
    if frame.vlan is not None:
        data = data[:12] + frame.vlan + data[12:]
    return base64.b64encode(data).decode("ascii")


def _names(layers: int) -> tuple[str, ...]:
    return tuple(name for bit, name in LAYERS.items() if layers & bit)
