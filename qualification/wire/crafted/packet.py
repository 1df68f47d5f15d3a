"""A crafted packet: one buffer that is passed to the kernel, and the frames that it must become.

A crafted packet is an Ethernet frame for AF_PACKET with PACKET_VNET_HDR: its TCP or UDP checksum is
left to the NIC, and it may be a super-packet that the NIC has to segment. So a test chooses the
segment boundaries, flags and headers that the NIC gets, which TCP would otherwise choose.

The expected frames are computed here independently, not by the code of the soft NIC: the suite
would otherwise not see errors in that code. They do not include checksums, which the verifier
judges.

Sources: include/uapi/linux/virtio_net.h; `tcp_gso_segment` (net/ipv4/tcp_offload.c) and
`__udp_gso_segment` (net/ipv4/udp_offload.c) for what each segment gets; RFC 3168 section 6.1.2
(CWR), RFC 6864 (the IPv4 identification).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from qualification.wire.packet import TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Iterable

FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80

_VNET = struct.Struct("<BBHHHH")
VNET_SIZE = _VNET.size
_put_ports = struct.Struct("!HH").pack_into
_put_u16 = struct.Struct("!H").pack_into
_put_u32 = struct.Struct("!I").pack_into
_read_sequence = struct.Struct("!4xI5xB").unpack_from
_NEEDS_CSUM = 1
_GSO_TCP4, _GSO_TCP6, _GSO_UDP, _GSO_ECN = 1, 4, 5, 0x80
_CSUM_AT = {TCP: 16, UDP: 6}
_PORTS_TOGETHER = 61_024


def first_source_port(port: int) -> int:
    """Returns the source port of a set's first crafted packet, by the set's destination port.

    The sum of both ports is always the same, and so is every checksum: a crafted packet set that is
    retargeted to another port has the same bytes except for the ports.
    """
    return _PORTS_TOGETHER - port


@dataclass(frozen=True)
class Path:
    """The addresses between which crafted packets are sent.

    Attributes:
        source_mac: Source MAC address, six bytes.
        destination_mac: Destination MAC address.
        source: Source IP address, 4 or 16 bytes.
        destination: Destination IP address.
        port: Destination port of TCP or UDP.
        mtu: The most bytes of an IP packet on the wire.
        ttl: The default TTL or hop limit.
        tunnel_sum: The sum of the headers around the inner frame, see
            `outer_checksum_target.tunnel_sum`; None if unknown.
    """

    source_mac: bytes
    destination_mac: bytes
    source: bytes
    destination: bytes
    port: int
    mtu: int
    ttl: int = 64
    tunnel_sum: int | None = None

    @property
    def family(self) -> int:
        """4 or 6."""
        return 4 if len(self.source) == 4 else 6

    @classmethod
    def of(
        cls,
        macs: tuple[str, str],
        addresses: tuple[str, str],
        port: int,
        mtu: int,
        ttl: int = 64,
        tunnel_sum: int | None = None,
    ) -> Path:
        """Returns the path between MAC and IP addresses in text form, the source's first."""
        source_mac, destination_mac = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
        source, destination = (ip_address(address).packed for address in addresses)
        return cls(source_mac, destination_mac, source, destination, port, mtu, ttl, tunnel_sum)


