"""Finds the parts of a frame: VLAN tags, the packet on the wire, VXLAN, and the inner packet.

Sources: IEEE 802.1Q, RFC 7348 (VXLAN), `drivers/net/vxlan/vxlan_core.c`.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .packet import UDP, Packet, ipv4, ipv6

if TYPE_CHECKING:
    from collections.abc import Callable

VXLAN_PORTS = frozenset({4789})
"""UDP destination ports of VXLAN by default: IANA's. (Linux's default is 8472.)"""

_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})
_IPV4, _IPV6 = 0x0800, 0x86DD
_CUT_OFF = -1
_I_FLAG = 0x08

_read_u16 = struct.Struct(">H").unpack_from
_read_tag = struct.Struct(">HH").unpack_from
_read_vxlan = struct.Struct(">BxxxI").unpack_from


class Layout(NamedTuple):
    """The parts of a frame: the IP packet on the wire and, behind a VXLAN header, the inner one.

    Attributes:
        vlans: Tag control information (priority, DEI, VLAN id) of each outer tag, outermost first.
        outer: The packet on the wire.
        vxlan: Offset of the VXLAN header; None if the packet is not UDP to a tunnel port.
        vni: VXLAN network identifier; None without a tunnel or without a valid header.
        inner_vlans: Tags of the inner frame, as `vlans`.
        inner: The inner packet; None if there is none, or it is not IP.
        trouble: None, or why the tunnel has no inner packet to read: "vxlan-flag" (no I flag),
            "length" (too short for VXLAN and Ethernet), "truncated", "not-ip" (ARP, for example).
    """

    vlans: tuple[int, ...]
    outer: Packet
    vxlan: int | None
    vni: int | None
    inner_vlans: tuple[int, ...]
    inner: Packet | None
    trouble: str | None


# Faster than Layout(...), as in `packet`; most frames take this path.
_new_layout: Callable[[tuple[Any, ...]], Layout] = partial(tuple.__new__, Layout)


def dissect(
    frame: bytes, wire_length: int | None = None, ports: frozenset[int] = VXLAN_PORTS
) -> Layout | None:
    """Finds the headers of an Ethernet frame.

    Args:
        frame: The bytes captured, from the destination MAC on; may be the headers only.
        wire_length: Length of the frame on the wire; by default, the bytes captured.
        ports: UDP destination ports of VXLAN. A tunnel within the tunnel is plain UDP.

    Returns:
        The layout; None if the frame is not IP, or is cut off before its EtherType.
    """
    captured = len(frame)
    limit = captured if wire_length is None or wire_length < captured else wire_length
    kind, start, vlans = _ethernet(frame, 0)
    if kind == _IPV4:
        outer = ipv4(frame, start, limit)
    elif kind == _IPV6:
        outer = ipv6(frame, start, limit)
    else:
        return None
    if outer.protocol != UDP or outer.destination_port not in ports:
        return Layout(vlans, outer, None, None, (), None, None)
    return _tunnel(frame, vlans, outer)


def _tunnel(frame: bytes, vlans: tuple[int, ...], outer: Packet) -> Layout:
    """Returns the layout of a frame whose packet is UDP to a tunnel port."""
    vxlan, limit = outer.l4 + 8, outer.end
    if vxlan + 8 > limit or vxlan + 8 > len(frame):
        trouble = "length" if vxlan + 8 > limit else "truncated"
        return Layout(vlans, outer, vxlan, None, (), None, trouble)
    flags, word = _read_vxlan(frame, vxlan)
    if not flags & _I_FLAG:
        return Layout(vlans, outer, vxlan, None, (), None, "vxlan-flag")
    kind, start, inner_vlans = _ethernet(frame, vxlan + 8)
    if start > limit:
        return Layout(vlans, outer, vxlan, word >> 8, (), None, "length")
    if kind == _IPV4:
        inner = ipv4(frame, start, limit)
    elif kind == _IPV6:
        inner = ipv6(frame, start, limit)
    else:
        trouble = "truncated" if kind == _CUT_OFF else "not-ip"
        return Layout(vlans, outer, vxlan, word >> 8, inner_vlans, None, trouble)
    return _new_layout((vlans, outer, vxlan, word >> 8, inner_vlans, inner, None))


def _ethernet(frame: bytes, start: int) -> tuple[int, int, tuple[int, ...]]:
    """Returns the EtherType behind all VLAN tags, the offset behind it, and the tags."""
    at, tags = start + 12, ()  # type: tuple[int, tuple[int, ...]]
    try:
        (kind,) = _read_u16(frame, at)
        while kind in _VLAN_TAGS:
            tag, kind = _read_tag(frame, at + 2)
            tags += (tag,)
            at += 4
    except struct.error:
        kind = _CUT_OFF
    return kind, at + 2, tags
