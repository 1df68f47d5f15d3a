"""Decides to which flow a captured frame belongs: the burst's, an earlier one's, or another's."""

from __future__ import annotations

import struct

from qualification.messages.bursts import CaptureOrder

from .dissect import Layout
from .packet import Packet

OURS, LATE, FOREIGN = "ours", "late", "foreign"


def of_flow(order: CaptureOrder, layout: Layout) -> Packet | None:
    """Returns the packet that carries the flow: inner, or outer if the flow has no tunnel."""
    return layout.outer if order.vni is None else layout.inner


def whose_is(order: CaptureOrder, layout: Layout | None, data: bytes) -> str:
    """Returns OURS for a frame of the burst, LATE for one of an earlier burst, else FOREIGN."""
    if layout is None:
        return FOREIGN
    packet = of_flow(order, layout)
    port = None if packet is None else packet.destination_port
    if layout.vni == order.vni and port == order.flow_port:
        if order.ttl is not None and _ttl(layout.outer, data) != order.ttl:
            return LATE  # or of another tunnel on this port, which the port does not show
        return OURS
    broken = layout.vxlan is not None and layout.vni is None
    if broken and _ttl(layout.outer, data) in range(*order.late_ttls):
        return LATE  # of an earlier plain burst to the tunnel's port
    if order.vni is not None and layout.vxlan is None and layout.outer.trouble == "fragment":
        return OURS  # a fragment has no ports, but nothing else sends fragments from this MAC
    first, end = order.late_ports
    if layout.vni in order.our_vnis and port is not None and first <= port < end:
        return LATE
    return FOREIGN


def _ttl(packet: Packet, data: bytes) -> int | None:
    """Returns the TTL or hop limit; None if the header cannot be read."""
    if packet.l4 == packet.start:
        return None
    return data[packet.start + (8 if packet.family == 4 else 7)]


def mistagged(wanted: int | None, tag: bytes | None) -> str | None:
    """Returns what is wrong with a frame's outer VLAN tag, or None.

    Args:
        wanted: The tag control information that it must have; None if any tag is right.
        tag: The tag, which the kernel has taken out of the bytes; None if there is none.
    """
    if wanted is None or tag == struct.pack("!HH", 0x8100, wanted):
        return None
    found = "none" if tag is None else tag.hex()
    return f"VLAN tags are {found}, should be 8100{wanted:04x}"