@dataclass(frozen=True)
class CraftedPacket:
    """One buffer. Offsets are in bytes from the start of the frame.

    Attributes:
        frame: The Ethernet frame. Its L4 checksum field holds the folded pseudo-header sum, with
            the length of the entire buffer, unless `finished`.
        l3: Offset of the IP header.
        l4: Offset of the TCP or UDP header.
        protocol: `packet.TCP` or `packet.UDP`.
        gso_size: Payload bytes of each segment but the last; 0 if it is not to be segmented.
        finished: Whether its checksum is complete (CHECKSUM_NONE), not left to the NIC.
    """

    frame: bytes
    l3: int
    l4: int
    protocol: int
    gso_size: int
    finished: bool = False

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.frame[self.l3] >> 4

    @property
    def source_port(self) -> int:
        """The source port, which identifies a crafted packet within its set."""
        return int.from_bytes(self.frame[self.l4 : self.l4 + 2], "big")

    @property
    def payload_at(self) -> int:
        """Offset of the payload."""
        return self.l4 + (8 if self.protocol == UDP else (self.frame[self.l4 + 12] >> 4) * 4)

    @property
    def checksum_at(self) -> int:
        """Offset of the TCP or UDP checksum field."""
        return self.l4 + _CSUM_AT[self.protocol]

    @property
    def frames(self) -> int:
        """The number of frames that it makes on the wire."""
        size = len(self.frame) - self.payload_at
        return max(1, -(-size // self.gso_size)) if self.gso_size else 1

    @property
    def fragmentable(self) -> bool:
        """Whether it is IPv4 without DF, so that its frames need different ids (RFC 6864)."""
        return self.family == 4 and not self.frame[self.l3 + 6] & 0x40

    def vnet(self) -> bytes:
        """Returns the struct virtio_net_hdr to put before the frame, 10 bytes."""
        if self.finished:
            return bytes(VNET_SIZE)
        kind = 0
        if self.gso_size:
            tcp = _GSO_TCP4 if self.family == 4 else _GSO_TCP6
            kind = _GSO_UDP if self.protocol == UDP else tcp
            if self.protocol == TCP and self.frame[self.l4 + 13] & CWR:
                kind |= _GSO_ECN
        at = self.payload_at if self.gso_size else 0
        return _VNET.pack(_NEEDS_CSUM, kind, at, self.gso_size, self.l4, _CSUM_AT[self.protocol])

    def expected(self) -> list[bytes]:
        """Returns the frames expected on the wire, in order, in the form of `canonical`."""
        l3, l4 = self.l3, self.l4
        if self.frames == 1:
            return [canonical(self.frame, l3, l4, self.protocol)]
        start, size = self.payload_at, self.gso_size
        payload = len(self.frame) - start
        head = bytearray(canonical(self.frame[:start], l3, l4, self.protocol))
        sequence, flags = _read_sequence(head, l4) if self.protocol == TCP else (0, 0)
        expected = []
        for at in range(0, payload, size):
            segment = self.frame[start + at : start + at + size]
            length = start + len(segment)
            if self.family == 4:
                _put_u16(head, l3 + 2, length - l3)
            else:
                _put_u16(head, l3 + 4, length - l3 - 40)
            if self.protocol == UDP:
                _put_u16(head, l4 + 4, length - l4)
            else:
                last = at + size >= payload
                cleared = (0 if last else FIN | PSH) | (CWR if at else 0)
                _put_u32(head, l4 + 4, (sequence + at) & 0xFFFFFFFF)
                head[l4 + 13] = flags & ~cleared
            expected.append(bytes(head) + segment)
        return expected


def canonical(frame: bytes | bytearray, l3: int, l4: int, protocol: int) -> bytes:
    """Returns a frame with the fields zeroed that may differ: checksums, and the IPv4 id.

    The verifier judges the checksums. The id of packets with DF may have any value, and those of
    the other packets need only differ from each other (RFC 6864); see `CraftedPacket.fragmentable`.
    """
    out = bytearray(frame)
    if out[l3] >> 4 == 4:
        out[l3 + 4 : l3 + 6] = bytes(2)
        out[l3 + 10 : l3 + 12] = bytes(2)
    at = l4 + _CSUM_AT.get(protocol, 0)
    if protocol in _CSUM_AT and at + 2 <= len(out):
        out[at : at + 2] = bytes(2)
    return bytes(out)


def retarget(frames: bytearray, heads: Iterable[tuple[int, int]], port: int) -> int:
    """Changes the ports of a crafted packet set's frames in place, so that they go to another port.

    Args:
        frames: The frames, concatenated.
        heads: For each frame the offset of its TCP or UDP header and the number of its crafted
            packet.
        port: The destination port.

    Returns:
        The source port of the first crafted packet.
    """
    first = first_source_port(port)
    for at, number in heads:
        _put_ports(frames, at, first + number, port)
    return first
