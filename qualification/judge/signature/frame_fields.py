"""One bad frame taken apart: the checksum and length fields of its packets, and those at fault.

A frame that is wrong in several layers gives several bad fields. Faults have consequences: the
kernel makes the outer checksum on the assumption that the inner one will be filled in (local
checksum offload, `lco_csum` in include/linux/skbuff.h), so where hardware leaves the inner one
alone, both are wrong on the wire. An outer field that fits the frame as it was meant to be is
therefore no bad field: nothing is wrong with the layer itself.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, replace

from qualification.messages.bursts import BadFrame
from qualification.plan.flows import Flow
from qualification.wire.checksum import checksum, ones_sum, udp_checksum
from qualification.wire.dissect import Layout, dissect
from qualification.wire.packet import TCP, UDP, Packet

from .bad_field import BadField, FieldKind


@dataclass(frozen=True, slots=True)
class Frame:
    """A bad frame that could be read.

    Attributes:
        index: Its index among the bad frames.
        layers: Names of the layers that are wrong.
        data: Its bytes.
        layout: Where its packets are.
        carried: Bytes of application data.
    """

    index: int
    layers: tuple[str, ...]
    data: bytes
    layout: Layout
    carried: int

    @property
    def innermost(self) -> Packet:
        """The inner packet, or the only one."""
        return self.layout.inner or self.layout.outer


def read(index: int, bad: BadFrame, flow: Flow) -> Frame | None:
    """Reads a bad frame; returns None where it cannot be read.

    Args:
        index: Its index among the bad frames.
        bad: The frame.
        flow: The flow that it belongs to.
    """
    try:
        data = base64.b64decode(bad.data, validate=True)
    except binascii.Error:
        return None
    layout = dissect(data, ports=frozenset({flow.port}))
    if layout is None:
        return None
    packet = layout.inner or layout.outer
    carried = max(0, _ip_end(data, packet) - _payload(data, packet))
    return Frame(index, bad.layers, data, layout, carried)


def bad_fields(frame: Frame) -> Iterator[tuple[str, BadField]]:
    """Yields the names of the layers at fault, each with its bad field."""
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
                continue  # a consequence, see the module
            as_meant = replace(as_meant, other=_sum(inner_sum))
        yield layer, replace(bad_field, other=_sum(inner_sum), meant=as_meant)


def _sum(bad_field: BadField | None) -> BadField | None:
    return bad_field if bad_field and bad_field.kind == "sum" else None


def _of_packet(frame: Frame, packet: Packet, side: str, limit: int) -> dict[str, BadField]:
    """Returns the fields of a packet's two layers, right or wrong, as far as they can be judged.

    Args:
        frame: The frame.
        packet: One of its packets.
        side: "outer" or "inner".
        limit: End of what carries the packet, as an offset in the frame.
    """
    data, found = frame.data, {}
    if packet.l4 == packet.start:
        return {}  # the IP header is cut off or damaged
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


def _sum_of(frame: Frame, packet: Packet, data: bytes) -> BadField:
    udp = packet.protocol == UDP
    at, end = packet.l4 + (6 if udp else 16), _ip_end(data, packet)
    value, size = _u16(data, at), end - packet.l4
    rest = (ones_sum(data[packet.l4 : end]) - value) % 65535
    total = ones_sum(packet.addresses) + packet.protocol + size + rest
    right = udp_checksum(total) if udp else checksum(total)
    return _bad_field(frame, "sum", data, packet, (at, value, right), (size, end, rest))


def _header_of(frame: Frame, packet: Packet) -> BadField:
    data, start = frame.data, packet.start
    value = _u16(data, start + 10)
    rest = (ones_sum(data[start : start + (data[start] & 15) * 4]) - value) % 65535
    field = start + 10, value, checksum(rest)
    end = _ip_end(data, packet)
    return _bad_field(frame, "header", data, packet, field, (end - start, end, rest))


def _length_of(frame: Frame, packet: Packet, at: int, base: int, end: int) -> BadField:
    field = at, _u16(frame.data, at), end - base
    return _bad_field(frame, "length", frame.data, packet, field, (end - base, end, 0))


def _bad_field(
    frame: Frame,
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
    """Returns the frame with the right value in one field."""
    return data[: bad_field.at] + bad_field.right.to_bytes(2, "big") + data[bad_field.at + 2 :]


def _payload(data: bytes, packet: Packet) -> int:
    """Returns the offset behind the L4 header."""
    if packet.protocol == TCP and packet.l4 + 12 < len(data):
        return packet.l4 + (data[packet.l4 + 12] >> 4) * 4
    return packet.l4 + 8


def _ip_end(data: bytes, packet: Packet) -> int:
    """Returns the end of a packet by its IP length, which the length of UDP may fall short of."""
    if packet.l4 == packet.start or packet.trouble in ("length", "jumbogram"):
        return packet.end
    if packet.family == 4:
        return packet.start + _u16(data, packet.start + 2)
    return packet.start + 40 + _u16(data, packet.start + 4)


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
