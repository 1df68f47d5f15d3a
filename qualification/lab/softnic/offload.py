"""What a correct NIC does to a frame before it sends it: checksums and segmentation.

Pure functions from a `TxDescriptor` to finished frames. They do what the kernel does itself without
hardware: `skb_checksum_help` (net/core/dev.c), `tcp_gso_segment` (net/ipv4/tcp_offload.c),
`__udp_gso_segment` and `__skb_udp_tunnel_segment` (net/ipv4/udp_offload.c), `inet_gso_segment`
(net/ipv4/af_inet.c).
"""

from __future__ import annotations

from struct import Struct

from qualification.wire.checksum import checksum, ones_sum, pseudo_sum, udp_checksum

from .tx_descriptor import GSO_NONE, GSO_UDP, TxDescriptor

_U16 = Struct("!H")
_U16_PAIR = Struct("!HH")
_U32 = Struct("!I")

_TCP, _UDP = 6, 17
_UDP_LENGTH, _UDP_CHECK = 4, 6  # offsets in a UDP header (RFC 768)
_TCP_SEQ, _TCP_DATA_OFFSET, _TCP_FLAGS, _TCP_CHECK = 4, 12, 13, 16  # in a TCP header (RFC 9293)
_FIN, _PSH, _CWR = 0x01, 0x08, 0x80


def finish(descriptor: TxDescriptor) -> list[bytearray]:
    """Does all the work that the kernel left to the NIC.

    What is impossible is not done: a checksum field beyond the frame's end is not written, and a
    super-packet whose headers are not at their offsets is not sent.

    Returns:
        The frames for the wire, in order: one, or one for each segment.
    """
    if descriptor.gso != GSO_NONE and descriptor.gso_size:
        return _segments(descriptor)
    frame = bytearray(descriptor.frame)
    if descriptor.needs_csum and descriptor.csum_start + descriptor.csum_offset + 2 <= len(frame):
        # The field holds the pseudo-header sum, so the sum over the range includes it.
        total = ones_sum(descriptor.frame[descriptor.csum_start :])
        value = udp_checksum(total) if descriptor.csum_offset == _UDP_CHECK else checksum(total)
        _U16.pack_into(frame, descriptor.csum_start + descriptor.csum_offset, value)
    return [frame]


def _segments(descriptor: TxDescriptor) -> list[bytearray]:
    """Segments a super-packet (TSO or USO), inside a tunnel or not.

    All headers are copied to each segment. Their length is even (it is for Ethernet, VLAN, IP, UDP,
    VXLAN and TCP), so the payload's sum is the same in the inner and in the outer checksum, and is
    computed once for both.

    Returns:
        The segments; none if the headers make no sense.
    """
    source, l4 = descriptor.frame, descriptor.csum_start
    udp = descriptor.gso == GSO_UDP
    header_size = _headers(descriptor)
    if not header_size:
        return []
    headers = bytearray(source[:header_size])
    outer = _Layer(headers, descriptor.l3, descriptor.l4, _UDP) if descriptor.tunnel else None
    inner = _Layer(
        headers,
        descriptor.inner_l3 if descriptor.tunnel else descriptor.l3,
        l4,
        _UDP if udp else _TCP,
    )

    segments: list[bytearray] = []
    starts = range(header_size, len(source), descriptor.gso_size) or [header_size]
    for index, start in enumerate(starts):
        payload = source[start : start + descriptor.gso_size]
        payload_sum = ones_sum(payload)
        segment = headers + payload
        inner.write_ip(segment, index)
        if udp:
            inner.write_udp(segment, header_size, payload_sum)
        else:
            last = start + descriptor.gso_size >= len(source)
            inner.write_tcp(segment, header_size, payload_sum, start - header_size, last=last)
        if outer:
            outer.write_ip(segment, index)
            outer.write_udp(segment, header_size, payload_sum, asked=descriptor.tunnel_csum)
        segments.append(segment)
    return segments


def _headers(descriptor: TxDescriptor) -> int:
    """Returns the size of a super-packet's headers in bytes; 0 if they make no sense."""
    source, l4 = descriptor.frame, descriptor.csum_start
    size = least = 8 if descriptor.gso == GSO_UDP else 20
    if l4 + least > len(source):
        return 0
    if descriptor.gso != GSO_UDP:
        size = (source[l4 + _TCP_DATA_OFFSET] >> 4) * 4
    l3 = descriptor.inner_l3 if descriptor.tunnel else descriptor.l3
    if size < least or l4 + size > len(source) or not _fits(source, l3, l4):
        return 0
    if descriptor.tunnel and (
        l3 < descriptor.l4 + 8 or not _fits(source, descriptor.l3, descriptor.l4)
    ):
        return 0
    return l4 + size


