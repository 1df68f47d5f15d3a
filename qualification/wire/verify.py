"""The reference verifier: decides which checksums of a frame are right, and which are wrong.

`dissect` finds lengths and headers; this module sums. It reads every byte once: the sum over the
inner packet's L4 is part of the outer sum, and is reused there (see `checksum`).

The frame must be as on the wire, or captured on the *receiver*. On the sender, the NIC has not
filled in the checksums yet.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .checksum import ones_sum
from .dissect import VXLAN_PORTS, dissect
from .layers import INNER_IP, INNER_L4, INWARD, LAYERS, OUTER_IP, OUTER_L4, VXLAN, Checked
from .packet import ICMP, UDP, Packet
from .sentences import sentences

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "INNER_IP", "INNER_L4", "LAYERS", "OUTER_IP", "OUTER_L4", "VXLAN",
    "Checked", "check", "explain",
]  # fmt: skip

_IP, _L4 = OUTER_IP, OUTER_L4
_WRONG_TUNNEL = frozenset({"vxlan-flag", "length"})

# Faster than Checked(...), as in `packet`; most frames take this path.
_new_checked: Callable[[tuple[Any, ...]], Checked] = partial(tuple.__new__, Checked)


def check(
    frame: bytes | bytearray | memoryview,
    wire_length: int | None = None,
    ports: frozenset[int] = VXLAN_PORTS,
) -> Checked:
    """Judges every checksum of one Ethernet frame. Never raises, whatever the bytes.

    Args:
        frame: The bytes captured, from the destination MAC on, without FCS.
        wire_length: Length of the frame on the wire; by default, the bytes captured.
        ports: UDP destination ports of VXLAN.
    """
    data = bytes(frame)  # because slices of bytes are summed without another copy
    layout = dissect(data, wire_length, ports)
    if layout is None:
        cut_off = len(data) < min(14, wire_length or 0)
        return Checked(0, 0, 0, 0, "truncated" if cut_off else "not-ip", None)
    _, outer, vxlan, vni, _, inner, trouble = layout
    if inner is None:
        total = ones_sum(data[outer.l4 : outer.end])
        good, bad, absent, unjudged, reason = _judge(data, outer, total, vxlan is not None)
        if vxlan is not None:
            if trouble in _WRONG_TUNNEL:
                bad |= VXLAN
            elif vni is None:
                unjudged |= VXLAN
            else:
                good |= VXLAN
        if trouble == "truncated":
            unjudged |= INNER_IP | INNER_L4
        return Checked(good, bad, absent, unjudged, reason or trouble, layout)

    inner_total = ones_sum(data[inner.l4 : inner.end])
    total = _sum_around(data, outer, inner, inner_total) if outer.checksum else 0
    good, bad, absent, unjudged, reason = _judge(data, outer, total, True)
    more_good, more_bad, more_absent, more_unjudged, inner_reason = _judge(
        data, inner, inner_total, False
    )
    return _new_checked(
        (
            good | VXLAN | more_good << INWARD,
            bad | more_bad << INWARD,
            absent | more_absent << INWARD,
            unjudged | more_unjudged << INWARD,
            reason or inner_reason,
            layout,
        )
    )


def explain(
    frame: bytes | bytearray | memoryview,
    wire_length: int | None = None,
    ports: frozenset[int] = VXLAN_PORTS,
) -> list[str]:
    """Describes in words what `check` finds wrong or cannot judge; the arguments are the same."""
    return sentences(bytes(frame), check(frame, wire_length, ports))


def _sum_around(data: bytes, outer: Packet, inner: Packet, inner_total: int) -> int:
    """Returns the sum over the outer packet's L4, which reuses the sum over the inner one's.

    All headers between them have even lengths. Only the bytes behind the inner packet can start at
    an odd offset, where their sum counts times 256.
    """
    total = ones_sum(data[outer.l4 : inner.l4]) + inner_total
    if inner.end == outer.end:
        return total
    trailer = ones_sum(data[inner.end : outer.end])
    return total + (trailer << 8 if inner.l4_length & 1 else trailer)


def _judge(
    data: bytes, packet: Packet, total: int, tunnel: bool
) -> tuple[int, int, int, int, str | None]:
    """Judges one packet.

    Args:
        data: The bytes captured.
        packet: The packet.
        total: Sum over the packet's L4, without the pseudo-header.
        tunnel: Whether it is the outer packet of a tunnel.

    Returns:
        good, bad, absent and unjudged, as masks of the outer layers' bits, and the reason.
    """
    family, start, l4, end, protocol, addresses, _, _, field, trouble = packet
    if trouble and (l4 == start or trouble == "length"):  # the headers cannot be relied on
        unread = trouble == "truncated"
        return 0, 0 if unread else _IP, 0, _IP | _L4 if unread else _L4, trouble

    good = bad = absent = unjudged = 0
    if family == 4:
        if ones_sum(data[start : start + (data[start] & 15) * 4]) == 0:
            good = _IP
        else:
            bad = _IP
    if trouble == "l4-length":
        bad |= _L4
        trouble = "length"
    elif trouble:
        unjudged = _L4
    elif field == 0 and protocol == UDP and (tunnel or family == 4):
        absent = _L4
    elif end > len(data):
        unjudged = _L4
        trouble = "truncated"
    else:
        if protocol != ICMP:
            total += ones_sum(addresses) + protocol + end - l4  # the pseudo-header
        if total % 65535 == 0 and (field or not _zero_is_wrong(protocol, data[l4:end])):
            good |= _L4
        else:
            bad |= _L4
    return good, bad, absent, unjudged, trouble


def _zero_is_wrong(protocol: int, covered: bytes) -> bool:
    """Returns whether a field of 0x0000 is wrong although the sum is right.

    A sum cannot tell 0x0000 from 0xffff. UDP sends 0xffff (RFC 768; RFC 8200 for IPv6, where 0 does
    not mean "no checksum"). A message of zeros only has the checksum 0xffff; this can only occur in
    ICMP, which has no pseudo-header.
    """
    return protocol == UDP or (protocol == ICMP and not any(covered))
