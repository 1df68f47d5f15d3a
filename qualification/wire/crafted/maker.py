"""Makes crafted packets: Ethernet frames with chosen headers, each with a different payload."""

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
        path: The addresses that it sends from and to.
        protocol: `packet.TCP` or `packet.UDP`.
        fill: Bytes that payloads are copied from, each from another offset, wrapping around.

    Attributes:
        path: As above.
        protocol: As above.
        taken: The number of crafted packets made so far, which is the next one's number.
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
        """The most payload bytes of a frame without options."""
        headers = (20 if self.path.family == 4 else 40) + (20 if self.protocol == TCP else 8)
        return self.path.mtu - headers

    def payload(self, size: int) -> bytes:
        """Returns payload bytes that start at another offset of `fill` for each crafted packet."""
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
        """Returns a crafted packet.

        Args:
            payload: Its payload, or the number of payload bytes.
            gso_size: Payload bytes of each segment; 0 if it is not to be segmented.
            flags: TCP flags.
            traffic_class: DSCP and ECN: the TOS byte of IPv4, or the traffic class of IPv6.
            df: The DF flag of IPv4.
            ttl: TTL or hop limit; by default the path's.
            ident: Identification of IPv4; by default a different one for each crafted packet.
            vlans: Tag control information of 802.1Q tags, outermost first.
            options: IPv4 options, or IPv6 extension headers; a multiple of 4 or 8 bytes.
            following: IPv6 only: the type of the first extension header.
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
            # The length of a super-packet of 64 KiB and its headers does not fit into the field.
            return _UDP.pack(source, port, length & 0xFFFF, self.pseudo_sum(length))
        field = self.pseudo_sum(20 + payload)
        # So far apart that no two crafted packets have sequence numbers in common.
        sequence = (0x80000000 + (number << 16)) & 0xFFFFFFFF
        return _TCP.pack(source, port, sequence, 1, 0x50, flags, 4096, field, 0)

    def pseudo_sum(self, length: int) -> int:
        """Returns the folded pseudo-header sum, as the kernel leaves it for the NIC in the field.

        Args:
            length: Bytes of the L4 header and payload together.
        """
        return (self._addresses + self.protocol + length) % 65535

    def _ipv4(self, tos: int, ident: int, df: bool, ttl: int, options: bytes, size: int) -> bytes:
        """Returns an IPv4 header; `size` is the bytes of options, L4 header and payload."""
        words = (
            (0x45 + len(options) // 4) << 8 | tos,
            (20 + size) & 0xFFFF,
            ident,
            _DF if df else 0,
            ttl << 8 | self.protocol,
        )
        field = checksum(sum(words) + self._addresses + ones_sum(options))
        return _IPV4.pack(*words, field, self.path.source, self.path.destination) + options
