"""The layers below IP: link types, EtherTypes, LLC, PPP, MPLS, 802.11; the reference of lower.h.

Sources: https://www.tcpdump.org/linktypes.html, IEEE 802.1Q, 802.1ah, 802.1BR, 802.1AE, 802.11;
RFC 1042 (LLC/SNAP), RFC 1661 (PPP), RFC 2516 (PPPoE), RFC 3032 and 4385 (MPLS), RFC 8300 (NSH).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codes import INBOUND, OUTBOUND, How, Kind, State
from .walk import Layer

if TYPE_CHECKING:
    from .walk import Walk

_AT_ONCE = {
    1: (Layer.ETHERNET, 0), 9: (Layer.PPP, 0), 12: (Layer.IP, 0), 14: (Layer.IP, 0),
    50: (Layer.PPP, 0), 51: (Layer.PPPOE, 0), 100: (Layer.LLC, 0), 101: (Layer.IP, 0),
    105: (Layer.WLAN, 0), 219: (Layer.MPLS, 0), 228: (Layer.IPV4, 0), 229: (Layer.IPV6, 0),
    240: (Layer.ETHERNET, 4),
}  # fmt: skip
"""Link types that begin with a layer, or have a header that need not be read."""

_HEADERS = {
    0: 4, 108: 4, 104: 4, 127: 4, 117: 1, 204: 1, 205: 1, 6: 15, 10: 13, 109: 12, 113: 16, 122: 16,
    119: 8, 163: 8, 192: 8, 138: 18, 166: 2, 276: 20,
}  # fmt: skip
"""Other link types: the bytes of their header that are read."""

_FIXED = {10: (Layer.LLC, 13), 109: (Layer.IP, 12), 122: (Layer.LLC, 16), 166: (Layer.PPP, 2)}
"""Of these, those behind whose header there is always the same."""

_TYPED = {104: (2, 4), 113: (14, 16), 138: (16, 18), 276: (0, 20)}
"""Those with an EtherType: where it is, and the length of the header."""

_OUTGOING = 4  # the packet type of a frame that the host sent (PACKET_OUTGOING)
_TAGS = {0x8100: 2, 0x88A8: 2, 0x9100: 2, 0x9200: 2, 0x9300: 2, 0x8926: 4, 0x892F: 4, 0x893F: 6}
"""Tags (802.1Q, VN-Tag, HSR, E-Tag): the bytes between an EtherType and the next one."""

_TYPES = {
    0x0800: (Layer.IPV4, 0), 0x86DD: (Layer.IPV6, 0), 0x8847: (Layer.MPLS, 0),
    0x8848: (Layer.MPLS, 0), 0x8864: (Layer.PPPOE, 0), 0x880B: (Layer.PPP, 0),
    0x88E7: (Layer.ETHERNET, 4), 0x6558: (Layer.ETHERNET, 0), 0x894F: (Layer.NSH, 0),
}  # fmt: skip
"""EtherTypes: what follows, behind how many bytes (with PBB, its I-SID)."""

_PPP = {0x21: Layer.IPV4, 0x57: Layer.IPV6, 0x281: Layer.MPLS, 0x283: Layer.MPLS}
_NSH = {1: Layer.IPV4, 2: Layer.IPV6, 3: Layer.ETHERNET, 5: Layer.MPLS}
_NFLOG_PAYLOAD = 9


def begin(walk: Walk, link: int) -> None:
    """Begins a walk at the header of a link type."""
    walk.link = link
    if link in _AT_ONCE:
        walk.go(*_AT_ONCE[link])
    elif link == 239:
        _nflog(walk)
    elif link not in _HEADERS:
        walk.fail(Kind.LINK, State.UNJUDGED, How.LINK_TYPE)
    elif walk.have(_HEADERS[link]):
        _link_header(walk, link)


def _link_header(walk: Walk, link: int) -> None:
    data = walk.data
    if link in _FIXED:
        walk.go(*_FIXED[link])
    elif link in _TYPED:
        at, behind = _TYPED[link]
        walk.go_type(walk.word(at), behind)
    elif link in (0, 108):
        walk.go(_bsd_family(data), 4)
    elif link == 117:
        walk.go(Layer.IP, (data[0] + 3) & ~3)
    elif link in (204, 205):
        _with_direction(walk, link)
    elif link == 6:  # a source route is behind the addresses
        walk.go(Layer.LLC, 14 + (data[14] & 0x1F if data[8] & 0x80 else 0))
    elif link == 119:
        walk.go(Layer.WLAN, _little(data, 4) or walk.word(6))
    elif link == 127:
        walk.go(Layer.WLAN, _little(data, 2))
    elif link == 163:
        walk.go(Layer.WLAN, walk.word(6))
    elif link == 192:
        inside = {105: Layer.WLAN, 1: Layer.ETHERNET}.get(_little(data, 4), Layer.END)
        walk.go(inside, _little(data, 2))
    if link == 113:
        walk.direction = OUTBOUND if walk.word(0) == _OUTGOING else INBOUND
    elif link == 276:
        walk.direction = OUTBOUND if data[10] == _OUTGOING else INBOUND


def _with_direction(walk: Walk, link: int) -> None:
    """Reads PPP or Cisco's HDLC behind a byte that is 0 for frames received."""
    walk.direction = OUTBOUND if walk.data[0] else INBOUND
    walk.go(Layer.PPP if link == 204 else Layer.END, 1)
    if link == 205 and walk.have(4):
        walk.go_type(walk.word(3), 5)


