"""Makes crafted packets: Ethernet frames with the headers that a test wants, and payloads all their own."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from qualification.wire.checksum import checksum, ones_sum
from qualification.wire.packet import TCP, UDP

from .packet import ACK, PSH, CraftedPacket, Path, first_source_port

if TYPE_CHECKING:
    from collections.abc import Sequence

_VLAN_TAG = struct.Struct("!HH")
_IPV4_TYPE, _IPV6_TYPE = b"\x08\x00", b"\x86\xdd"
_IPV4 = struct.Struct("!HHHHHH4s4s")
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_TCP = struct.Struct("!HHIIBBHHH")
_DF = 0x4000


class Maker:
    """Makes the crafted packets of a crafted packet set, each with a source port of its own.

    Args:
        path: Who sends to whom.
        protocol: `packet.TCP` or `packet.UDP`.
        fill: Bytes that payloads are taken from, over and over, from a new place each time.

    Attributes:
        taken: Crafted packets made so far; the next one's number.
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
        """Bytes that no other crafted packet has at the same place."""
        start = self.taken * 7919 % len(self._fill)
        found = self._fill[start : start + size]
        while len(found) < size:
            found += self._fill[: size - len(found)]
        return found

    def crafted(
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
    ) -> CraftedPacket:
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
        return CraftedPacket(link + header + l4 + data, start, l4_at, protocol, gso_size)

    def _l4_header(self, number: int, payload: int, flags: int) -> bytes:
        port = self.path.port
        source = first_source_port(port) + number
        if self.protocol == UDP:
            length = 8 + payload
            # A super-packet of 64 KiB and headers has a length that its field cannot hold.
            return _UDP.pack(source, port, length & 0xFFFF, self.seed(length))
        seed = self.seed(20 + payload)
        sequence = (0x80000000 + (number << 16)) & 0xFFFFFFFF  # none meets another crafted packet's
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
