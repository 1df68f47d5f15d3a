"""Frames made for a tunnel's receiver: what became of each.

The receiver holds three things against each other: a frame as it left its maker, the same frame
as the NIC handed it to the kernel, and what an application got of it. All is parked in socket
buffers, which hold a burst whole, and looked at afterwards.
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
from qualification.wire.layers import LAYERS, Checked
from qualification.wire.packet import TCP, UDP
from qualification.wire.verify import check, explain

from .csum_status import CSUM_NOT_READY, CSUM_VALID, CsumStatusCapture

_SAMPLES = 16


def receive_frames_of(order: ReceiveOrder) -> list[ReceiveFrame]:
    """The frames of a burst; the same wherever they are made."""
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
    """A burst that is about to arrive; `drain` it until it is over, then `finish`.

    Args:
        order: The burst.
        capture: On the NIC that it comes to.
        namespace: Descriptor of the tunnel namespace.
    """

    def __init__(self, order: ReceiveOrder, capture: CsumStatusCapture, namespace: int) -> None:
        self._order, self._capture, self._namespace = order, capture, namespace
        self._expected = receive_frames_of(order)
        self._whose = {receive_frame.frame: receive_frame for receive_frame in self._expected}
        self._to_deliver = [a for a in self._expected if a.shape != REFERENCE]
        self._places = {(a.source_port, a.sequence): a for a in self._to_deliver}
        self._ports = frozenset({order.vxlan_port})
        self._captured: dict[int, int] = {}  # by id of the arrival: the status of its frame
        self._changed: dict[int, tuple[bytes, tuple[str, ...]]] = {}
        self._refused = counters.refusals(namespace)
        self._last = time.monotonic()
        self._sockets = ReceiveSockets(order, self._to_deliver, namespace)
        self._capture.watch(order.source_mac, order.vxlan_port)

    def drain(self) -> None:
        """Takes what has come."""
        came = self._sockets.drain()
        for data, status in self._capture.take():
            self._note(data, status)
            came = True
        if came:
            self._last = time.monotonic()

    def quiet_for(self) -> float:
        """Seconds since something came, or since the start."""
        return time.monotonic() - self._last

    def complete(self) -> bool:
        """Whether every frame came, all right ones got through and the others were refused."""
        if len(self._captured) < len(self._expected):
            return False
        got = [
            receive_frame for receive_frame in self._to_deliver if self._delivered(receive_frame)
        ]
        if len(got) < sum(not receive_frame.wrong for receive_frame in self._to_deliver):
            return False
        refused = counters.refusals(self._namespace) - self._refused
        return len(got) + refused >= len(self._to_deliver)

    def _note(self, data: bytes, status: int) -> None:
        """Finds out which frame this is, and whether it is as it was sent."""
        receive_frame = self._whose.get(data)
        if receive_frame is not None:
            self._captured[id(receive_frame)] = status
            return
        checked = check(data, len(data), self._ports)
        found = self._told(data, checked)
        for receive_frame in found:
            self._captured[id(receive_frame)] = status
        # GRO merges before we see it, and leaves the checksum of what it has merged unfinished
        # (`tcp4_gro_complete`, net/ipv4/tcp_offload.c): its bytes say nothing of what arrived.
        if len(found) == 1 and not status & CSUM_NOT_READY:
            names = tuple(name for bit, name in LAYERS.items() if checked.bad & bit)
            self._changed[id(found[0])] = data, names

    def _told(self, data: bytes, checked: Checked) -> list[ReceiveFrame]:
        """The frames that one was made of which is none of them; none if it is not ours."""
        layout = checked.layout
        if layout is None or layout.vni != self._order.vni or layout.inner is None:
            return []
        inner = layout.inner
        if inner.destination_port != self._order.port or inner.source_port is None:
            return []
        if inner.protocol != TCP:
            found = self._places.get((inner.source_port, 0))
            return [found] if found else []
        (first,) = struct.unpack_from("!I", data, inner.l4 + 4)
        end = first + inner.l4_length - (data[inner.l4 + 12] >> 4) * 4
        return [
            receive_frame
            for (port, sequence), receive_frame in self._places.items()
            if port == inner.source_port and first <= sequence < end
        ]

    def _delivered(self, receive_frame: ReceiveFrame) -> bool:
        """Whether an application got just what the frame carries."""
        pieces = self._sockets.of(receive_frame.source_port)
        if self._order.protocol == "udp":
            return receive_frame.payload in pieces
        start = receive_frame.at
        return b"".join(pieces)[start : start + len(receive_frame.payload)] == receive_frame.payload

    def _altered(self, receive_frame: ReceiveFrame) -> bool:
        """Whether it got something else in its place."""
        pieces = self._sockets.of(receive_frame.source_port)
        if self._order.protocol == "udp":
            return any(piece != receive_frame.payload for piece in pieces)
        start, stream = receive_frame.at, b"".join(pieces)
        piece = stream[start : start + len(receive_frame.payload)]
        return bool(piece) and piece != receive_frame.payload

    def finish(self, moved: dict[str, int], log: tuple[str, ...]) -> ReceiveResult:
        """Ends the burst and says what became of it.

        Args:
            moved: Counters that moved meanwhile.
            log: Lines of the kernel's log.
        """
        self.drain()
        drops = self._capture.drops()
        known = {receive_frame.source_port for receive_frame in self._to_deliver}
        strangers = len(self._sockets.senders - known)
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
                said = tuple(explain(data, len(data), self._ports))
                told = f"it was delivered all the same ({receive_frame.shape})"
                encoded = base64.b64encode(data).decode("ascii")
                samples.append(BadFrame(encoded, wrong, (*said, told)))
        self.close()
        tallies = tuple(
            ShapeResult(shape, wrong, **tally) for (shape, wrong), tally in counts.items()
        )
        return ReceiveResult(tallies, strangers, drops, tuple(samples), moved, log)

    def close(self) -> None:
        """Ends its sockets, and has the capture rest; harmless twice."""
        self._capture.rest()
        self._sockets.close()