def _little(data: bytes, at: int) -> int:
    return data[at] | data[at + 1] << 8


def _bsd_family(data: bytes) -> Layer:
    """Returns the layer for a family as BSD numbers it, in either byte order."""
    family = int.from_bytes(data[:4], "big")
    if family > 0xFFFF:
        family = int.from_bytes(data[:4], "little")
    if family == 2:
        return Layer.IPV4
    return Layer.IPV6 if family in (10, 24, 28, 30) else Layer.END


def _nflog(walk: Walk) -> None:
    if not walk.have(4):
        return
    data, at = walk.data, 4
    inside = {2: Layer.IPV4, 10: Layer.IPV6}.get(data[0], Layer.END)
    while at + 4 <= len(data):
        length, kind = _little(data, at), _little(data, at + 2)
        if length < 4 or at + length > walk.limit:
            length, kind = walk.word(at), walk.word(at + 2)
        if length < 4 or at + length > walk.limit:
            break
        if kind & 0x7FFF == _NFLOG_PAYLOAD:
            walk.go(inside, at + 4)
            walk.limit = at + length
            return
        at += (length + 3) & ~3
    walk.at = at
    if at < walk.limit and at + 4 > len(data):
        walk.have(4)
    walk.layer = Layer.END


def ethernet(walk: Walk) -> None:
    """Reads two MAC addresses and an EtherType."""
    if walk.have(14):
        walk.go_type(walk.word(walk.at + 12), walk.at + 14)


def ethertype(walk: Walk) -> None:
    """Goes to what has an EtherType, or a length in its place."""
    kind, at = walk.type, walk.at
    if kind in _TAGS:
        size = _TAGS[kind]
        if walk.have(size + 2):
            walk.go_type(walk.word(at + size), at + size + 2)
    elif kind <= 1500:
        walk.layer = Layer.LLC
    elif kind in _TYPES:
        layer, skip = _TYPES[kind]
        walk.go(layer, at + skip)
    elif kind == 0x88E5:
        _macsec(walk)
    else:
        walk.layer = Layer.END


def _macsec(walk: Walk) -> None:
    if not walk.have(6):
        return
    control = walk.data[walk.at]
    if control & 0x0C:  # encrypted, or changed
        walk.fail(Kind.LINK, State.UNJUDGED, How.ENCRYPTED)
        return
    walk.at += 14 if control & 0x20 else 6
    if walk.have(2):
        walk.go_type(walk.word(walk.at), walk.at + 2)


