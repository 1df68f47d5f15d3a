"""IPv4, IPv6, its extension headers, and the protocols that have a checksum; the reference of ip.h.

Sources: RFC 791, RFC 8200, RFC 768, RFC 9293, RFC 792, RFC 4443, RFC 9776 (IGMP), RFC 9260 (SCTP),
RFC 3828 (UDP-Lite), RFC 4340 (DCCP), RFC 4302 (AH), RFC 5095 and 8754 (routing headers), RFC 6275
(Home Address), RFC 2675 (jumbograms). What a receiver accepts follows Linux: `net/ipv4/ip_input.c`,
`net/ipv6/ip6_input.c`, `net/ipv4/udp.c`, `net/ipv6/udp.c`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qualification.wire.checksum import ones_sum

from . import walk as protocols
from .codes import Carrier, How, Kind, State
from .walk import AH, Ends, Layer

if TYPE_CHECKING:
    from .walk import Walk

_KINDS = {
    4: {
        protocols.ICMP: Kind.ICMP, protocols.IGMP: Kind.IGMP, protocols.TCP: Kind.TCP,
        protocols.UDP: Kind.UDP, protocols.DCCP: Kind.DCCP, protocols.SCTP: Kind.SCTP,
        protocols.UDP_LITE: Kind.UDP_LITE, protocols.GRE: Kind.GRE,
    },
    6: {
        protocols.ICMPV6: Kind.ICMPV6, protocols.TCP: Kind.TCP,
        protocols.UDP: Kind.UDP, protocols.DCCP: Kind.DCCP, protocols.SCTP: Kind.SCTP,
        protocols.UDP_LITE: Kind.UDP_LITE, protocols.GRE: Kind.GRE,
    },
}  # fmt: skip

_FIELDS = {
    Kind.TCP: (20, 16), Kind.UDP: (8, 6), Kind.UDP_LITE: (8, 6), Kind.ICMP: (8, 2),
    Kind.ICMPV6: (8, 2), Kind.IGMP: (8, 2), Kind.SCTP: (12, 8), Kind.DCCP: (12, 6),
}  # fmt: skip
"""The least length of a header, and the offset of its checksum."""

_WITHOUT_PORTS = (Kind.ICMP, Kind.ICMPV6, Kind.IGMP)
_WITHOUT_PSEUDO = (Kind.ICMP, Kind.IGMP, Kind.SCTP)

_CARRIED = {
    4: (Carrier.IPIP, Layer.IPV4, 0), 94: (Carrier.IPIP, Layer.IPV4, 0),
    41: (Carrier.IPIP, Layer.IPV6, 0), 97: (Carrier.ETHERIP, Layer.ETHERNET, 2),
    137: (Carrier.MPLS, Layer.MPLS, 0), 143: (Carrier.SRV6, Layer.ETHERNET, 0),
}  # fmt: skip
"""IP protocols that carry another packet: what, and behind how many bytes."""

_EXTENSIONS = (
    protocols.HOP_BY_HOP, protocols.ROUTING, protocols.FRAGMENT, AH, protocols.DESTINATION,
)  # fmt: skip
_NO_NEXT_HEADER = 59
_LOOSE_ROUTE, _STRICT_ROUTE, _NO_OPERATION = 131, 137, 1
_HOME_ADDRESS, _JUMBO = 0xC9, b"\xc2\x04"
_SEGMENT_ROUTING = 4


def kind_of(family: int, protocol: int) -> Kind:
    """Returns what the sum of an IP protocol is called."""
    return _KINDS[family].get(protocol, Kind.OTHER)


def ipv4(walk: Walk) -> None:
    """Reads an IPv4 header."""
    if walk.is_full:
        walk.fail(Kind.IPV4, State.UNJUDGED, How.DEPTH)
        return
    if not walk.have(20, Kind.IPV4):
        return
    at, data = walk.at, walk.data
    size, total = (data[at] & 15) * 4, walk.word(at + 2)
    if data[at] >> 4 != 4:
        walk.fail(Kind.IPV4, State.LENGTH, How.VERSION)
        return
    end = at + total if total else walk.limit  # 0: BIG TCP, or not yet cut by the NIC
    if size < 20 or at + size > end:
        walk.fail(Kind.IPV4, State.LENGTH, How.IP_LENGTH)
        return
    if not walk.have(size, Kind.IPV4):
        return
    header = data[at : at + size]
    if end > walk.limit:
        if not _may_be_short(walk) or ones_sum(header):
            walk.fail(Kind.IPV4, State.LENGTH, How.IP_LENGTH)
            return
        walk.is_short = True
    if total == 0 and end - at <= 65535:
        walk.fail(Kind.IPV4, State.UNJUDGED, How.UNCUT)
        return
    walk.add(Kind.IPV4, State.OPEN, How.NONE, at, at + size).field = at + 10
    walk.push(4, at, at + size, end, header[9])
    walk.ends = Ends(4, header[12:16], _final_ipv4(header))
    walk.at, walk.limit, walk.layer, walk.type = at + size, end, Layer.PROTOCOL, header[9]
    if int.from_bytes(header[6:8], "big") & 0x3FFF:  # MF or an offset
        walk.fragment = len(walk.packets)
        walk.fail(kind_of(4, header[9]), State.UNJUDGED, How.FRAGMENT)
    elif header[9] == AH:
        _pass_headers(walk)


def _may_be_short(walk: Walk) -> bool:
    """Returns whether a mirror may have cut the frame, if a length reaches beyond it.

    That shows only at the outermost packet, or behind a mirror's own tunnel.
    """
    return not walk.packets or walk.carrier == Carrier.ERSPAN


def _final_ipv4(header: bytes) -> bytes:
    """Returns the destination of the pseudo-header.

    With a source route that has not ended, it is the last address of the route (RFC 791, 3.1).
    """
    at = 20
    while at + 1 < len(header) and header[at]:
        if header[at] == _NO_OPERATION:
            at += 1
            continue
        size = header[at + 1]
        if size < 2 or at + size > len(header):
            break
        is_route = header[at] in (_LOOSE_ROUTE, _STRICT_ROUTE) and size >= 7
        if is_route and header[at + 2] + 3 <= size:
            last = at + 3 + (size - 3) // 4 * 4 - 4
            return header[last : last + 4]
        at += size
    return header[16:20]


def ipv6(walk: Walk) -> None:
    """Reads an IPv6 header and its extension headers."""
    if walk.is_full:
        walk.fail(Kind.IPV6, State.UNJUDGED, How.DEPTH)
        return
    if not walk.have(40, Kind.IPV6):
        return
    at, data = walk.at, walk.data
    payload, following = walk.word(at + 4), data[at + 6]
    if data[at] >> 4 != 6:
        walk.fail(Kind.IPV6, State.LENGTH, How.VERSION)
        return
    room = walk.limit - at - 40
    if payload == 0:
        option = data[at + 42 : at + 48] if following == protocols.HOP_BY_HOP else b""
        if option[:2] == _JUMBO and len(option) == 6:
            payload = int.from_bytes(option[2:], "big")
        elif room > 65535:
            payload = room  # BIG TCP without its option
        elif following in (protocols.TCP, protocols.UDP) and room > 0 and not walk.packets:
            walk.fail(Kind.IPV6, State.UNJUDGED, How.UNCUT)
            return
    if payload > room:
        if not _may_be_short(walk) or payload > 65535:
            walk.fail(Kind.IPV6, State.LENGTH, How.IP_LENGTH)
            return
        walk.is_short = True
    walk.push(6, at, at + 40, at + 40 + payload, following)
    walk.ends = Ends(6, data[at + 8 : at + 24], data[at + 24 : at + 40])
    walk.at, walk.limit = at + 40, at + 40 + payload
    walk.layer, walk.type = Layer.PROTOCOL, following
    if following in _EXTENSIONS:
        _pass_headers(walk)


def _pass_headers(walk: Walk) -> None:
    """Passes AH, and with IPv6 all extension headers."""
    packet, data = walk.packets[-1], walk.data
    while walk.type == AH or (packet.family == 6 and walk.type in _EXTENSIONS):
        if not walk.have(8, Kind.OTHER):
            return
        at = walk.at
        size = (data[at + 1] + 2) * 4 if walk.type == AH else (data[at + 1] + 1) * 8
        if walk.type == protocols.FRAGMENT:
            size = 8
            if walk.word(at + 2) & 0xFFF9:  # not atomic (RFC 6946)
                packet.protocol, packet.l4 = data[at], at + 8
                walk.fragment = len(walk.packets)
                walk.fail(kind_of(6, data[at]), State.UNJUDGED, How.FRAGMENT)
                return
        if not walk.have(size, Kind.OTHER):
            return
        header = data[at : at + size]
        if walk.type == protocols.ROUTING and header[3]:
            _follow_route(walk.ends, header)
        elif walk.type == protocols.DESTINATION:
            walk.ends.source = _home_address(header) or walk.ends.source
        walk.type, walk.at = header[0], at + size
        packet.l4, packet.protocol = walk.at, walk.type


def _follow_route(ends: Ends, header: bytes) -> None:
    """Sets the final destination, which is in a routing header that has segments left."""
    addresses = header[1] // 2
    if header[2] in (0, 2) and header[3] <= addresses:
        last = 8 + 16 * (addresses - 1)
        ends.destination = header[last : last + 16]
    elif header[2] == _SEGMENT_ROUTING and addresses and header[3] <= header[4] < addresses:
        ends.destination = header[8:24]  # segments are listed backwards
    else:
        ends.how = How.ROUTE


def _home_address(header: bytes) -> bytes:
    """Returns the Home Address of destination options; empty if there is none."""
    at = 2
    while at + 1 < len(header) and header[at] != _HOME_ADDRESS:
        at += 2 + header[at + 1] if header[at] else 1
    if at + 18 <= len(header) and header[at + 1] == 16:
        return header[at + 2 : at + 18]
    return b""


def protocol(walk: Walk) -> None:
    """Reads the header above IP and adds its sum, or goes to the packet that it carries."""
    at, number, packet = walk.at, walk.type, walk.packets[-1]
    kind = kind_of(packet.family, number)
    walk.layer = Layer.END
    if kind == Kind.GRE:
        walk.layer = Layer.GRE
    elif kind != Kind.OTHER:
        _with_checksum(walk, kind)
    elif number in _CARRIED:
        carrier, layer, skip = _CARRIED[number]
        walk.enter(carrier, layer, at + skip)
    elif number == protocols.ESP:
        walk.fail(kind, State.UNJUDGED, How.ENCRYPTED)
    elif number == protocols.COMPRESSED:
        walk.fail(kind, State.UNJUDGED, How.COMPRESSED)
    elif number != _NO_NEXT_HEADER:
        walk.fail(kind, State.UNJUDGED, How.PROTOCOL)


def _with_checksum(walk: Walk, kind: Kind) -> None:
    at, data, packet, ends = walk.at, walk.data, walk.packets[-1], walk.ends
    length = walk.limit - at
    least, offset = _FIELDS[kind]
    if length < least:
        walk.fail(kind, State.LENGTH, How.L4_LENGTH)
        return
    if at + 4 <= len(data) and kind not in _WITHOUT_PORTS:
        packet.source_port, packet.destination_port = walk.word(at), walk.word(at + 2)
    if not walk.have(least, kind):
        return
    covered = _covered(walk, kind, length)
    if covered is None:
        walk.fail(kind, State.LENGTH, How.L4_LENGTH)
        return
    if kind == Kind.UDP:
        packet.end = walk.limit = at + covered
        length, walk.layer = covered, Layer.UDP
    made = walk.add(kind, State.OPEN, How.NONE, at, at + covered)
    made.field = at + offset
    if made.state != State.OPEN:
        return
    if kind == Kind.UDP and packet.family == 4 and not walk.word(at + 6):
        made.state = State.ABSENT
    elif ends.how and kind != Kind.SCTP:
        made.state, made.how = State.UNJUDGED, ends.how
    elif kind not in _WITHOUT_PSEUDO:
        made.pseudo = ones_sum(ends.source + ends.destination) + walk.type + length


def _covered(walk: Walk, kind: Kind, length: int) -> int | None:
    """Returns how many bytes a checksum covers; None if a length does not fit."""
    at, data = walk.at, walk.data
    if kind == Kind.UDP:
        stated = walk.word(at + 4)
        if 8 <= stated <= length <= 65535:
            return stated
        # Over IPv6, and in what is too long for the field, 0 means up to the end (udp6_rcv).
        return None if stated or (walk.packets[-1].family == 4 and length <= 65535) else length
    if kind == Kind.UDP_LITE:
        stated = walk.word(at + 4)
        return length if not stated else stated if 8 <= stated <= length else None
    if kind == Kind.DCCP:
        offset, covers = data[at + 4] * 4, data[at + 5] & 15
        part = offset + (covers - 1) * 4 if covers else length
        return part if 12 <= offset <= length and part <= length else None
    return length
