"""Bad fields: one wrong field of one bad frame, with all that could have gone into it.

A frame that is wrong in several layers gives several bad fields. Faults have consequences: the
kernel makes the outer checksum on the assumption that the inner one will be filled in (local
checksum offload, `lco_csum` in include/linux/skbuff.h), so where hardware leaves the inner one
alone, both are wrong on the wire. An outer field that fits the frame as it was meant to be is
therefore no bad field: nothing is wrong with the layer itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qualification.messages.bursts import BadFrame
from qualification.plan.flows import Flow
from qualification.wire.checksum import checksum, ones_sum, udp_checksum
from qualification.wire.dissect import Layout, dissect
from qualification.wire.packet import TCP, UDP, Packet

FieldKind = Literal["sum", "header", "length"]

_MOST_SEGMENTS = 64  # of a super-packet: UDP_MAX_SEGMENTS; of TCP, 64 KiB hold 46 of a usual MSS
_LARGEST = 65535  # bytes of a super-packet, by the length field that its seed is made with
_NEIGHBOURS = 16


@dataclass(frozen=True, slots=True)
class BadField:
    """One wrong field. Sums are residues modulo 65535, see `qualification.wire.checksum`.

    Attributes:
        index: Which of the bad frames it is from.
        kind: "sum" for a TCP or UDP checksum, "header" for an IPv4 header's, "length" for the
            length of UDP or IP.
        frame: The bytes: from the wire, or as they were meant to be.
        packet: The packet that the field belongs to.
        at: Offset of the field, bytes.
        found: What it holds.
        right: What it should hold.
        size: Bytes of the L4 header and payload, by the IP length; of the IP packet, for its
            length.
        end: Offset behind them.
        payload: Offset of the layer's own payload.
        data: Bytes of application data in the frame: what segmentation cuts.
        rest: Sum of what the checksum covers, without the field.
        addresses: Sum of the pseudo-header's addresses.
        tagged: A VLAN tag is in front.
        full: Bytes of application data of a full segment, as far as the bad frames show.
        extras: Bytes by which a super-packet of whole segments would be longer than this one.
        rests: The same for super-packets that end in a shorter segment seen later.
        before: The right values of the frames before, nearest first.
        around: The values found in the frames before and after.
        other: The same field of the packet around, or inside.
        meant: The same field in the frame as it was meant to be, where the inner layers are wrong.
    """

    index: int
    kind: FieldKind
    frame: bytes
    packet: Packet
    at: int
    found: int
    right: int
    size: int
    end: int
    payload: int
    data: int
    rest: int
    addresses: int
    tagged: bool
    full: int = 0
    extras: frozenset[int] = frozenset()
    rests: frozenset[int] = frozenset()
    before: tuple[int, ...] = ()
    around: frozenset[int] = frozenset()
    other: BadField | None = None
    meant: BadField | None = None

    @property
    def protocol(self) -> int:
        """IP protocol number."""
        return self.packet.protocol

    @property
    def seed(self) -> int:
        """Sum of the pseudo-header."""
        return self.addresses + self.protocol + self.size

    @property
    def off(self) -> int:
        """By how much the field is off, as a residue."""
        return (self.found - self.right) % 65535


@dataclass(frozen=True, slots=True)
class _Frame:
    index: int
    layers: tuple[str, ...]
    data: bytes
    layout: Layout
    carried: int  # bytes of application data

    @property
    def innermost(self) -> Packet:
        return self.layout.inner or self.layout.outer


def collect(frames: Sequence[BadFrame], flow: Flow) -> dict[tuple[str, FieldKind], list[BadField]]:
    """Takes bad frames apart.

    Args:
        frames: In the order in which they came.
        flow: What is known of them.

    Returns:
        Bad fields by layer and kind. A frame that cannot be read has none.
    """
    read = [frame for index, bad in enumerate(frames) if (frame := _read(index, bad, flow))]
    full = max((frame.carried for frame in read), default=0)
    found: dict[tuple[str, FieldKind], list[BadField]] = {}
    for place, frame in enumerate(read):
        extras, rests = _longer(read, place, full) if flow.segmentation else ((), ())
        for layer, bad_field in _bad_fields(frame):
            known = _knowing(bad_field, full, frozenset(extras), frozenset(rests))
            found.setdefault((layer, bad_field.kind), []).append(known)
    return {key: list(_among(bad_fields)) for key, bad_fields in found.items()}


def _knowing(
    bad_field: BadField, full: int, extras: frozenset[int], rests: frozenset[int]
) -> BadField:
    """Lets a bad field know of the segments around it, also as it was meant to be."""
    meant = bad_field.meant and _knowing(bad_field.meant, full, extras, rests)
    return replace(bad_field, full=full, extras=extras, rests=rests, meant=meant)


def _read(index: int, bad: BadFrame, flow: Flow) -> _Frame | None:
    try:
        data = base64.b64decode(bad.data, validate=True)
    except binascii.Error:
        return None
    layout = dissect(data, ports=frozenset({flow.port}))
    if layout is None:
        return None
    packet = layout.inner or layout.outer
    carried = max(0, _ip_end(data, packet) - _payload(data, packet))
    return _Frame(index, bad.layers, data, layout, carried)


def _longer(read: Sequence[_Frame], place: int, full: int) -> tuple[Iterable[int], Iterable[int]]:
    """How much longer the super-packet may have been that a frame was cut from; see `BadField`."""
    frame = read[place]
    room = _LARGEST - frame.carried
    if not full:
        return (), ()
    whole = [n for k in range(1, _MOST_SEGMENTS) if (n := k * full) <= room]
    if frame.carried < full:
        return whole, ()
    me, later = frame.innermost, read[place + 1 :]
    stream = (me.addresses, me.source_port, me.destination_port)
    for other in later:
        it = other.innermost
        mine = (it.addresses, it.source_port, it.destination_port) == stream
        if mine and other.carried < full:
            return whole, [n + other.carried for n in (0, *whole) if n + other.carried <= room]
    return whole, ()


def _among(bad_fields: Sequence[BadField]) -> Iterator[BadField]:
    """Lets each bad field know those around it."""
    for place, bad_field in enumerate(bad_fields):
        before = bad_fields[max(0, place - _NEIGHBOURS) : place]
        after = bad_fields[place + 1 : place + 1 + _NEIGHBOURS]
        yield replace(
            bad_field,
            before=tuple(s.right for s in reversed(before)),
            around=frozenset(s.found for s in (*before, *after)),
        )


def _bad_fields(frame: _Frame) -> Iterator[tuple[str, BadField]]:
    outer, inner = frame.layout.outer, frame.layout.inner
    inside = _of_packet(frame, inner, "inner", outer.end) if inner else {}
    around = _of_packet(frame, outer, "outer", len(frame.data))
    inner_sum, outer_sum = inside.get("inner L4"), around.get("outer L4")
    for layer, bad_field in inside.items():
        if layer in frame.layers:
            yield layer, replace(bad_field, other=_sum(outer_sum))
    meant = frame.data
    for layer in ("inner L4", "inner IP"):
        if layer in inside and layer in frame.layers:
            meant = _repaired(meant, inside[layer])
    for layer, bad_field in around.items():
        if layer not in frame.layers:
            continue
        as_meant = None
        if bad_field.kind == "sum" and meant != frame.data:
            as_meant = _sum_of(frame, outer, meant)
            if bad_field.found and bad_field.found % 65535 == as_meant.right % 65535:
                continue  # a consequence: it fits the frame as it was meant to be
            as_meant = replace(as_meant, other=_sum(inner_sum))
        yield layer, replace(bad_field, other=_sum(inner_sum), meant=as_meant)


def _sum(bad_field: BadField | None) -> BadField | None:
    return bad_field if bad_field and bad_field.kind == "sum" else None


def _of_packet(frame: _Frame, packet: Packet, side: str, limit: int) -> dict[str, BadField]:
    """What a packet's two layers come to, right or wrong, as far as they can be judged.

    Args:
        frame: The frame it is in.
        packet: One of its packets.
        side: "outer" or "inner".
        limit: Where what carries it ends.
    """
    data, found = frame.data, {}
    if packet.l4 == packet.start:
        return {}  # no header that one could go by
    if packet.trouble == "length":
        at = packet.start + (2 if packet.family == 4 else 4)
        base = packet.start if packet.family == 4 else packet.start + 40
        return {f"{side} IP": _length_of(frame, packet, at, base, limit)}
    if packet.family == 4:
        found[f"{side} IP"] = _header_of(frame, packet)
    end = _ip_end(data, packet)
    if packet.checksum is None or packet.protocol not in (TCP, UDP) or end > len(data):
        return found
    if packet.protocol == UDP and _u16(data, packet.l4 + 4) not in (0, end - packet.l4):
        found[f"{side} L4"] = _length_of(frame, packet, packet.l4 + 4, packet.l4, end)
    elif packet.trouble is None:
        found[f"{side} L4"] = _sum_of(frame, packet, data)
    return found


def _sum_of(frame: _Frame, packet: Packet, data: bytes) -> BadField:
    udp = packet.protocol == UDP
    at, end = packet.l4 + (6 if udp else 16), _ip_end(data, packet)
    value, size = _u16(data, at), end - packet.l4
    rest = (ones_sum(data[packet.l4 : end]) - value) % 65535
    total = ones_sum(packet.addresses) + packet.protocol + size + rest
    right = udp_checksum(total) if udp else checksum(total)
    return _bad_field(frame, "sum", data, packet, (at, value, right), (size, end, rest))


def _header_of(frame: _Frame, packet: Packet) -> BadField:
    data, start = frame.data, packet.start
    value = _u16(data, start + 10)
    rest = (ones_sum(data[start : start + (data[start] & 15) * 4]) - value) % 65535
    field = start + 10, value, checksum(rest)
    end = _ip_end(data, packet)
    return _bad_field(frame, "header", data, packet, field, (end - start, end, rest))


def _length_of(frame: _Frame, packet: Packet, at: int, base: int, end: int) -> BadField:
    field = at, _u16(frame.data, at), end - base
    return _bad_field(frame, "length", frame.data, packet, field, (end - base, end, 0))


def _bad_field(
    frame: _Frame,
    kind: FieldKind,
    data: bytes,
    packet: Packet,
    field: tuple[int, int, int],
    covered: tuple[int, int, int],
) -> BadField:
    vlans = frame.layout.vlans + frame.layout.inner_vlans
    return BadField(
        frame.index, kind, data, packet, *field, covered[0], covered[1], _payload(data, packet),
        frame.carried, covered[2], ones_sum(packet.addresses), bool(vlans),
    )  # fmt: skip


def _repaired(data: bytes, bad_field: BadField) -> bytes:
    """The frame with one field as it should be."""
    return data[: bad_field.at] + bad_field.right.to_bytes(2, "big") + data[bad_field.at + 2 :]


def _payload(data: bytes, packet: Packet) -> int:
    """Offset behind the L4 header."""
    if packet.protocol == TCP and packet.l4 + 12 < len(data):
        return packet.l4 + (data[packet.l4 + 12] >> 4) * 4
    return packet.l4 + 8


def _ip_end(data: bytes, packet: Packet) -> int:
    """Where a packet ends by its IP length, which UDP's own may fall short of."""
    if packet.l4 == packet.start or packet.trouble in ("length", "jumbogram"):
        return packet.end
    if packet.family == 4:
        return packet.start + _u16(data, packet.start + 2)
    return packet.start + 40 + _u16(data, packet.start + 4)


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
