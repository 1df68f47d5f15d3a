"""The receiving side of a receive test: records what happened to each frame of the burst.

It compares three things: a frame as it was made, the same frame as the NIC has passed it to the
kernel, and the payload that an application received. Everything is buffered in sockets, which hold
an entire burst, and evaluated afterwards.
"""

from __future__ import annotations

import base64
import struct
import time
from collections import Counter

from qualification.agent.host import counters
from qualification.agent.traffic.payload import pool
from qualification.agent.traffic.receive_sockets import ReceiveSockets
from qualification.messages.bursts import BadFrame
from qualification.messages.receive import ReceiveOrder, ReceiveResult, ShapeResult
from qualification.wire.crafted.packet import Path
from qualification.wire.crafted.receive_tests import REFERENCE, ReceiveFrame, receive_frames
from qualification.wire.layers import LAYERS, OUTER_IP, OUTER_L4, Checked
from qualification.wire.packet import TCP, UDP
from qualification.wire.verify import check, explain

from .csum_status import CSUM_NOT_READY, CSUM_VALID, CsumStatusCapture

_SAMPLES = 16
_OUTER = frozenset({LAYERS[OUTER_IP], LAYERS[OUTER_L4]})
_MOMENT = 0.02
"""Seconds in which the kernel has processed every frame that a capture has seen: it does both in
one go (`__netif_receive_skb_core`, net/core/dev.c), unless GRO holds a frame for a while."""


def receive_frames_of(order: ReceiveOrder) -> list[ReceiveFrame]:
    """Returns the frames of a burst, which are the same on the sender and on the receiver."""
    protocol = TCP if order.protocol == "tcp" else UDP
    outer = Path.of(
        (order.source_mac, order.destination_mac),
        (order.source, order.destination),
        order.vxlan_port,
        order.mtu,
    )
    inner = Path.of(
        (order.inner_source_mac, order.inner_destination_mac),
        (order.inner_source, order.inner_destination),
        order.port,
        order.inner_mtu,
    )
    return list(receive_frames(outer, inner, order.vni, protocol, pool(order.seed)))


