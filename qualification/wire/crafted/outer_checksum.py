"""Crafted packets whose outer UDP checksum comes to a value that is wanted.

The payload cannot steer an outer sum: the inner checksum makes up for it. The inner Ethernet header
can, which no checksum inside covers: two bytes of the source MAC are chosen. What is around the
inner frame has to be known for it, so the tunnel has one source port for all (`Path.around`).
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from qualification.wire.checksum import checksum, ones_sum, pseudo_sum, udp_checksum
from qualification.wire.packet import UDP

if TYPE_CHECKING:
    from .maker import Maker
    from .packet import CraftedPacket

_MAC_WORD = slice(10, 12)
_VXLAN_AND_UDP = 16


def tunnel_sum(source: bytes, destination: bytes, source_port: int, port: int, vni: int) -> int:
    """What the outer UDP checksum adds up beside the inner frame and the length.

    Args:
        source: Outer IP address, 4 or 16 bytes.
        destination: The same.
        source_port: Of the tunnel.
        port: Its destination port.
        vni: VXLAN network identifier (RFC 7348).
    """
    headers = struct.pack("!HHII", source_port, port, 0x08000000, vni << 8)
    return (pseudo_sum(source, destination, UDP, 0) + ones_sum(headers)) % 65535


def outer_target(make: Maker, payload: int, gso_size: int, computed: int) -> CraftedPacket:
    """A crafted packet whose outer checksum, or that of each full segment, is computed as a value.

    One that is not cut comes with its inner checksum made: only then is the outer one left to the
    NIC (`udp_set_csum`, net/ipv4/udp.c; of an unfinished one the kernel makes it, by LCO).

    Args:
        make: Makes it; its path knows what is around.
        payload: Bytes.
        gso_size: Payload bytes of each segment, if it is to be cut.
        computed: The checksum: 0 for the one that is to be sent as 0xffff.
    """
    crafted = make.crafted(payload, gso_size)
    frame = bytearray(crafted.frame)
    there = int.from_bytes(frame[_MAC_WORD], "big")
    word = (0xFFFF - computed - _outer_sum(make, crafted) + there) % 65535
    frame[_MAC_WORD] = struct.pack("!H", word)
    if gso_size:
        return replace(crafted, frame=bytes(frame))
    field = crafted.checksum_at
    total = ones_sum(bytes(frame[crafted.l4 :]))  # the seed is in it
    right = udp_checksum(total) if crafted.protocol == UDP else checksum(total)
    frame[field : field + 2] = struct.pack("!H", right)
    return replace(crafted, frame=bytes(frame), finished=True)


def _outer_sum(make: Maker, crafted: CraftedPacket) -> int:
    """What its first frame adds up to in the tunnel, modulo 65535."""
    frame, path = crafted.expected()[0], make.path
    # The length counts in the header and in the pseudo-header.
    total = (
        (path.tunnel_sum or 0) + 2 * (_VXLAN_AND_UDP + len(frame)) + ones_sum(frame[: crafted.l3])
    )
    if crafted.family == 6:  # an IPv4 header adds up to 0 with its checksum
        total += ones_sum(frame[crafted.l3 : crafted.l4])
    # L4 with its checksum makes up for its pseudo-header.
    return total - pseudo_sum(
        path.source, path.destination, crafted.protocol, len(frame) - crafted.l4
    )
