"""Crafted buffers: what is handed to the kernel in one piece, and the frames that must come of it.

A shot is an Ethernet frame as AF_PACKET takes it with PACKET_VNET_HDR: its TCP or UDP checksum is
left to whoever sends it, and it may be a super-packet still to be cut. So the NIC gets exactly the
boundaries, flags and headers that a test wants, where TCP's mood would decide them otherwise.

What it must become is said here by itself, and not with the code of the soft NIC, which the suite
would then judge by its own mistakes. Checksums are left out of it: the verifier judges them.

Sources: include/uapi/linux/virtio_net.h; `tcp_gso_segment` (net/ipv4/tcp_offload.c) and
`__udp_gso_segment` (net/ipv4/udp_offload.c) for what each segment gets; RFC 3168 section 6.1.2
(CWR), RFC 6864 (the IPv4 identification).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from qualification.wire.checksum import checksum, ones_sum
from qualification.wire.packet import TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Sequence

FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80

_VNET = struct.Struct("<BBHHHH")
_put_u16 = struct.Struct("!H").pack_into
_put_u32 = struct.Struct("!I").pack_into
_read_sequence = struct.Struct("!4xI5xB").unpack_from
_NEEDS_CSUM = 1
_GSO_TCP4, _GSO_TCP6, _GSO_UDP, _GSO_ECN = 1, 4, 5, 0x80
_VLAN_TAG = struct.Struct("!HH")
_IPV4_TYPE, _IPV6_TYPE = b"\x08\x00", b"\x86\xdd"
_IPV4 = struct.Struct("!HHHHHH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_TCP = struct.Struct("!HHIIBBHHH")
_CSUM_AT = {TCP: 16, UDP: 6}
_FIRST_SOURCE_PORT = 1024
_DF = 0x4000


@dataclass(frozen=True)
class Path:
    """Who sends to whom.

    Attributes:
        source_mac: Six bytes.
        destination_mac: The same.
        source: IP address, 4 or 16 bytes.
        destination: The same.
        port: Destination port of TCP or UDP.
        mtu: Most bytes of an IP packet on the wire.
        ttl: Or hop limit, where a shot does not say otherwise.
        around: What the tunnel adds to the outer checksum; None if that is not known. See `aimed`.
    """

    source_mac: bytes
    destination_mac: bytes
    source: bytes
    destination: bytes
    port: int
    mtu: int
    ttl: int = 64
    around: int | None = None

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
        around: int | None = None,
    ) -> Path:
        """A path by its MAC and IP addresses as text, the source's first."""
        source_mac, destination_mac = (bytes.fromhex(mac.replace(":", "")) for mac in macs)
        source, destination = (ip_address(address).packed for address in addresses)
        return cls(source_mac, destination_mac, source, destination, port, mtu, ttl, around)


