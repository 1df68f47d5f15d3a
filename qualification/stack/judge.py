"""Judges every checksum of a frame, the innermost first; the reference of judge.h.

Sources: RFC 1071 (the sum), RFC 9260 appendix A (CRC32c), and the kernel's
Documentation/networking/checksum-offloads.rst: partial sums, and "LCO: Local Checksum Offload".
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from qualification.wire.checksum import ones_sum

from . import ip, lower, tunnels
from .codes import MOST_STEPS, How, Kind, State
from .walk import Layer, start

if TYPE_CHECKING:
    from collections.abc import Callable

    from .walk import Sum, Walk

_LAYERS: dict[Layer, Callable[[Walk], None]] = {
    Layer.ETHERNET: lower.ethernet, Layer.TYPE: lower.ethertype, Layer.LLC: lower.llc,
    Layer.PPP: lower.ppp, Layer.PPPOE: lower.pppoe, Layer.MPLS: lower.mpls,
    Layer.WLAN: lower.wlan, Layer.NSH: lower.nsh, Layer.IP: lower.ip, Layer.IPV4: ip.ipv4,
    Layer.IPV6: ip.ipv6, Layer.PROTOCOL: ip.protocol, Layer.UDP: tunnels.udp,
    Layer.GRE: tunnels.gre,
}  # fmt: skip

_DATAGRAMS = (Kind.UDP, Kind.UDP_LITE)


def walk_frame(
    data: bytes, wire_length: int | None = None, link: int = 1, ports: frozenset[int] = frozenset()
) -> Walk:
    """Walks through a frame and judges its checksums. Never raises, whatever the bytes.

    Args:
        data: The bytes captured.
        wire_length: Length of the frame on the wire; by default, the bytes captured.
        link: The link type of the capture (LINKTYPE_).
        ports: UDP ports that are known to be those of VXLAN.
    """
    walk = start(data, len(data) if wire_length is None else wire_length, ports)
    lower.begin(walk, link)
    steps = 0
    while walk.layer != Layer.END:
        if steps == MOST_STEPS:
            walk.fail(Kind.LINK, State.UNJUDGED, How.DEPTH)
            break
        _LAYERS[walk.layer](walk)
        steps += 1
    _judge(walk)
    return walk


def _judge(walk: Walk) -> None:
    """Judges the sums that are open. What one covers is part of what those around it cover."""
    data, inner = walk.data, None
    for each in reversed(walk.sums):
        if each.state != State.OPEN:
            continue
        if each.end > len(data):
            each.state, each.how = State.UNJUDGED, walk.cut
        elif each.kind == Kind.SCTP:
            _judge_crc(data, each)
        else:
            covered = data[each.start : each.end]
            total = ones_sum(covered) + (each.pseudo or 0)
            empty = not walk.word(each.field)
            wrong = total % 65535 or (
                empty and (each.kind in _DATAGRAMS or (each.pseudo is None and not any(covered)))
            )
            each.state = State.WRONG if wrong else State.RIGHT
            if wrong:
                _find_how(data, each, inner, total)
            if each.kind != Kind.IPV4:
                inner = each


def _judge_crc(data: bytes, each: Sum) -> None:
    stored = int.from_bytes(data[each.field : each.field + 4], "little")
    covered = data[each.start : each.field] + bytes(4) + data[each.field + 4 : each.end]
    computed = crc32c(covered)
    each.state = State.RIGHT
    if stored != computed:
        each.state, each.how = State.WRONG, How.VALUE if stored else How.ZERO
        each.stored, each.computed = stored, computed


def _find_how(data: bytes, each: Sum, inner: Sum | None, total: int) -> None:
    """Says how a sum is wrong, and what it should be.

    Args:
        data: The bytes captured.
        each: The sum.
        inner: The sum within it that was judged last, if there is one.
        total: The sum over all that it covers, pseudo-header included.
    """
    stored = int.from_bytes(data[each.field : each.field + 2], "big")
    rest = (total - stored) % 65535
    blank = each.pseudo is None and not any(
        data[each.start : each.field] + data[each.field + 2 : each.end]
    )
    # A sum of zero is sent as 0xffff by UDP, and by others only if all that is covered is zero.
    zero = 0xFFFF if each.kind in _DATAGRAMS or blank else 0
    each.stored, each.computed = stored, 0xFFFF - rest if rest else zero
    each.how = How.VALUE
    if stored == 0:
        if each.computed != 0xFFFF:  # else it was computed, and 0 sent in its place
            each.how = How.ZERO
        return
    if each.pseudo is not None:
        without = each.pseudo - (each.end - each.start)  # as drivers leave it for TSO
        if stored % 65535 in (each.pseudo % 65535, without % 65535):
            each.how = How.PARTIAL
            return
    if inner is None or not is_unfinished(inner) or inner.end > each.end:
        return
    # The kernel computes an outer sum from what the inner one will be: once filled in, the inner
    # range sums to the complement of its pseudo-header.
    change = ones_sum(data[inner.start : inner.end]) + (inner.pseudo or 0)
    if (inner.start - each.start) & 1:
        change = change * 256  # a range at an odd offset (RFC 1071, 2 B)
    if (total - change) % 65535 == 0:
        each.how = How.LATER


def is_unfinished(each: Sum) -> bool:
    """Returns whether a sum is one that the NIC has yet to fill in."""
    return each.state == State.WRONG and each.how != How.VALUE and each.pseudo is not None


@cache
def _table() -> tuple[int, ...]:
    """Returns the table of CRC32c for a byte, reflected."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # noqa: PLW2901
        table.append(value)
    return tuple(table)


def crc32c(data: bytes) -> int:
    """Returns the CRC32c of some bytes (RFC 9260, appendix A)."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF
