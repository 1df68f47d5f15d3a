"""What is carried in UDP and in GRE; the reference of tunnels.h.

A port alone says little: any program may use 6081. So what follows has to look like the tunnel's
header, and where the header has no structure of its own, like an IP packet that fits. VXLAN and IP
directly in UDP are looked for on all ports.

Sources: RFC 7348 (VXLAN), draft-ietf-nvo3-vxlan-gpe, RFC 8926 (Geneve), RFC 2784, 2890, 7637, 8086
and 2637 (GRE, NVGRE, GRE in UDP, PPTP), draft-foschiano-erspan, 3GPP TS 29.281 (GTP-U),
draft-ietf-intarea-gue, RFC 7510 (MPLS in UDP), RFC 2661 (L2TP), RFC 4380 (Teredo).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .codes import Carrier, How, Kind, State
from .walk import GRE, Layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .walk import Walk

_VXLAN_GPE, _LINUX_VXLAN = 4790, 8472
_GPE_NEXT = {1: Layer.IPV4, 2: Layer.IPV6, 3: Layer.ETHERNET, 4: Layer.NSH, 5: Layer.MPLS}
_GENEVE_TYPES = (0x6558, 0x0800, 0x86DD, 0x8847, 0x894F)
_G_PDU = 255


def udp(walk: Walk) -> None:
    """Looks for a tunnel behind a UDP header.

    Over IPv6 a tunnel may go without a checksum (RFC 6935); nothing else may.
    """
    port, own = walk.packets[-1].destination_port, walk.sums[-1]
    asked = port in walk.ports
    walk.go(Layer.END, walk.at + 8)
    carried = _is_carried(walk, port, asked=asked)
    is_open = (own.kind, own.state) == (Kind.UDP, State.OPEN)
    if (carried or asked) and is_open and not walk.word(own.field):
        own.state = State.ABSENT


def _is_carried(walk: Walk, port: int, *, asked: bool) -> bool:
    if asked or port in (_VXLAN_GPE, _LINUX_VXLAN):
        return _is_vxlan(walk, port, asked=asked)
    if port in _BY_PORT:
        return _BY_PORT[port](walk)
    if walk.at >= min(walk.limit, len(walk.data)):
        return False
    first = walk.data[walk.at] >> 4
    if first == 0:
        return _is_vxlan(walk, port, asked=False)
    return first in (4, 6) and _is_fou(walk)


def _is_vxlan(walk: Walk, port: int, *, asked: bool) -> bool:
    at = walk.at
    if at + 8 > min(walk.limit, len(walk.data)):
        if asked and at + 8 > walk.limit:
            walk.add(Kind.VXLAN, State.LENGTH, How.HEADER, at, walk.limit)
        elif asked:
            walk.add(Kind.VXLAN, State.UNJUDGED, walk.cut, at, walk.limit)
        return False
    header = walk.data[at : at + 8]
    if not asked and not _looks_like_vxlan(walk, header, port):
        return False
    if not header[0] & 0x08:
        if walk.seems_ethernet(at + 8):
            walk.add(Kind.VXLAN, State.WRONG, How.FLAG, at, at + 8)
        return False
    layer = Layer.ETHERNET
    if header[0] & 0x04 and header[3]:
        layer = _GPE_NEXT.get(header[3], Layer.END)
        if layer == Layer.END:
            walk.add(Kind.LINK, State.UNJUDGED, How.PROTOCOL, at, walk.limit)
    if not asked and port != _VXLAN_GPE:
        walk.noticed = port
    _set_vni(walk, at + 4)
    # With an Ethernet frame inside, GPE is VXLAN.
    gpe = port == _VXLAN_GPE or layer != Layer.ETHERNET
    return walk.enter(Carrier.GPE if gpe else Carrier.VXLAN, layer, at + 8)


def _looks_like_vxlan(walk: Walk, header: bytes, port: int) -> bool:
    """Returns whether a port that nobody named carries VXLAN."""
    if port == _VXLAN_GPE:
        return header[0] & 0xF8 == 0x08 and not header[7]
    plain = header[:4] == b"\x08\0\0\0" and not header[7]
    return plain and (port == _LINUX_VXLAN or walk.seems_ethernet(walk.at + 8))


def _set_vni(walk: Walk, at: int) -> None:
    if walk.vni < 0:
        walk.vni = int.from_bytes(walk.data[at : at + 3], "big")


def _is_geneve(walk: Walk) -> bool:
    at, data = walk.at, walk.data
    if at + 8 > min(walk.limit, len(data)):
        return False
    inside, kind = at + 8 + (data[at] & 0x3F) * 4, walk.word(at + 2)
    if data[at] >> 6 or data[at + 7] or inside > walk.limit or kind not in _GENEVE_TYPES:
        return False
    _set_vni(walk, at + 4)
    walk.type = kind
    return walk.enter(Carrier.GENEVE, Layer.TYPE, inside)


def _is_gtp(walk: Walk) -> bool:
    at, data, end = walk.at, walk.data, min(walk.limit, len(walk.data))
    if at + 8 > end or data[at] & 0xF0 != 0x30 or data[at + 1] != _G_PDU:
        return False
    flags, at = data[at], at + 8
    if flags & 7:
        if at + 4 > end:
            return False
        following = data[at + 3] if flags & 4 else 0
        at += 4
        while following:
            if at + 4 > end or not data[at] or at + data[at] * 4 > end:
                return False
            at += data[at] * 4
            following = data[at - 1]
    return walk.seems_ip(at) and walk.enter(Carrier.GTP, Layer.IP, at)


def _is_gue(walk: Walk) -> bool:
    at, data = walk.at, walk.data
    if at + 4 > min(walk.limit, len(data)):
        return False
    if data[at] >> 6 == 1:  # variant 1: IP without a header of GUE
        return walk.seems_ip(at, exact=True) and walk.enter(Carrier.GUE, Layer.IP, at)
    inside = at + 4 + (data[at] & 0x1F) * 4
    if data[at] >> 5 or inside > walk.limit:  # another variant, or a control message
        return False
    layer = {4: Layer.IPV4, 41: Layer.IPV6, GRE: Layer.GRE}.get(data[at + 1])
    return layer is not None and walk.enter(Carrier.GUE, layer, inside)


def _is_mpls(walk: Walk) -> bool:
    return walk.enter(Carrier.MPLS, Layer.MPLS, walk.at)


def _is_gre(walk: Walk) -> bool:
    return walk.enter(Carrier.GRE, Layer.GRE, walk.at)


def _is_l2tp(walk: Walk) -> bool:
    at, data, end = walk.at, walk.data, min(walk.limit, len(walk.data))
    if at + 12 > end:
        return False
    flags = data[at]
    if data[at + 1] & 15 != 2 or flags & 0xB4:  # version 2, data, no reserved bits
        return False
    at += 6 + (2 if flags & 0x40 else 0) + (4 if flags & 0x08 else 0)
    if flags & 0x02:
        if at + 2 > end:
            return False
        at += 2 + walk.word(at)
    return at + 4 <= end and walk.enter(Carrier.L2TP, Layer.PPP, at)


def _is_teredo(walk: Walk) -> bool:
    """An authentication and an origin may be before the packet (RFC 4380, 5.1.1)."""
    at, data, end = walk.at, walk.data, min(walk.limit, len(walk.data))
    if at + 13 <= end and walk.word(at) == 1:
        at += 13 + data[at + 2] + data[at + 3]
    if at + 8 <= end and walk.word(at) == 0:
        at += 8
    return walk.seems_ip(at) and walk.enter(Carrier.FOU, Layer.IP, at)


def _is_fou(walk: Walk) -> bool:
    return walk.seems_ip(walk.at, exact=True) and walk.enter(Carrier.FOU, Layer.IP, walk.at)


_BY_PORT: dict[int, Callable[[Walk], bool]] = {
    1701: _is_l2tp, 2152: _is_gtp, 3544: _is_teredo, 4754: _is_gre, 6080: _is_gue,
    6081: _is_geneve, 6635: _is_mpls,
}  # fmt: skip


def gre(walk: Walk) -> None:
    """Reads a GRE header, and adds its sum if it has one."""
    if not walk.have(4, Kind.GRE):
        return
    at = walk.at
    flags, kind = walk.word(at), walk.word(at + 2)
    version = flags & 7
    if version > 1 or flags & 0x4000:  # a source route (RFC 1701), or no GRE at all
        walk.fail(Kind.GRE, State.UNJUDGED, How.PROTOCOL)
        return
    checked, keyed, numbered = flags & 0x8000, flags & 0x2000, flags & 0x1000
    size = 4 + sum(4 for flag in (checked, keyed, numbered, version and flags & 0x80) if flag)
    if not walk.have(size, Kind.GRE):
        return
    if checked:
        walk.add(Kind.GRE, State.OPEN, How.NONE, at, walk.limit).field = at + 4
    if not walk.carrier:
        walk.carrier = Carrier.GRE
    walk.at = at + size
    if version == 1:  # PPTP: without a sequence number it carries nothing (RFC 2637, 4.1)
        walk.layer = Layer.PPP if numbered else Layer.END
    elif kind == 0x6558 and keyed:
        walk.enter(Carrier.NVGRE, Layer.ETHERNET, walk.at)
        _set_vni(walk, at + (8 if checked else 4))
    elif kind in (0x88BE, 0x22EB):
        walk.carrier = Carrier.ERSPAN
        _erspan(walk, kind, numbered=bool(numbered))
    elif kind == 0x883E:
        _wccp(walk)
    elif kind <= 1500:
        walk.layer = Layer.END
    else:
        walk.go_type(kind, walk.at)


def _wccp(walk: Walk) -> None:
    """Passes the redirect header of WCCP, which may be there or not."""
    if walk.have(4):
        walk.go(Layer.IPV4, walk.at + (0 if walk.data[walk.at] >> 4 == 4 else 4))


def _erspan(walk: Walk, kind: int, *, numbered: bool) -> None:
    """Passes the header of ERSPAN; type I has none, and no sequence number in GRE."""
    if kind == 0x88BE:
        walk.go(Layer.ETHERNET, walk.at + (8 if numbered else 0))
    elif walk.have(12):
        walk.go(Layer.ETHERNET, walk.at + 12 + (8 if walk.data[walk.at + 11] & 1 else 0))
