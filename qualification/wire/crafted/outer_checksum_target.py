"""Makes crafted packets whose outer UDP checksum has a chosen value.

The payload cannot change the outer sum, because the inner checksum compensates for it. The inner
Ethernet header can, as no inner checksum covers it: two bytes of its source MAC are chosen. The sum
of the headers around the inner frame must be known, so the tunnel uses a single source port
(`Path.tunnel_sum`).
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
    """Returns the part of the outer UDP sum that is neither the inner frame's nor the length's.

    Args:
        source: Outer IP source address, 4 or 16 bytes.
        destination: Outer IP destination address.
        source_port: Outer UDP source port.
        port: Outer UDP destination port.
        vni: VXLAN network identifier (RFC 7348).
    """
    headers = struct.pack("!HHII", source_port, port, 0x08000000, vni << 8)
    return (pseudo_sum(source, destination, UDP, 0) + ones_sum(headers)) % 65535


def outer_target(make: Maker, payload: int, gso_size: int, computed: int) -> CraftedPacket:
    """Returns a crafted packet whose outer checksum, or that of each full segment, has a value.

    If it is not segmented, its inner checksum is already complete: only then does the kernel leave
    the outer one to the NIC (`udp_set_csum`, net/ipv4/udp.c). With an inner CHECKSUM_PARTIAL, the
    kernel computes the outer checksum itself, by LCO.

    Args:
        make: Makes the crafted packet; its path has the sum of the headers around.
        payload: Payload bytes.
        gso_size: Payload bytes of each segment; 0 if it is not to be segmented.
        computed: The value that the outer checksum is computed as; 0 is sent as 0xffff.
    """
    crafted = make.crafted(payload, gso_size)
    frame = bytearray(crafted.frame)
    before = int.from_bytes(frame[_MAC_WORD], "big")
    word = (0xFFFF - computed - _outer_sum(make, crafted) + before) % 65535
    frame[_MAC_WORD] = struct.pack("!H", word)
    if gso_size:
        return replace(crafted, frame=bytes(frame))
    field = crafted.checksum_at
    total = ones_sum(bytes(frame[crafted.l4 :]))  # the field holds the pseudo-header sum
    right = udp_checksum(total) if crafted.protocol == UDP else checksum(total)
    frame[field : field + 2] = struct.pack("!H", right)
    return replace(crafted, frame=bytes(frame), finished=True)


def _outer_sum(make: Maker, crafted: CraftedPacket) -> int:
    """Returns the outer UDP sum of a crafted packet's first frame, modulo 65535."""
    frame, path = crafted.expected()[0], make.path
    # The outer UDP length is summed in the header and in the pseudo-header.
    total = (
        (path.tunnel_sum or 0) + 2 * (_VXLAN_AND_UDP + len(frame)) + ones_sum(frame[: crafted.l3])
    )
    if crafted.family == 6:  # the sum of an IPv4 header with its checksum is 0
        total += ones_sum(frame[crafted.l3 : crafted.l4])
    # The sum of L4 with its checksum is the negative of its pseudo-header sum.
    return total - pseudo_sum(
        path.source, path.destination, crafted.protocol, len(frame) - crafted.l4
    )
