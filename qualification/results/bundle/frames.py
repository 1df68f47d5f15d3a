"""Masks frames: other addresses, and checksums that are right or wrong as they were.

A checksum that was right is right for the masked frame. One that was wrong is wrong by the same
difference (one's complement, RFC 1624), but for two kinds: one that was left as the sum of the
pseudo-header, as the kernel leaves it for a NIC, holds that of the masked frame; and an outer one
that would be right if the inner one were is so again. So what the hardware did still shows.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace

from qualification.messages.bursts import BadFrame
from qualification.messages.submitted import SubmittedPacket
from qualification.wire.checksum import pseudo_sum
from qualification.wire.dissect import Layout, dissect
from qualification.wire.packet import ICMP, ICMPV6, TCP, UDP, Packet
from qualification.wire.sentences import header_checksum, l4_checksum
from qualification.wire.verify import explain

from .masking import Mask

_LEAST_SEGMENT = 48
"""Bytes of payload from which on a sum is taken for that of a super-packet's pseudo-header."""
_LONGEST = 1 << 17
"""Bytes of the longest buffer that kernels submit, and some more."""
_FIELD = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
"""Offset of the checksum in the L4 header."""
_CHECKSUM = re.compile(r"(?P<field>.*checksum) is 0x[0-9a-f]{4}, should be 0x[0-9a-f]{4}")


def masked_frame(frame: BadFrame, port: int, mask: Mask) -> BadFrame:
    """Returns a wrong frame with its addresses masked, and its findings as they are then.

    Args:
        frame: The frame.
        port: UDP port of the tunnel; 0 for plain traffic.
        mask: The mask; one that is off changes nothing.
    """
    if not mask.on:
        return frame
    ports = frozenset({port} if port else ())
    data = base64.b64decode(frame.data)
    made = masked(data, ports, mask)
    before, now = explain(data, None, ports), explain(made, None, ports)
    # What else the capture found was told with values of the frame as it was.
    others = [
        f"{stale['field']} is not the expected one" if stale else mask.text(finding)
        for finding in frame.findings
        if finding not in before
        for stale in [_CHECKSUM.fullmatch(finding)]
    ]
    findings = tuple(dict.fromkeys((*map(mask.text, now), *others)))
    return replace(frame, data=base64.b64encode(made).decode(), findings=findings)


def masked_right(counterpart: str, port: int, mask: Mask) -> bytes:
    """Returns the bytes of a right frame, given as base64, with its addresses masked."""
    data = base64.b64decode(counterpart)
    return masked(data, frozenset({port} if port else ()), mask) if mask.on else data


def masked_submitted(packet: SubmittedPacket, port: int, mask: Mask) -> bytes:
    """Returns the first bytes of a buffer that was submitted, with its addresses masked.

    What is missing of it counts as zeros: a sum that is made over it is then wrong by as much as
    before, and so it is what it would be for the whole buffer.
    """
    data = base64.b64decode(packet.data)
    if not mask.on:
        return data
    whole = data + bytes(max(0, min(packet.length, _LONGEST) - len(data)))
    ports = frozenset({port} if port else ())
    return masked(whole, ports, mask, unfinished=packet.csum_partial)[: len(data)]


def masked(data: bytes, ports: frozenset[int], mask: Mask, *, unfinished: bool = False) -> bytes:
    """Returns the bytes of a frame with all addresses masked and all checksums as they were.

    Args:
        data: The frame, from the destination MAC on.
        ports: UDP destination ports of VXLAN.
        mask: The mask.
        unfinished: Whether the innermost checksum was left to the NIC.
    """
    layout = dissect(data, None, ports)
    made = bytearray(data)
    for start, size in _addresses(data, layout):
        made[start : start + size] = mask.packed(data[start : start + size])
    # Headers that could not be parsed may still hold them.
    for secret in sorted(mask.known, key=lambda one: (-len(one), one)):
        at = made.find(secret)
        while at >= 0:
            made[at : at + len(secret)] = mask.packed(secret)
            at = made.find(secret, at + 1)
    if layout is not None:
        if layout.inner is not None:  # first, as the outer sum covers it
            _correct(data, made, layout.inner, None, unfinished=unfinished)
            unfinished = False
        _correct(data, made, layout.outer, layout.inner, unfinished=unfinished)
    return bytes(made)


