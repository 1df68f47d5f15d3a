"""Parses one IP packet of a frame: addresses, ports, where L4 begins and ends. It sums nothing.

Parsing never raises: an irregularity of a packet becomes its `trouble`, and parsing continues as
far as possible. So a capture of headers only, a GSO super-packet or a BIG TCP packet can be parsed
like a frame from the wire.

Sources: RFC 791, RFC 768, RFC 9293, RFC 8200 (IPv6), RFC 4302 (AH), RFC 6275 (Home Address),
RFC 2675 (jumbograms). Which irregularities a receiver accepts follows Linux: `net/ipv4/ip_input.c`,
`net/ipv6/ip6_input.c`, `net/ipv4/udp.c` and `net/ipv6/udp.c`.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

ICMP, TCP, UDP, ESP, AH, ICMPV6 = 1, 6, 17, 50, 51, 58
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_EXTENSIONS = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, AH, _DESTINATION})
_HOME_ADDRESS = 0xC9

# The protocols judged apart from UDP: minimum header size, offset of the checksum field.
_CHECKED = {(4, TCP): (20, 16), (6, TCP): (20, 16), (4, ICMP): (8, 2), (6, ICMPV6): (8, 2)}

_read_ipv4 = struct.Struct(">BxHxxHxBxx8s").unpack_from
_read_ipv6 = struct.Struct(">BxxxHBx32s").unpack_from
_read_udp = struct.Struct(">HHHH").unpack_from
_read_ports = struct.Struct(">HH").unpack_from
_read_u16 = struct.Struct(">H").unpack_from


class Packet(NamedTuple):
    """One IP packet. Offsets are in bytes from the start of the frame: start <= l4 <= end.

    Attributes:
        family: 4 or 6.
        start: Offset of the IP header.
        l4: Offset of the L4 header, behind options and extension headers.
        end: Offset behind the last byte that the L4 checksum covers: by the IP length, or by the
            UDP length if that is less; never beyond the end of the enclosing frame or tunnel.
        protocol: IP protocol number of L4; -1 if the headers end before it.
        addresses: Source and destination address, concatenated as in the pseudo-header: 8 or 32
            bytes; empty if unknown.
        source_port: UDP or TCP source port; None if not present or cut off.
        destination_port: The destination port, likewise.
        checksum: L4 checksum field as on the wire; None if not present or cut off.
        trouble: None, or the first irregularity that is an error or keeps L4 from being judged.
            Errors in the IP header: "version", "length". Error in L4: "l4-length". Not judged:
            "truncated" (the capture ends within the headers), "fragment", "esp",
            "routing-header", "home-address", "jumbogram", "protocol".
    """

    family: int
    start: int
    l4: int
    end: int
    protocol: int
    addresses: bytes
    source_port: int | None
    destination_port: int | None
    checksum: int | None
    trouble: str | None

    @property
    def source(self) -> bytes:
        """Source address, 4 or 16 bytes; empty if unknown."""
        return self.addresses[: len(self.addresses) // 2]

    @property
    def destination(self) -> bytes:
        """Destination address, 4 or 16 bytes; empty if unknown."""
        return self.addresses[len(self.addresses) // 2 :]

    @property
    def l4_length(self) -> int:
        """Bytes that the L4 checksum covers, L4 header included."""
        return self.end - self.l4


# A third faster than Packet(...), which would dominate the time of a verification.
_new_packet: Callable[[tuple[Any, ...]], Packet] = partial(tuple.__new__, Packet)


def ipv4(frame: bytes, start: int, limit: int) -> Packet:
    """Parses an IPv4 packet.

    Args:
        frame: The bytes captured.
        start: Offset of the IP header.
        limit: Offset where the enclosing frame or tunnel ends on the wire; the captured bytes may
            end before it.
    """
    if start + 20 > limit or start + 20 > len(frame):
        return _headless(4, start, "length" if start + 20 > limit else "truncated")
    first, total, fragment, protocol, addresses = _read_ipv4(frame, start)
    if first >> 4 != 4:
        return _headless(4, start, "version")
    l4, end, trouble = start + (first & 15) * 4, start + total, None
    if total == 0 and limit - start > 65535:
        end, trouble = limit, "jumbogram"  # BIG TCP: the length does not fit into its field
    elif end > limit:
        end, trouble = limit, "length"
    if l4 < start + 20 or l4 > end:
        return _headless(4, start, "length")
    if l4 > len(frame):
        return _headless(4, start, "truncated")
    if fragment & 0x3FFF:  # MF or a fragment offset is set
        trouble = trouble or "fragment"
        return _new_packet((4, start, l4, end, protocol, addresses, None, None, None, trouble))
    if protocol == AH:
        protocol, l4, obstacle = _extensions(frame, protocol, l4, end)
        trouble = trouble or obstacle
    end, source, destination, field, obstacle = _l4(frame, 4, protocol, l4, end)
    trouble = trouble or obstacle
    return _new_packet(
        (4, start, l4, end, protocol, addresses, source, destination, field, trouble)
    )


def ipv6(frame: bytes, start: int, limit: int) -> Packet:
    """Parses an IPv6 packet and its extension headers; the arguments are those of `ipv4`."""
    l4 = start + 40
    if l4 > limit or l4 > len(frame):
        return _headless(6, start, "length" if l4 > limit else "truncated")
    first, length, protocol, addresses = _read_ipv6(frame, start)
    if first >> 4 != 6:
        return _headless(6, start, "version")
    end, trouble = l4 + length, None
    if length == 0 and (protocol == _HOP_BY_HOP or limit - l4 > 65535):
        end, trouble = limit, "jumbogram"  # by RFC 2675, or BIG TCP without its option
    elif end > limit:
        end, trouble = limit, "length"
    if protocol in _EXTENSIONS:
        protocol, l4, obstacle = _extensions(frame, protocol, l4, end)
        trouble = trouble or obstacle
        if obstacle == "fragment":
            return _new_packet((6, start, l4, end, protocol, addresses, None, None, None, trouble))
    end, source, destination, field, obstacle = _l4(frame, 6, protocol, l4, end)
    trouble = trouble or obstacle
    return _new_packet(
        (6, start, l4, end, protocol, addresses, source, destination, field, trouble)
    )


def _headless(family: int, start: int, trouble: str) -> Packet:
    """Returns a packet whose IP header is cut off or invalid."""
    return _new_packet((family, start, start, start, -1, b"", None, None, None, trouble))


def _extensions(frame: bytes, protocol: int, at: int, end: int) -> tuple[int, int, str | None]:
    """Parses extension headers; returns the protocol behind them, its offset, and any trouble."""
    trouble = None
    while protocol in _EXTENSIONS:
        if at + 8 > end or at + 8 > len(frame):
            return -1, at, "length" if at + 8 > end else "truncated"
        following, size = frame[at], (frame[at + 1] + 1) * 8
        if protocol == AH:
            size = (frame[at + 1] + 2) * 4
        elif protocol == _FRAGMENT:
            size = 8
            if _read_u16(frame, at + 2)[0] & 0xFFF9:  # not atomic (RFC 6946)
                return following, at + size, "fragment"
        elif protocol == _ROUTING and frame[at + 3]:
            trouble = "routing-header"  # the pseudo-header holds the last address of the route
        elif protocol == _DESTINATION and _has_home_address(frame[at + 2 : at + size]):
            trouble = "home-address"  # the pseudo-header holds it in place of the source
        if at + size > end:
            return -1, at, "length"
        protocol, at = following, at + size
    return protocol, at, trouble


def _has_home_address(options: bytes) -> bool:
    """Returns whether destination options include a Home Address (RFC 6275, section 6.3)."""
    at = 0
    while at < len(options) and options[at] != _HOME_ADDRESS:
        at += 2 + options[at + 1] if options[at] and at + 1 < len(options) else 1
    return at < len(options)


def _l4(
    frame: bytes, family: int, protocol: int, l4: int, end: int
) -> tuple[int, int | None, int | None, int | None, str | None]:
    """Returns the end of L4 by its own length, the ports, the checksum field, and any trouble."""
    source = destination = field = trouble = None
    try:
        if protocol == UDP:
            if end - l4 < 8:
                return end, None, None, None, "l4-length"
            source, destination, length, field = _read_udp(frame, l4)
            if 8 <= length <= end - l4 <= 65535:
                end = l4 + length
            elif length or family == 4:  # over IPv6, 0 means up to the end (udp6_rcv)
                trouble = "l4-length"
        elif (family, protocol) in _CHECKED:
            size, offset = _CHECKED[family, protocol]
            if end - l4 < size:
                return end, None, None, None, "l4-length"
            if protocol == TCP:
                source, destination = _read_ports(frame, l4)
            (field,) = _read_u16(frame, l4 + offset)
        else:
            trouble = "esp" if protocol == ESP else "protocol"
    except struct.error:
        trouble = "truncated"
    return end, source, destination, field, trouble