class ReceiveTest:
    """Receives a burst: call `drain` until the burst is over, then `finish`.

    Args:
        order: The burst.
        capture: The capture on the NIC that receives it.
        namespace: Descriptor of the tunnel namespace.

    Attributes:
        pace: Its pace, frames per second; 0 for no limit.
    """

    def __init__(self, order: ReceiveOrder, capture: CsumStatusCapture, namespace: int) -> None:
        self._order, self._capture, self._namespace = order, capture, namespace
        self.pace = order.pace
        self._expected = receive_frames_of(order)
        self._by_bytes = {frame.frame: frame for frame in self._expected}
        self._to_deliver = [frame for frame in self._expected if frame.shape != REFERENCE]
        self._by_port_and_sequence = {
            (frame.source_port, frame.sequence): frame for frame in self._to_deliver
        }
        self._ports = frozenset({order.vxlan_port})
        self._captured: dict[int, int] = {}  # receive checksum status by id() of the frame
        self._changed: dict[int, tuple[bytes, tuple[str, ...]]] = {}
        self._refused = counters.refusals(namespace)
        self._wrong_inside = [
            frame
            for frame in self._to_deliver
            if frame.wrong and not _OUTER.intersection(frame.wrong)
        ]
        self._last = time.monotonic()
        self._sockets = ReceiveSockets(order, self._to_deliver, namespace)
        self._capture.watch(order.source_mac, order.vxlan_port)

    def drain(self) -> None:
        """Takes all that was received so far."""
        received = self._sockets.drain()
        for data, status in self._capture.take():
            self._note(data, status)
            received = True
        if received:
            self._last = time.monotonic()

    def quiet_for(self) -> float:
        """Returns the seconds since something was received, or since the start."""
        return time.monotonic() - self._last

    def complete(self) -> bool:
        """Returns whether every frame was captured, and either delivered or refused.

        All right frames must be delivered.
        """
        if len(self._captured) < len(self._expected):
            return False
        if not all(self._delivered(frame) for frame in self._to_deliver if not frame.wrong):
            return False
        # What is wrong outside is counted in the host's own namespace, where other pairs' frames
        # are counted as well: the kernel is given a moment for these.
        refused = counters.refusals(self._namespace) - self._refused
        refused += sum(map(self._delivered, self._wrong_inside))
        return refused >= len(self._wrong_inside) and self.quiet_for() >= _MOMENT

    def _note(self, data: bytes, status: int) -> None:
        """Records a captured frame, and whether it is as it was sent."""
        receive_frame = self._by_bytes.get(data)
        if receive_frame is not None:
            self._captured[id(receive_frame)] = status
            return
        checked = check(data, len(data), self._ports)
        found = self._merged_from(data, checked)
        for receive_frame in found:
            self._captured[id(receive_frame)] = status
        # GRO merges frames before the capture, and leaves the checksum of a merged one incomplete
        # (`tcp4_gro_complete`, net/ipv4/tcp_offload.c): its bytes are not those that were received.
        if len(found) == 1 and not status & CSUM_NOT_READY:
            names = tuple(name for bit, name in LAYERS.items() if checked.bad & bit)
            self._changed[id(found[0])] = data, names

    def _merged_from(self, data: bytes, checked: Checked) -> list[ReceiveFrame]:
        """Returns the frames that a changed or merged frame was made from.

        The list is empty if it is no frame of the burst.
        """
        layout = checked.layout
        if layout is None or layout.vni != self._order.vni or layout.inner is None:
            return []
        inner = layout.inner
        if inner.destination_port != self._order.port or inner.source_port is None:
            return []
        if inner.protocol != TCP:
            found = self._by_port_and_sequence.get((inner.source_port, 0))
            return [found] if found else []
        (first,) = struct.unpack_from("!I", data, inner.l4 + 4)
        end = first + inner.l4_length - (data[inner.l4 + 12] >> 4) * 4
        return [
            receive_frame
            for (port, sequence), receive_frame in self._by_port_and_sequence.items()
            if port == inner.source_port and first <= sequence < end
        ]

    def _delivered(self, receive_frame: ReceiveFrame) -> bool:
        """Returns whether the application received exactly the payload of a frame."""
        pieces = self._sockets.of(receive_frame.source_port)
        if self._order.protocol == "udp":
            return receive_frame.payload in pieces
        start = receive_frame.at
        return b"".join(pieces)[start : start + len(receive_frame.payload)] == receive_frame.payload

    def _altered(self, receive_frame: ReceiveFrame) -> bool:
        """Returns whether the application received something else in place of a frame's payload."""
        pieces = self._sockets.of(receive_frame.source_port)
        if self._order.protocol == "udp":
            return any(piece != receive_frame.payload for piece in pieces)
        start, stream = receive_frame.at, b"".join(pieces)
        piece = stream[start : start + len(receive_frame.payload)]
        return bool(piece) and piece != receive_frame.payload

    def finish(self, moved: dict[str, int], log: tuple[str, ...]) -> ReceiveResult:
        """Ends the burst and returns its result.

        Args:
            moved: The counters that changed during the burst, and by how much.
            log: The kernel's log lines during the burst.
        """
        self.drain()
        drops = self._capture.drops()
        known = {receive_frame.source_port for receive_frame in self._to_deliver}
        unexpected = len(self._sockets.senders - known)
        counts: dict[tuple[str, tuple[str, ...]], Counter[str]] = {}
        samples: list[BadFrame] = []
        for receive_frame in self._expected:
            data, wrong = self._changed.get(
                id(receive_frame), (receive_frame.frame, receive_frame.wrong)
            )
            tally = counts.setdefault((receive_frame.shape, wrong), Counter())
            status = self._captured.get(id(receive_frame))
            delivered = receive_frame.shape != REFERENCE and self._delivered(receive_frame)
            tally["frames"] += 1
            tally["delivered"] += delivered
            tally["altered"] += not delivered and self._altered(receive_frame)
            if status is not None:
                tally["captured"] += 1
                tally["csum_valid"] += bool(status & CSUM_VALID)
                tally["csum_not_ready"] += bool(status & CSUM_NOT_READY)
            if wrong and delivered and len(samples) < _SAMPLES:
                findings = tuple(explain(data, len(data), self._ports))
                delivery = f"it was delivered all the same ({receive_frame.shape})"
                encoded = base64.b64encode(data).decode("ascii")
                samples.append(BadFrame(encoded, wrong, (*findings, delivery)))
        self.close()
        shapes = tuple(
            ShapeResult(shape, wrong, **tally) for (shape, wrong), tally in counts.items()
        )
        return ReceiveResult(shapes, unexpected, drops, tuple(samples), moved, log)

    def close(self) -> None:
        """Closes the sockets and stops the capture; may be called twice."""
        self._capture.rest()
        self._sockets.close()
