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

from qualification.wire.arrivals import REFERENCE, Arrival, arrivals
from qualification.wire.layers import LAYERS, Checked
from qualification.wire.packet import TCP, UDP
from qualification.wire.shots import Path
from qualification.wire.verify import check, explain

from . import counters
from .arrival_messages import ArrivalOrder, Arrived, Tally
from .inbox import Inbox
from .messages import BadFrame
from .payload import pool
from .vouched import UNFINISHED, VOUCHED, Vouched

_SAMPLES = 16


def arrivals_of(order: ArrivalOrder) -> list[Arrival]:
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
    return list(arrivals(outer, inner, order.vni, protocol, pool(order.seed)))


class Expected:
    """A burst that is about to arrive; `drain` it until it is over, then `finish`.

    Args:
        order: The burst.
        capture: On the NIC that it comes to.
        namespace: Descriptor of the tunnel namespace.
    """

    def __init__(self, order: ArrivalOrder, capture: Vouched, namespace: int) -> None:
        self._order, self._capture, self._namespace = order, capture, namespace
        self._due = arrivals_of(order)
        self._whose = {arrival.frame: arrival for arrival in self._due}
        self._to_deliver = [a for a in self._due if a.shape != REFERENCE]
        self._places = {(a.source_port, a.sequence): a for a in self._to_deliver}
        self._ports = frozenset({order.vxlan_port})
        self._captured: dict[int, int] = {}  # by id of the arrival: the status of its frame
        self._changed: dict[int, tuple[bytes, tuple[str, ...]]] = {}
        self._refused = counters.refusals(namespace)
        self._last = time.monotonic()
        self._inbox = Inbox(order, self._to_deliver, namespace)
        self._capture.watch(order.source_mac, order.vxlan_port)

    def drain(self) -> None:
        """Takes what has come."""
        came = self._inbox.drain()
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
        if len(self._captured) < len(self._due):
            return False
        got = [arrival for arrival in self._to_deliver if self._delivered(arrival)]
        if len(got) < sum(not arrival.wrong for arrival in self._to_deliver):
            return False
        refused = counters.refusals(self._namespace) - self._refused
        return len(got) + refused >= len(self._to_deliver)

    def _note(self, data: bytes, status: int) -> None:
        """Finds out which frame this is, and whether it is as it was sent."""
        arrival = self._whose.get(data)
        if arrival is not None:
            self._captured[id(arrival)] = status
            return
        checked = check(data, len(data), self._ports)
        found = self._told(data, checked)
        for arrival in found:
            self._captured[id(arrival)] = status
        # GRO merges before we see it, and leaves the checksum of what it has merged unfinished
        # (`tcp4_gro_complete`, net/ipv4/tcp_offload.c): its bytes say nothing of what arrived.
        if len(found) == 1 and not status & UNFINISHED:
            names = tuple(name for bit, name in LAYERS.items() if checked.bad & bit)
            self._changed[id(found[0])] = data, names

    def _told(self, data: bytes, checked: Checked) -> list[Arrival]:
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
            arrival
            for (port, sequence), arrival in self._places.items()
            if port == inner.source_port and first <= sequence < end
        ]

    def _delivered(self, arrival: Arrival) -> bool:
        """Whether an application got just what the frame carries."""
        pieces = self._inbox.of(arrival.source_port)
        if self._order.protocol == "udp":
            return arrival.payload in pieces
        start = arrival.at
        return b"".join(pieces)[start : start + len(arrival.payload)] == arrival.payload

    def _altered(self, arrival: Arrival) -> bool:
        """Whether it got something else in its place."""
        pieces = self._inbox.of(arrival.source_port)
        if self._order.protocol == "udp":
            return any(piece != arrival.payload for piece in pieces)
        start, stream = arrival.at, b"".join(pieces)
        piece = stream[start : start + len(arrival.payload)]
        return bool(piece) and piece != arrival.payload

    def finish(self, moved: dict[str, int], log: tuple[str, ...]) -> Arrived:
        """Ends the burst and says what became of it.

        Args:
            moved: Counters that moved meanwhile.
            log: Lines of the kernel's log.
        """
        self.drain()
        drops = self._capture.drops()
        known = {arrival.source_port for arrival in self._to_deliver}
        strangers = len(self._inbox.senders - known)
        counts: dict[tuple[str, tuple[str, ...]], Counter[str]] = {}
        samples: list[BadFrame] = []
        for arrival in self._due:
            data, wrong = self._changed.get(id(arrival), (arrival.frame, arrival.wrong))
            tally = counts.setdefault((arrival.shape, wrong), Counter())
            status = self._captured.get(id(arrival))
            delivered = arrival.shape != REFERENCE and self._delivered(arrival)
            tally["frames"] += 1
            tally["delivered"] += delivered
            tally["altered"] += not delivered and self._altered(arrival)
            if status is not None:
                tally["captured"] += 1
                tally["vouched"] += bool(status & VOUCHED)
                tally["unfinished"] += bool(status & UNFINISHED)
            if wrong and delivered and len(samples) < _SAMPLES:
                said = tuple(explain(data, len(data), self._ports))
                told = f"it was delivered all the same ({arrival.shape})"
                encoded = base64.b64encode(data).decode("ascii")
                samples.append(BadFrame(encoded, wrong, (*said, told)))
        self.close()
        tallies = tuple(Tally(shape, wrong, **tally) for (shape, wrong), tally in counts.items())
        return Arrived(tallies, strangers, drops, tuple(samples), moved, log)

    def close(self) -> None:
        """Ends its sockets, and has the capture rest; harmless twice."""
        self._capture.rest()
        self._inbox.close()