def llc(walk: Walk) -> None:
    """Reads LLC, and SNAP behind it."""
    if not walk.have(3):
        return
    at, head = walk.at, walk.data[walk.at : walk.at + 3]
    if head == b"\x06\x06\x03":
        walk.go(Layer.IPV4, at + 3)
    elif head == b"\xfe\xfe\x03":
        if walk.have(4):
            following = {0xCC: Layer.IPV4, 0x8E: Layer.IPV6}.get(walk.data[at + 3], Layer.END)
            walk.go(following, at + 4)
    elif head != b"\xaa\xaa\x03":
        walk.layer = Layer.END
    elif walk.have(8):
        if walk.data[at + 3 : at + 6] in (b"\0\0\0", b"\0\0\xf8"):
            walk.go_type(walk.word(at + 6), at + 8)
        else:
            walk.layer = Layer.END


def ppp(walk: Walk) -> None:
    """Reads PPP, with or without HDLC's address and control, or Cisco's HDLC in its place."""
    if not walk.have(2):
        return
    data = walk.data
    if data[walk.at] in (0x0F, 0x8F) and data[walk.at + 1] == 0:
        if walk.have(4):
            walk.go_type(walk.word(walk.at + 2), walk.at + 4)
        return
    if data[walk.at : walk.at + 2] == b"\xff\x03":
        walk.at += 2
    if not walk.have(2):
        return
    at = walk.at
    short = data[at] & 1
    protocol = data[at] if short else walk.word(at)
    walk.go(_PPP.get(protocol, Layer.END), at + (1 if short else 2))
    if protocol in (0x2D, 0x2F, 0xFD):
        walk.fail(Kind.LINK, State.UNJUDGED, How.COMPRESSED)
    elif protocol == 0x53:
        walk.fail(Kind.LINK, State.UNJUDGED, How.ENCRYPTED)


def pppoe(walk: Walk) -> None:
    """Reads the header of a PPPoE session."""
    if not walk.have(6):
        return
    at = walk.at
    if walk.data[at : at + 2] != b"\x11\0":
        walk.layer = Layer.END
        return
    walk.limit = min(walk.limit, at + 6 + walk.word(at + 4))
    walk.go(Layer.PPP, at + 6)


def mpls(walk: Walk) -> None:
    """Reads a stack of labels. What follows is told by its first bytes, as no field says it."""
    for _ in range(16):
        if not walk.have(4):
            return
        walk.at += 4
        if walk.data[walk.at - 2] & 1:
            break
    else:
        walk.layer = Layer.END
        return
    if not walk.have(1):
        return
    at = walk.at
    first = walk.data[at] >> 4
    if first not in (4, 6) and walk.seems_ethernet(at):
        walk.go(Layer.ETHERNET, at)
    elif first == 0 and walk.seems_ethernet(at + 4):  # a control word
        walk.go(Layer.ETHERNET, at + 4)
    elif not walk.seems_ip(at) and walk.seems_ethernet(at):
        walk.go(Layer.ETHERNET, at)
    else:
        walk.go(Layer.IP, at)


def nsh(walk: Walk) -> None:
    """Reads a network service header."""
    if walk.have(8):
        at = walk.at
        following = _NSH.get(walk.data[at + 3], Layer.END)
        walk.go(following, at + (walk.data[at + 1] & 0x3F) * 4 if following else at)


def wlan(walk: Walk) -> None:
    """Reads the header of an 802.11 data frame."""
    if not walk.have(24):
        return
    at, data = walk.at, walk.data
    control, flags = data[at], data[at + 1]
    size = 24 + (6 if flags & 3 == 3 else 0)
    if control & 0x0C != 0x08 or control & 0x40:  # no data
        walk.layer = Layer.END
        return
    if control & 0x80:
        if not walk.have(size + 2):
            return
        aggregated = data[at + size] & 0x80
        size += 6 if flags & 0x80 else 2
        if aggregated and not flags & 0x40:
            walk.fail(Kind.LINK, State.UNJUDGED, How.AGGREGATE)
            return
    if flags & 0x40:
        walk.fail(Kind.LINK, State.UNJUDGED, How.ENCRYPTED)
        return
    at += size
    if size % 4 and data[at : at + 4] == b"\0\0\xaa\xaa":
        at += 2  # some drivers pad the header to four bytes
    walk.go(Layer.LLC, at)


def ip(walk: Walk) -> None:
    """Goes to IPv4 or IPv6 by the version."""
    if walk.have(1):
        versions = {4: Layer.IPV4, 6: Layer.IPV6}
        walk.layer = versions.get(walk.data[walk.at] >> 4, Layer.END)
