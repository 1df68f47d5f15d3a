"""Decides to which flow a captured frame belongs: the burst's, an earlier one's, or another's."""

from __future__ import annotations

import struct

from qualification.messages.bursts import CaptureOrder

from .dissect import Layout
from .layers import INNER_L4, OUTER_L4, Checked
from .packet import Packet

_VXLAN_WORD = b"\x08\0\0\0"
"""I is set, all else is reserved (RFC 7348, section 5)."""
TUNNEL_MACS = b"\x02VX"
"""The first bytes of every MAC address inside our tunnels: locally administered."""
_CE, _ECT_0 = 3, 2

OURS, LATE, FOREIGN = "ours", "late", "foreign"


def of_flow(order: CaptureOrder, layout: Layout) -> Packet | None:
    """Returns the packet that carries the flow: inner, or outer if the flow has no tunnel."""
    return layout.outer if order.vni is None else layout.inner


def required(order: CaptureOrder) -> int:
    """Returns the layers, as bits, whose checksum a frame of the burst must have.

    A field of 0 means "no checksum" (`Checked.absent`), which is wrong where the flow has one. The
    kernel's sockets always send the innermost one.
    """
    if order.vni is None:
        return OUTER_L4
    return INNER_L4 | (OUTER_L4 if order.outer_checksum else 0)


def wrong_layers(checked: Checked, whose: str, must_have: int) -> int:
    """Returns the wrong layers of a frame, as bits.

    Args:
        checked: The frame.
        whose: Whose it is. Whether a checksum is required is known for the burst's flow only:
            another tunnel may send none.
        must_have: What is `required` of the burst.
    """
    return checked.bad | (checked.absent & must_have if whose == OURS else 0)


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
    if port == order.flow_port and vni_changed(order, layout, data):
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


def vni_changed(order: CaptureOrder, layout: Layout, data: bytes) -> bool:
    """Returns whether a frame to the burst's port is one of ours but for its VNI.

    The MAC address inside tells: another tunnel of the host may carry packets to the same port.
    """
    if not order.tunnel_ttl or layout.vxlan is None or layout.vni in (None, order.vni):
        return False
    return data[layout.vxlan + 8 : layout.vxlan + 11] == TUNNEL_MACS


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


def outer_changed(ttl: int, vni: int | None, layout: Layout, data: bytes) -> str | None:
    """Returns what is not as the kernel has it in the outer headers of a frame of ours, or None.

    They are constant in our tunnels: DSCP, DF and flow label are 0, the TTL is given, no reserved
    bit of VXLAN is set, and ECN follows from the inner packet's (RFC 6040, section 4.1, as
    `INET_ECN_encapsulate` does it, include/net/inet_ecn.h). A queue on the way, such as fq_codel on
    the sender or a switch, may set CE in place of ECT(0) and ECT(1) (RFC 3168, section 5): that is
    no change by the NIC.

    native_capture.c has the same function.

    Args:
        ttl: The TTL or hop limit; 0 if nothing is checked.
        vni: The VNI.
        layout: The frame's layout.
        data: Its bytes.
    """
    outer, inner, vxlan = layout.outer, layout.inner, layout.vxlan
    if not ttl or vxlan is None or inner is None:
        return None
    if inner.l4 == inner.start or outer.l4 == outer.start:
        return None
    if data[vxlan : vxlan + 4] != _VXLAN_WORD or data[vxlan + 7]:
        return f"VXLAN header is {data[vxlan : vxlan + 8].hex()}: reserved bits are set"
    if layout.vni != vni:
        return f"VNI is {layout.vni}, should be {vni}"
    at = outer.start
    if outer.family == 4:
        traffic, rest, found = data[at + 1], int.from_bytes(data[at + 6 : at + 8], "big"), at + 8
    else:
        word = int.from_bytes(data[at : at + 4], "big")
        traffic, rest, found = word >> 20 & 0xFF, word & 0xFFFFF, at + 7
    if traffic >> 2:
        return f"outer DSCP is 0x{traffic >> 2:02x}, should be 0x00"
    ecn = (data[inner.start + 1] if inner.family == 4 else data[inner.start + 1] >> 4) & 3
    ecn = _ECT_0 if ecn == _CE else ecn
    # Some kernels do not look for the packet behind a tag inside the tunnel.
    marked = bool(ecn) and traffic & 3 == _CE
    if traffic & 3 != ecn and not marked and not layout.inner_vlans:
        return f"outer ECN is 0x{traffic & 3:x}, should be 0x{ecn:x}"
    if rest:
        name = "DF and fragment offset" if outer.family == 4 else "flow label"
        return f"outer {name} is 0x{rest:x}, should be 0x0"
    if data[found] != ttl:
        return f"outer TTL is 0x{data[found]:02x}, should be 0x{ttl:02x}"
    return None
