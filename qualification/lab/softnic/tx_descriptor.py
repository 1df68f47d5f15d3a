"""What the kernel hands a NIC: a frame, and what is left for the hardware to do to it.

Sources: include/uapi/linux/virtio_net.h, include/linux/virtio_net.h
(`virtio_net_hdr_tnl_from_skb`), drivers/net/tun.c (`tun_put_user`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# gso_type, without its ECN and tunnel bits.
GSO_NONE = 0
GSO_TCP4 = 1
GSO_TCP6 = 4
GSO_UDP = 5

_GSO_ECN = 0x80
_GSO_TUNNEL = 0x20 | 0x40  # outer IPv4, outer IPv6

_NEEDS_CSUM = 1
_TUNNEL_CSUM = 8

_HEADER = struct.Struct("<BBHHHH")
_TUNNEL_OFFSETS = struct.Struct("<HH")
_TUNNEL_OFFSETS_AT = 20
TUNNEL_HEADER = 24
"""Bytes of the vnet header that tells of tunnels, struct virtio_net_hdr_v1_hash_tunnel."""

_IPV4, _IPV6, _VLAN, _QINQ = b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8"
_EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing, destination options: 8 bytes times (1 + length)


@dataclass(frozen=True, slots=True)
class RxStatus:
    """What a NIC tells the kernel of the checksums of a frame that arrived.

    Attributes:
        csum_start: Where the L4 header is whose checksum, with all outside of it, the kernel is
            to believe; 0 if the NIC has checked nothing.
        csum_offset: Where in that header the checksum is.
    """

    csum_start: int
    csum_offset: int

    def header(self, size: int) -> bytes:
        """Give the vnet header, of so many bytes, that says it to TUN."""
        flags = _NEEDS_CSUM if self.csum_start else 0
        packed = _HEADER.pack(flags, GSO_NONE, 0, 0, self.csum_start, self.csum_offset)
        return packed + bytes(size - _HEADER.size)


UNCHECKED = RxStatus(0, 0)
"""Nothing left to do, nothing checked: the kernel verifies."""


@dataclass(slots=True)
class TxDescriptor:
    """One frame as the kernel handed it over, and the work the kernel asks for.

    Offsets are in bytes from the frame's start; 0 means that there is no such header.

    Attributes:
        frame: The unfinished frame. A checksum still to be made holds its seed, the folded sum
            of the pseudo-header (with the length of the whole frame, if it is to be cut).
        needs_csum: The checksum at `csum_start + csum_offset` is to be made.
        csum_start: Where the summed range starts: the innermost TCP or UDP header.
        csum_offset: Where in that header the checksum is (6 for UDP, 16 for TCP).
        gso: How to cut the frame: GSO_NONE (not at all), GSO_TCP4, GSO_TCP6 or GSO_UDP.
        gso_size: Payload bytes of each segment but the last.
        ecn: The frame is TCP with CWR set, meant for the first segment alone.
        tunnel: The frame to be cut is in a UDP tunnel, so there are inner headers.
        tunnel_csum: The outer UDP checksum of each segment was asked for.
        l3: The outer IP header, or the only one.
        l4: What follows it, extension headers passed over.
        inner_l3: The IP header inside the tunnel; known only if `tunnel`.
        queue: The transmit queue that the kernel chose.
    """

    frame: bytes
    needs_csum: bool
    csum_start: int
    csum_offset: int
    gso: int
    gso_size: int
    ecn: bool
    tunnel: bool
    tunnel_csum: bool
    l3: int
    l4: int
    inner_l3: int
    queue: int = 0


def parse(buffer: bytes | bytearray | memoryview, header_size: int, queue: int = 0) -> TxDescriptor:
    """Read one vnet header and the frame behind it.

    Args:
        buffer: What one read from the TAP gave.
        header_size: Bytes of vnet header in it: 24 where tunnels are negotiated, else 10 or 12.
        queue: The transmit queue it came from.
    """
    flags, gso_type, _, gso_size, csum_start, csum_offset = _HEADER.unpack_from(buffer)
    frame = bytes(buffer[header_size:])
    l3, l4 = _outer_offsets(frame)
    tunnel = bool(gso_type & _GSO_TUNNEL) and header_size >= TUNNEL_HEADER
    inner_l3 = 0
    if tunnel:
        # The distance between the two is used, not the two: unlike csum_start, neither of them
        # counts a VLAN tag that the kernel leaves to the device to insert.
        outer_l4, inner_l3 = _TUNNEL_OFFSETS.unpack_from(buffer, _TUNNEL_OFFSETS_AT)
        inner_l3 += l4 - outer_l4
    return TxDescriptor(
        frame=frame,
        needs_csum=bool(flags & _NEEDS_CSUM),
        csum_start=csum_start,
        csum_offset=csum_offset,
        gso=gso_type & ~(_GSO_TUNNEL | _GSO_ECN),
        gso_size=gso_size,
        ecn=bool(gso_type & _GSO_ECN),
        tunnel=tunnel,
        tunnel_csum=bool(flags & _TUNNEL_CSUM),
        l3=l3,
        l4=l4,
        inner_l3=inner_l3,
        queue=queue,
    )


def _outer_offsets(frame: bytes) -> tuple[int, int]:
    """Find the first IP header and what follows it; zeros where there is no IP."""
    l3 = 14
    while frame[l3 - 2 : l3] in (_VLAN, _QINQ):
        l3 += 4
    ethertype = frame[l3 - 2 : l3]
    if ethertype == _IPV4 and len(frame) > l3:
        return l3, l3 + (frame[l3] & 0x0F) * 4
    if ethertype == _IPV6 and len(frame) >= l3 + 40:
        protocol, l4 = frame[l3 + 6], l3 + 40
        while protocol in _EXTENSIONS and len(frame) >= l4 + 2:
            protocol, l4 = frame[l4], l4 + (frame[l4 + 1] + 1) * 8
        return l3, l4
    return 0, 0
