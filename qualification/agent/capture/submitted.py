"""Finds the buffers that bad frames were made of, in what the sender's tap has in memory.

The tap only counts, but its ring keeps what the kernel wrote into it until the next burst, so that
nothing has to be copied for a burst without bad frames.
"""

from __future__ import annotations

import base64
import struct
from typing import NamedTuple

from qualification.agent.traffic.payload import HEADER, MAGIC
from qualification.messages.bursts import CaptureOrder
from qualification.messages.submitted import SubmittedPacket
from qualification.wire.dissect import dissect
from qualification.wire.flow_frames import OURS, of_flow, whose_is
from qualification.wire.packet import TCP, UDP, Packet

from .ring import Ring, RingFrame

_PORTS = struct.Struct(">HH")
_NUMBERS = 1 << 32
"""TCP sequence numbers are taken modulo this (RFC 9293, section 3.4)."""


class _Marks(NamedTuple):
    """What tells a frame's buffer from others of its flow.

    Attributes:
        ports: The bytes of its source and destination port.
        first: Its TCP sequence number, or the number of its datagram; None for a datagram of a
            crafted packet set, which has none, and a source port of its own.
        ident: Its IPv4 id; None over IPv6.
        options: Its TCP options, of which all segments of a super-packet have the same.
    """

    ports: bytes
    first: int | None
    ident: int | None
    options: bytes


class Search:
    """Looks for the buffers of some frames.

    Args:
        order: What the tap captured.
        segment: Payload bytes of each segment of a datagram's super-packet; 0 for a crafted packet
            set.
    """

    def __init__(self, order: CaptureOrder, segment: int) -> None:
        self._order, self._segment = order, segment
        self._tunnel = frozenset({order.vxlan_port})

    def find(self, ring: Ring, frames: list[bytes]) -> list[SubmittedPacket | None]:
        """Returns the buffer of each frame that the ring still has; see `Ring.history`.

        A segment that was sent again was in several buffers: of these the one with the frame's
        IPv4 id and TCP options is taken, or else the first one.
        """
        wanted = {
            number: marks
            for number, frame in enumerate(frames)
            for marks in [self._marks(frame)]
            if marks is not None
        }
        found: dict[int, tuple[int, SubmittedPacket]] = {}
        for one in ring.history():
            data = bytes(one.data)
            likely = [(number, marks) for number, marks in wanted.items() if marks.ports in data]
            packet = self._packet(data, one.wire_length) if likely else None
            if packet is None:
                continue
            for number, marks in likely:
                fits = self._fits(marks, packet, data, one)
                if fits > (found[number][0] if number in found else 0):
                    found[number] = fits, _kept(one, data)
                    if fits == _BEST:
                        del wanted[number]
            if not wanted:
                break
        return [found[number][1] if number in found else None for number in range(len(frames))]

    def _packet(self, data: bytes, wire_length: int) -> Packet | None:
        """Returns the packet of a buffer that carries the flow; None for one of another flow."""
        layout = dissect(data, wire_length, self._tunnel)
        if layout is None or whose_is(self._order, layout, data) != OURS:
            return None
        return of_flow(self._order, layout)

    def _marks(self, frame: bytes) -> _Marks | None:
        """Returns the marks of a bad frame; None if it has none left."""
        layout = dissect(frame, None, self._tunnel)
        packet = None if layout is None else of_flow(self._order, layout)
        if packet is None or packet.source_port is None or packet.destination_port is None:
            return None
        first = self._first(packet, frame)
        if first is None and (self._segment or packet.protocol != UDP):
            return None
        ports = _PORTS.pack(packet.source_port, packet.destination_port)
        return _Marks(ports, first, _ident(packet, frame), _options(packet, frame))

    def _first(self, packet: Packet, data: bytes) -> int | None:
        at = packet.l4
        if packet.protocol == TCP and at + 8 <= len(data):
            return int.from_bytes(data[at + 4 : at + 8], "big")
        if packet.protocol == UDP and self._segment and at + 8 + HEADER.size <= len(data):
            magic, _mark, sequence, _size, _check = HEADER.unpack_from(data, at + 8)
            return int(sequence) if magic == MAGIC else None
        return None

    def _fits(self, marks: _Marks, packet: Packet, data: bytes, buffer: RingFrame) -> int:
        """Returns how well a buffer fits a frame: 0 if it cannot have been made of it."""
        ports = packet.source_port or 0, packet.destination_port or 0
        if _PORTS.pack(*ports) != marks.ports:
            return 0
        header = (data[packet.l4 + 12] >> 4) * 4 if packet.protocol == TCP else 8
        # Partial GSO leaves the length of one segment in the headers of many.
        held = max(packet.l4_length, buffer.wire_length - packet.l4) - header
        frames = -(-held // self._segment) if self._segment else held
        if marks.first is not None:
            first = self._first(packet, data)
            span = held if packet.protocol == TCP else frames
            if first is None or (marks.first - first) % _NUMBERS >= max(1, span):
                return 0
        ident = _ident(packet, data)
        near = (
            ident is None or marks.ident is None or (marks.ident - ident) % 65536 < max(1, frames)
        )
        return 1 + near + (_options(packet, data) == marks.options)


_BEST = 3
"""What `Search._fits` returns where IPv4 id and TCP options are those of the frame, too."""


def _ident(packet: Packet, data: bytes) -> int | None:
    if packet.family != 4:
        return None
    return int.from_bytes(data[packet.start + 4 : packet.start + 6], "big")


def _options(packet: Packet, data: bytes) -> bytes:
    if packet.protocol != TCP or packet.l4 + 12 >= len(data):
        return b""
    return data[packet.l4 + 20 : packet.l4 + (data[packet.l4 + 12] >> 4) * 4]


def _kept(buffer: RingFrame, data: bytes) -> SubmittedPacket:
    tag = buffer.vlan or b""
    data = data[:12] + tag + data[12:]
    encoded = base64.b64encode(data).decode("ascii")
    return SubmittedPacket(encoded, buffer.wire_length + len(tag), buffer.csum_not_ready)
