"""Masks frames: other addresses, and checksums that are right or wrong as they were.

A checksum that was right is right for the masked frame. One that was wrong is wrong by the same
difference (one's complement, RFC 1624), and one that was left as the sum of the pseudo-header, as
the kernel leaves it for a NIC, holds the sum of the masked one: what the hardware did still shows.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace

from qualification.messages.bursts import BadFrame
from qualification.wire.checksum import pseudo_sum
from qualification.wire.dissect import Layout, dissect
from qualification.wire.packet import ICMP, ICMPV6, TCP, UDP, Packet
from qualification.wire.sentences import header_checksum, l4_checksum
from qualification.wire.verify import explain

from .masking import Mask

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


def masked(data: bytes, ports: frozenset[int], mask: Mask) -> bytes:
    """Returns the bytes of a frame with all addresses masked and all checksums as they were.

    Args:
        data: The frame, from the destination MAC on.
        ports: UDP destination ports of VXLAN.
        mask: The mask.
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
        for packet in filter(None, (layout.inner, layout.outer)):  # the outer sum covers the inner
            _correct(data, made, packet)
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


def _correct(data: bytes, made: bytearray, packet: Packet) -> None:
    """Makes the checksums of one packet of the masked frame as they were in the frame."""
    if packet.l4 == packet.start or packet.trouble == "length":
        return
    if packet.family == 4:
        at = packet.start + 10
        found, right = header_checksum(data, packet)
        _, now = header_checksum(bytes(made), packet)
        made[at : at + 2] = _moved(found, right, now)
    at = packet.l4 + _FIELD.get(packet.protocol, 0)
    if packet.checksum is None or packet.trouble is not None or packet.end > len(data):
        return
    if packet.protocol == UDP and packet.checksum == 0:
        return  # means that there is none
    size = 4 if packet.family == 4 else 16
    first = packet.start + (12 if packet.family == 4 else 8)
    addresses = bytes(made[first : first + 2 * size])
    new = packet._replace(addresses=addresses)
    made[at : at + 2] = data[at : at + 2]  # which `l4_checksum` takes off
    found, right = l4_checksum(data, packet)
    _, now = l4_checksum(bytes(made), new)
    made[at : at + 2] = _moved(found, right, now, _seed(packet), _seed(new))


def _seed(packet: Packet) -> int:
    """Returns the sum of the pseudo-header, as the kernel leaves it in the field."""
    total = pseudo_sum(packet.source, packet.destination, packet.protocol, packet.l4_length)
    return (total - 1) % 65535 + 1


def _moved(found: int, right: int, now: int, seed: int = -1, new_seed: int = -1) -> bytes:
    """Returns the field of the masked frame: right, the new seed, or wrong by as much as it was.

    Args:
        found: The field as it was.
        right: The right one there.
        now: The right one in the masked frame.
        seed: The sum of the pseudo-header as it was.
        new_seed: That of the masked frame.
    """
    if found == right:
        value = now
    elif found == seed:
        value = new_seed
    elif (found - right) % 65535 == 0:  # the other zero of one's complement
        value = found
    else:
        value = (now + found - right) % 65535
        value = value or 0xFFFF
    return value.to_bytes(2, "big")
