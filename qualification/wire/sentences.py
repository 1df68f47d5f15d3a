"""Describes in words what is wrong with a frame: for the few frames that people look at."""

from __future__ import annotations

from .checksum import checksum, ones_sum, pseudo_sum, udp_checksum
from .layers import INWARD, OUTER_IP, OUTER_L4, VXLAN, Checked
from .packet import ICMP, ICMPV6, TCP, UDP, Packet

PROTOCOLS = {ICMP: "ICMP", TCP: "TCP", UDP: "UDP", ICMPV6: "ICMPv6"}

REASONS = {
    "truncated": "the capture does not hold all of it (snap length)",
    "fragment": "it is a fragment, and the checksum covers the whole datagram",
    "esp": "it is encrypted (ESP)",
    "routing-header": "its routing header has segments left, so its final destination is unknown",
    "home-address": "a Home Address option replaces its source address",
    "jumbogram": "it is longer than its length field can hold (jumbogram, BIG TCP)",
    "protocol": "the checksum of this protocol is not supported",
    "length": "the IP length is wrong",
    "version": "the IP version is wrong",
    "not-ip": "it is not IP",
    "vxlan-flag": "the VXLAN header is not valid",
}
"""Why a layer was not judged, by the `reason` of a `Checked`."""


def sentences(data: bytes, checked: Checked) -> list[str]:
    """Describes for each layer that is bad or unjudged what was found and what is right.

    Args:
        data: The bytes captured.
        checked: The result of `verify.check` for them.

    Returns:
        Sentences without a full stop, such as "outer UDP checksum is 0x1a2b, should be 0x3c4d".
    """
    layout = checked.layout
    if layout is None:
        return []
    vxlan = []
    if checked.bad & VXLAN:
        flag_missing = layout.trouble == "vxlan-flag"
        vxlan.append(
            f"VXLAN header has no I flag: its first byte is 0x{data[layout.outer.l4 + 8]:02x}"
            if flag_missing
            else "UDP payload is too short for a VXLAN and an Ethernet header"
        )
    elif checked.unjudged & VXLAN:
        vxlan.append(f"VXLAN could not be judged: {REASONS['truncated']}")
    outer = _packet(data, checked.bad, checked.unjudged, layout.outer, "outer")
    bad, unjudged = checked.bad >> INWARD, checked.unjudged >> INWARD
    inner = []
    if layout.inner is not None:
        inner = _packet(data, bad, unjudged, layout.inner, "inner")
    elif unjudged:
        inner = [f"inner packet could not be judged: {REASONS['truncated']}"]
    return outer + vxlan + inner


def _packet(data: bytes, bad: int, unjudged: int, packet: Packet, side: str) -> list[str]:
    """Describes one packet; `bad` and `unjudged` are masks of the outer layers' bits."""
    texts = []
    name = f"{side} {PROTOCOLS.get(packet.protocol, 'L4')}"
    if bad & OUTER_IP:
        texts.append(f"{side} {_ip_fault(data, packet)}")
    elif unjudged & OUTER_IP:
        texts.append(f"{side} IP header could not be judged: {REASONS['truncated']}")
    if bad & OUTER_L4 and packet.trouble == "l4-length":
        texts.append(f"{name} {_l4_length_fault(data, packet)}")
    elif bad & OUTER_L4:
        found, expected = l4_checksum(data, packet)
        texts.append(f"{name} checksum is 0x{found:04x}, should be 0x{expected:04x}")
    elif unjudged & OUTER_L4:
        texts.append(f"{name} could not be judged: {REASONS[packet.trouble or 'truncated']}")
    return texts


def _ip_fault(data: bytes, packet: Packet) -> str:
    start, name = packet.start, f"IPv{packet.family}"
    if packet.trouble == "version":
        return f"{name} header has version {data[start] >> 4}"
    if packet.trouble != "length":
        found, expected = header_checksum(data, packet)
        return f"{name} header checksum is 0x{found:04x}, should be 0x{expected:04x}"
    at = start + (2 if packet.family == 4 else 4)
    if at + 2 > len(data):
        return f"{name} header does not fit into what carries it"
    word = "total" if packet.family == 4 else "payload"
    length = int.from_bytes(data[at : at + 2], "big")
    return f"{name} {word} length {length} does not fit its headers or what carries it"


def _l4_length_fault(data: bytes, packet: Packet) -> str:
    if packet.protocol == UDP and packet.checksum is not None:
        length = int.from_bytes(data[packet.l4 + 4 : packet.l4 + 6], "big")
        return f"length is {length}, but the IP packet has {packet.l4_length} bytes for it"
    return f"header does not fit into the {packet.l4_length} bytes of the IP packet"


def header_checksum(data: bytes, packet: Packet) -> tuple[int, int]:
    """Returns the checksum in a complete IPv4 header, and the right one."""
    start = packet.start
    found = int.from_bytes(data[start + 10 : start + 12], "big")
    total = ones_sum(data[start : start + (data[start] & 15) * 4])
    return found, checksum(total - found)


def l4_checksum(data: bytes, packet: Packet) -> tuple[int, int]:
    """Returns the checksum in a UDP, TCP or ICMP header, and the right one.

    Args:
        data: The bytes captured; they must reach to the end of the packet.
        packet: A packet whose `trouble` is None.
    """
    found, covered = packet.checksum or 0, data[packet.l4 : packet.end]
    if packet.protocol == ICMP:
        # Only in ICMP can all bytes covered be zero, which makes the sum 0x0000, not 0xffff
        # (RFC 1071).
        return found, checksum(ones_sum(covered) - found) if any(covered) else 0xFFFF
    total = ones_sum(covered) - found
    total += pseudo_sum(packet.source, packet.destination, packet.protocol, packet.l4_length)
    return found, udp_checksum(total) if packet.protocol == UDP else checksum(total)
