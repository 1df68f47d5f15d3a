"""What the kernel submits to a NIC: a frame, and the work that it leaves to the hardware.

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
"""Size of the vnet header with tunnel offsets, struct virtio_net_hdr_v1_hash_tunnel, in bytes."""

_IPV4, _IPV6, _VLAN, _QINQ = b"\x08\x00", b"\x86\xdd", b"\x81\x00", b"\x88\xa8"
_EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing, destination options: 8 bytes times (1 + length)


@dataclass(frozen=True, slots=True)
class RxStatus:
    """The checksum status that a NIC reports to the kernel with a received frame.

    Attributes:
        csum_start: Offset in bytes of the L4 header whose checksum, with all outside of it, is
            reported as valid; 0 if the NIC has checked nothing.
        csum_offset: Offset of the checksum in that header.
    """

    csum_start: int
    csum_offset: int

    def header(self, size: int) -> bytes:
        """Returns the vnet header that reports this status to TUN.

        Args:
            size: Size of the header in bytes.
        """
        flags = _NEEDS_CSUM if self.csum_start else 0
        packed = _HEADER.pack(flags, GSO_NONE, 0, 0, self.csum_start, self.csum_offset)
        return packed + bytes(size - _HEADER.size)


UNCHECKED = RxStatus(0, 0)
"""The NIC has checked nothing: the kernel verifies."""

NO_ROOM = RxStatus(-1, 0)
"""The NIC has no buffer for the frame: the driver drops and counts it."""


@dataclass(slots=True)
class TxDescriptor:
    """One frame that the kernel submits, and the work that it leaves to the NIC.

    Offsets are in bytes from the frame's start; 0 means that there is no such header.

    Attributes:
        frame: The unfinished frame. The field of a checksum that is left to the NIC holds the
            pseudo-header sum (with the length of the whole frame, if it is a super-packet).
        needs_csum: Whether the checksum at `csum_start + csum_offset` is left to the NIC.
        csum_start: Start of the summed range: the innermost TCP or UDP header.
        csum_offset: Offset of the checksum in that header (6 for UDP, 16 for TCP).
        gso: How to segment the frame: GSO_NONE (not at all), GSO_TCP4, GSO_TCP6 or GSO_UDP.
        gso_size: Payload bytes of each segment but the last.
        ecn: Whether it is TCP with CWR set, which belongs to the first segment only.
        tunnel: Whether it is a super-packet in a UDP tunnel, so that there are inner headers.
        tunnel_csum: Whether each segment needs an outer UDP checksum.
        l3: Offset of the outer IP header, or of the only one.
        l4: Offset of the header behind it, after any extension headers.
        inner_l3: Offset of the IP header inside the tunnel; known only if `tunnel`.
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
    """Returns the descriptor that a vnet header and the frame behind it make up.

    Args:
        buffer: The result of one read from the TAP.
        header_size: Size of the vnet header in bytes: 24 if tunnels are negotiated, else 10 or 12.
        queue: The transmit queue that it was read from.
    """
    flags, gso_type, _, gso_size, csum_start, csum_offset = _HEADER.unpack_from(buffer)
    frame = bytes(buffer[header_size:])
    l3, l4 = _outer_offsets(frame)
    tunnel = bool(gso_type & _GSO_TUNNEL) and header_size >= TUNNEL_HEADER
    inner_l3 = 0
    if tunnel:
        # Only the distance between the two offsets is used: unlike csum_start, they do not count
        # a VLAN tag that the kernel leaves to the device to insert.
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
    """Returns the offsets of the first IP header and of the header behind it; zeros if not IP."""
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