def _addresses(data: bytes, layout: Layout | None) -> list[tuple[int, int]]:
    """Returns where addresses are, and their sizes."""
    found = [(0, 6), (6, 6)] if len(data) >= 12 else []
    if layout is None:
        return found
    if layout.vxlan is not None and len(data) >= layout.vxlan + 20:
        found += [(layout.vxlan + 8, 6), (layout.vxlan + 14, 6)]
    for packet in filter(None, (layout.outer, layout.inner)):
        first, size = (12, 4) if packet.family == 4 else (8, 16)
        places = [packet.start + first, packet.start + first + size]
        found += [(place, size) for place in places if place + size <= len(data)]
    return found


def _correct(
    data: bytes, made: bytearray, packet: Packet, inner: Packet | None, *, unfinished: bool
) -> None:
    """Makes the checksums of one packet of the masked frame as they were in the frame.

    Args:
        data: The frame.
        made: The masked one, in which those of the inner packet are made already.
        packet: The packet, as it is in the frame.
        inner: The packet in it, if it is the outer one.
        unfinished: Whether its checksum holds the sum of a pseudo-header, of whatever length.
    """
    if packet.l4 == packet.start or packet.trouble == "length":
        return
    if packet.family == 4:
        at = packet.start + 10
        found, right = header_checksum(data, packet)
        _, now = header_checksum(bytes(made), packet)
        made[at : at + 2] = _moved(found, (right, now))
    at = packet.l4 + _FIELD.get(packet.protocol, 0)
    if not _has_sum(data, packet):
        return
    made[at : at + 2] = data[at : at + 2]  # which `l4_checksum` takes off
    new = _readdressed(made, packet)
    found, right = l4_checksum(data, packet)
    if unfinished:
        sum_now = (found + _seed(new) - _seed(packet) - 1) % 65535 + 1
        made[at : at + 2] = sum_now.to_bytes(2, "big")
        return
    _, now = l4_checksum(bytes(made), new)
    known = [(right, now), (_seed(packet), _seed(new))]
    if inner is not None and _has_sum(data, inner):
        # Whoever makes the outer sum counts on an inner one that is right (`lco_csum`).
        intended = l4_checksum(_repaired(data, inner), packet)[1]
        known.append((intended, l4_checksum(_repaired(made, _readdressed(made, inner)), new)[1]))
    more = (found - _seed(packet)) % 65535
    header = (data[packet.l4 + 12] >> 4) * 4 if packet.protocol == TCP else 8
    payload = packet.l4_length - header
    if payload >= _LEAST_SEGMENT and more and more % payload == 0:  # the sum of a super-packet's
        known.append((found, (_seed(new) + more - 1) % 65535 + 1))
    made[at : at + 2] = _moved(found, *known)


def _has_sum(data: bytes, packet: Packet) -> bool:
    """Returns whether a packet has a checksum that can be computed; UDP's 0 means none."""
    if packet.checksum is None or packet.trouble is not None or packet.end > len(data):
        return False
    return bool(packet.checksum) or packet.protocol != UDP


def _readdressed(made: bytes | bytearray, packet: Packet) -> Packet:
    """Returns a packet with the addresses that it has in the masked frame."""
    first, size = (12, 8) if packet.family == 4 else (8, 32)
    at = packet.start + first
    return packet._replace(addresses=bytes(made[at : at + size]))


def _repaired(data: bytes | bytearray, packet: Packet) -> bytes:
    """Returns a frame in which the checksum of a packet is right."""
    at = packet.l4 + _FIELD[packet.protocol]
    field = int.from_bytes(data[at : at + 2], "big")
    right = l4_checksum(bytes(data), packet._replace(checksum=field))[1]
    return bytes(data[:at]) + right.to_bytes(2, "big") + bytes(data[at + 2 :])


def _seed(packet: Packet) -> int:
    """Returns the sum of the pseudo-header, as the kernel leaves it in the field."""
    total = pseudo_sum(packet.source, packet.destination, packet.protocol, packet.l4_length)
    return (total - 1) % 65535 + 1


def _moved(found: int, right: tuple[int, int], *known: tuple[int, int]) -> bytes:
    """Returns the field of the masked frame: what it was known as, or wrong by as much as it was.

    Args:
        found: The field as it was.
        right: The right one there, and in the masked frame.
        *known: Other values that it may have been, and what they are in the masked frame.
    """
    was, now = right
    for value, moved in (right, *known):
        if found == value and (found == was or moved != now):
            return moved.to_bytes(2, "big")
    if (found - was) % 65535 == 0:  # the other zero of one's complement
        return found.to_bytes(2, "big")
    return ((now + found - was) % 65535 or 0xFFFF).to_bytes(2, "big")