def _fits(frame: bytes, l3: int, l4: int) -> bool:
    """Returns whether an IP header at `l3` fits between Ethernet's and `l4`."""
    if not 14 <= l3 < l4:
        return False
    if frame[l3] >> 4 != 4:
        return l3 + 40 <= l4
    size = (frame[l3] & 0x0F) * 4
    return size >= 20 and l3 + size <= l4


class _Layer:
    """An IP header and the UDP or TCP header behind it, for writing into each segment.

    Args:
        headers: The headers of the super-packet.
        l3: Offset of the IP header, in bytes from the frame's start.
        l4: Offset of the UDP or TCP header.
        protocol: UDP or TCP.
    """

    __slots__ = ("_flags", "_ident", "_ip_sum", "_l3", "_l4", "_pseudo", "_sequence")

    def __init__(self, headers: bytearray, l3: int, l4: int, protocol: int) -> None:
        self._l3, self._l4 = l3, l4
        self._ident: int | None = None  # IPv6 has none
        if headers[l3] >> 4 == 4:
            (self._ident,) = _U16.unpack_from(headers, l3 + 4)
            changing = _sum(headers, l3 + 2, l3 + 6) + _sum(headers, l3 + 10, l3 + 12)
            self._ip_sum = _sum(headers, l3, l3 + (headers[l3] & 0x0F) * 4) - changing
            addresses, width = l3 + 12, 4
        else:
            addresses, width = l3 + 8, 16
        source = bytes(headers[addresses : addresses + width])
        destination = bytes(headers[addresses + width : addresses + 2 * width])
        self._pseudo = pseudo_sum(source, destination, protocol, 0)
        if protocol == _TCP:
            (self._sequence,) = _U32.unpack_from(headers, l4 + _TCP_SEQ)
            self._flags = headers[l4 + _TCP_FLAGS]

    def write_ip(self, segment: bytearray, index: int) -> None:
        """Writes length, IPv4 id (one more for each segment) and header checksum."""
        l3 = self._l3
        length = len(segment) - l3
        if self._ident is None:
            _U16.pack_into(segment, l3 + 4, length - 40 & 0xFFFF)
            return
        length &= 0xFFFF  # no MTU is that large, but a header may be
        ident = (self._ident + index) & 0xFFFF
        _U16_PAIR.pack_into(segment, l3 + 2, length, ident)
        _U16.pack_into(segment, l3 + 10, checksum(self._ip_sum + length + ident))

    def write_udp(
        self, segment: bytearray, header_size: int, payload_sum: int, *, asked: bool = True
    ) -> None:
        """Writes the length and, if `asked` for, the checksum; otherwise the kernel's 0 stays."""
        l4 = self._l4
        length = len(segment) - l4
        if asked:
            _U16_PAIR.pack_into(segment, l4 + _UDP_LENGTH, length & 0xFFFF, 0)
            total = self._pseudo + length + _sum(segment, l4, header_size) + payload_sum
            _U16.pack_into(segment, l4 + _UDP_CHECK, udp_checksum(total))
        else:
            _U16.pack_into(segment, l4 + _UDP_LENGTH, length & 0xFFFF)

    def write_tcp(
        self, segment: bytearray, header_size: int, payload_sum: int, offset: int, *, last: bool
    ) -> None:
        """Writes sequence number, flags and checksum.

        FIN and PSH belong to the last segment and CWR to the first (RFC 3168 section 6.1.2).
        """
        l4 = self._l4
        flags = self._flags if last else self._flags & ~(_FIN | _PSH)
        segment[l4 + _TCP_FLAGS] = flags & ~_CWR if offset else flags
        _U32.pack_into(segment, l4 + _TCP_SEQ, (self._sequence + offset) & 0xFFFFFFFF)
        _U16.pack_into(segment, l4 + _TCP_CHECK, 0)
        total = self._pseudo + len(segment) - l4 + _sum(segment, l4, header_size) + payload_sum
        _U16.pack_into(segment, l4 + _TCP_CHECK, checksum(total))


def _sum(frame: bytearray, start: int, end: int) -> int:
    return ones_sum(frame[start:end])