@dataclass(frozen=True)
class Shot:
    """One buffer. Offsets are in bytes from the start of the frame.

    Attributes:
        frame: The Ethernet frame; its L4 checksum field holds the seed, the folded sum of the
            pseudo-header with the length of all of it.
        l3: Where the IP header is.
        l4: Where the TCP or UDP header is.
        protocol: `packet.TCP` or `packet.UDP`.
        gso_size: Payload bytes of each segment but the last; 0 for a buffer not to be cut.
        finished: Its checksum is made.
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
        """Which shot it is: each of a volley has a source port of its own."""
        return int.from_bytes(self.frame[self.l4 : self.l4 + 2], "big")

    @property
    def payload_at(self) -> int:
        """Where the payload begins."""
        return self.l4 + (8 if self.protocol == UDP else (self.frame[self.l4 + 12] >> 4) * 4)

    @property
    def checksum_at(self) -> int:
        """Where the checksum of TCP or UDP is."""
        return self.l4 + _CSUM_AT[self.protocol]

    @property
    def frames(self) -> int:
        """How many frames it makes on the wire."""
        size = len(self.frame) - self.payload_at
        return max(1, -(-size // self.gso_size)) if self.gso_size else 1

    @property
    def fragmentable(self) -> bool:
        """IPv4 without DF: the identification of each frame counts (RFC 6864)."""
        return self.family == 4 and not self.frame[self.l3 + 6] & 0x40

    def vnet(self) -> bytes:
        """The struct virtio_net_hdr in front of it, 10 bytes."""
        if self.finished:
            return bytes(_VNET.size)
        kind = 0
        if self.gso_size:
            tcp = _GSO_TCP4 if self.family == 4 else _GSO_TCP6
            kind = _GSO_UDP if self.protocol == UDP else tcp
            if self.protocol == TCP and self.frame[self.l4 + 13] & CWR:
                kind |= _GSO_ECN
        at = self.payload_at if self.gso_size else 0
        return _VNET.pack(_NEEDS_CSUM, kind, at, self.gso_size, self.l4, _CSUM_AT[self.protocol])

    def expected(self) -> list[bytes]:
        """What must be on the wire, in order, each as `canonical` leaves it."""
        l3, l4 = self.l3, self.l4
        if self.frames == 1:
            return [canonical(self.frame, l3, l4, self.protocol)]
        start, size = self.payload_at, self.gso_size
        payload = len(self.frame) - start
        head = bytearray(canonical(self.frame[:start], l3, l4, self.protocol))
        sequence, flags = _read_sequence(head, l4) if self.protocol == TCP else (0, 0)
        due = []
        for at in range(0, payload, size):
            piece = self.frame[start + at : start + at + size]
            length = start + len(piece)
            if self.family == 4:
                _put_u16(head, l3 + 2, length - l3)
            else:
                _put_u16(head, l3 + 4, length - l3 - 40)
            if self.protocol == UDP:
                _put_u16(head, l4 + 4, length - l4)
            else:
                last = at + size >= payload
                not_here = (0 if last else FIN | PSH) | (CWR if at else 0)
                _put_u32(head, l4 + 4, (sequence + at) & 0xFFFFFFFF)
                head[l4 + 13] = flags & ~not_here
            due.append(bytes(head) + piece)
        return due


def canonical(frame: bytes | bytearray, l3: int, l4: int, protocol: int) -> bytes:
    """A frame without what may differ: checksums, which are judged apart, and the IPv4 id.

    The id is free for packets that may not be fragmented, and the others are only to differ from
    each other (RFC 6864); see `Shot.fragmentable`.
    """
    out = bytearray(frame)
    if out[l3] >> 4 == 4:
        out[l3 + 4 : l3 + 6] = bytes(2)
        out[l3 + 10 : l3 + 12] = bytes(2)
    at = l4 + _CSUM_AT.get(protocol, 0)
    if protocol in _CSUM_AT and at + 2 <= len(out):
        out[at : at + 2] = bytes(2)
    return bytes(out)


class Maker:
    """Makes the shots of a volley, each with a source port of its own.

    Args:
        path: Who sends to whom.
        protocol: `packet.TCP` or `packet.UDP`.
        fill: Bytes that payloads are taken from, over and over, from a new place each time.

    Attributes:
        taken: Shots made so far; the next one's number.
    """

    def __init__(self, path: Path, protocol: int, fill: bytes) -> None:
        self.path = path
        self.protocol = protocol
        self._fill = fill
        self._macs = path.destination_mac + path.source_mac
        self._four = path.family == 4
        self._addresses = ones_sum(path.source + path.destination)
        self.taken = 0

    @property
    def largest(self) -> int:
        """Most payload bytes of one frame without options."""
        headers = (20 if self.path.family == 4 else 40) + (20 if self.protocol == TCP else 8)
        return self.path.mtu - headers

    def payload(self, size: int) -> bytes:
        """Bytes that no other shot has at the same place."""
        start = self.taken * 7919 % len(self._fill)
        found = self._fill[start : start + size]
        while len(found) < size:
            found += self._fill[: size - len(found)]
        return found

    def shot(
        self,
        payload: int | bytes,
        gso_size: int = 0,
        *,
        flags: int = ACK | PSH,
        traffic_class: int = 0,
        df: bool = True,
        ttl: int | None = None,
        ident: int | None = None,
        vlans: Sequence[int] = (),
        options: bytes = b"",
        following: int | None = None,
    ) -> Shot:
        """One buffer.

        Args:
            payload: Its bytes, or how many.
            gso_size: Payload bytes of each segment, if it is to be cut.
            flags: Of TCP.
            traffic_class: DSCP and ECN, the byte of IPv4's TOS and IPv6's traffic class.
            df: IPv4: do not fragment.
            ttl: Or hop limit; the path's unless given.
            ident: IPv4's identification; a new one each time unless given.
            vlans: 802.1Q tags in front of the IP packet, outermost first.
            options: IPv4 options, or IPv6 extension headers; a multiple of 4 or 8 bytes.
            following: IPv6: the type of the first extension header.
        """
        number, self.taken = self.taken, self.taken + 1
        data = self.payload(payload) if isinstance(payload, int) else payload
        path, protocol = self.path, self.protocol
        ttl = path.ttl if ttl is None else ttl
        link = self._macs
        for tag in vlans:
            link += _VLAN_TAG.pack(0x8100, tag)
        l4 = self._l4_header(number, len(data), flags)
        size = len(options) + len(l4) + len(data)
        if self._four:
            link += _IPV4_TYPE
            identity = (number * 97 + 1 if ident is None else ident) & 0xFFFF
            header = self._ipv4(traffic_class, identity, df, ttl, options, size)
        else:
            link += _IPV6_TYPE
            first = 0x60000000 | traffic_class << 20
            kind = protocol if following is None else following
            header = _IPV6.pack(first, size, kind, ttl, path.source, path.destination) + options
        start = len(link)
        l4_at = start + len(header)
        return Shot(link + header + l4 + data, start, l4_at, protocol, gso_size)

    def _l4_header(self, number: int, payload: int, flags: int) -> bytes:
        source, port = _FIRST_SOURCE_PORT + number, self.path.port
        if self.protocol == UDP:
            length = 8 + payload
            # A super-packet of 64 KiB and headers has a length that its field cannot hold.
            return _UDP.pack(source, port, length & 0xFFFF, self.seed(length))
        seed = self.seed(20 + payload)
        sequence = (0x80000000 + (number << 16)) & 0xFFFFFFFF  # none meets another shot's
        return _TCP.pack(source, port, sequence, 1, 0x50, flags, 4096, seed, 0)

    def seed(self, length: int) -> int:
        """The folded sum of the pseudo-header, as the kernel leaves it in the field."""
        return (self._addresses + self.protocol + length) % 65535

    def _ipv4(self, tos: int, ident: int, df: bool, ttl: int, options: bytes, size: int) -> bytes:
        """The IPv4 header of a packet of that size behind its first 20 bytes."""
        words = (
            (0x45 + len(options) // 4) << 8 | tos,
            (20 + size) & 0xFFFF,
            ident,
            _DF if df else 0,
            ttl << 8 | self.protocol,
        )
        field = checksum(sum(words) + self._addresses + ones_sum(options))
        return _IPV4.pack(*words, field, self.path.source, self.path.destination) + options
