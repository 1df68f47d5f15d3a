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
from typing import TYPE_CHECKING

from qualification.wire.checksum import checksum, ones_sum, pseudo_sum
from qualification.wire.packet import TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Sequence

FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80

_VNET = struct.Struct("<BBHHHH")
_NEEDS_CSUM = 1
_GSO_TCP4, _GSO_TCP6, _GSO_UDP, _GSO_ECN = 1, 4, 5, 0x80
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
        head, payload = self.frame[: self.payload_at], self.frame[self.payload_at :]
        size = self.gso_size or max(1, len(payload))
        starts = range(0, len(payload), size) or [0]
        return [self._segment(head, payload[at : at + size], at, len(payload)) for at in starts]

    def _segment(self, head: bytes, payload: bytes, at: int, whole: int) -> bytes:
        out = bytearray(head + payload)
        l3, l4 = self.l3, self.l4
        if self.family == 4:
            struct.pack_into("!H", out, l3 + 2, len(out) - l3)
        else:
            struct.pack_into("!H", out, l3 + 4, len(out) - l3 - 40)
        if self.protocol == UDP:
            struct.pack_into("!H", out, l4 + 4, len(out) - l4)
        else:
            sequence = int.from_bytes(head[l4 + 4 : l4 + 8], "big") + at
            struct.pack_into("!I", out, l4 + 4, sequence & 0xFFFFFFFF)
            if at + len(payload) < whole:
                out[l4 + 13] &= ~(FIN | PSH) & 0xFF
            if at:
                out[l4 + 13] &= ~CWR & 0xFF
        return canonical(out, l3, l4, self.protocol)


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
        self.taken = 0

    @property
    def largest(self) -> int:
        """Most payload bytes of one frame without options."""
        headers = (20 if self.path.family == 4 else 40) + (20 if self.protocol == TCP else 8)
        return self.path.mtu - headers

    def payload(self, size: int) -> bytes:
        """Bytes that no other shot has at the same place."""
        start = self.taken * 7919 % len(self._fill)
        times = -(-(start + size) // len(self._fill))
        return (self._fill * max(1, times))[start : start + size]

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
        path = self.path
        data = self.payload(payload) if isinstance(payload, int) else payload
        kind = 0x0800 if path.family == 4 else 0x86DD
        ttl = path.ttl if ttl is None else ttl
        link = path.destination_mac + path.source_mac
        link += b"".join(struct.pack("!HH", 0x8100, tag) for tag in vlans)
        link += struct.pack("!H", kind)
        l4 = self._l4(number, data, flags)
        if path.family == 4:
            identity = (number * 97 + 1 if ident is None else ident) & 0xFFFF
            header = _ipv4(path, traffic_class, identity, df, ttl, self.protocol, options, len(l4))
        else:
            header = struct.pack(
                "!IHBB",
                0x60000000 | traffic_class << 20,
                len(options) + len(l4),
                self.protocol if following is None else following,
                ttl,
            )
            header += path.source + path.destination + options
        start = len(link)
        return Shot(link + header + l4, start, start + len(header), self.protocol, gso_size)

    def _l4(self, number: int, data: bytes, flags: int) -> bytes:
        source, port = _FIRST_SOURCE_PORT + number, self.path.port
        if self.protocol == UDP:
            length = 8 + len(data)
            seed = self.seed(length)
            # A super-packet of 64 KiB and headers has a length that its field cannot hold.
            return struct.pack("!HHHH", source, port, length & 0xFFFF, seed) + data
        seed = self.seed(20 + len(data))
        sequence = (0x80000000 + (number << 16)) & 0xFFFFFFFF  # none meets another shot's
        return (
            struct.pack("!HHIIBBHHH", source, port, sequence, 1, 0x50, flags, 4096, seed, 0) + data
        )

    def seed(self, length: int) -> int:
        """The folded sum of the pseudo-header, as the kernel leaves it in the field."""
        return pseudo_sum(self.path.source, self.path.destination, self.protocol, length) % 65535


def _ipv4(
    path: Path, tos: int, ident: int, df: bool, ttl: int, protocol: int, options: bytes, size: int
) -> bytes:
    words = 5 + len(options) // 4
    fields = (0x40 | words, tos, (words * 4 + size) & 0xFFFF, ident, _DF if df else 0, ttl)
    head = struct.pack("!BBHHHBBH", *fields, protocol, 0) + path.source + path.destination
    head += options
    return head[:10] + struct.pack("!H", checksum(ones_sum(head))) + head[12:]
