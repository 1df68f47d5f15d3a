"""Says in words what was found in a frame, and what a class of frames means."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from qualification.stack.classes import Class
from qualification.stack.codes import CARRIER_NAMES, KIND_NAMES, How, Kind, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qualification.stack.codes import Carrier
    from qualification.stack.outcomes import Outcome, SumCode
    from qualification.stack.walk import IpPacket, Sum, Walk

PROTOCOLS = {
    1: "ICMP", 2: "IGMP", 4: "IPv4", 6: "TCP", 17: "UDP", 33: "DCCP", 41: "IPv6", 46: "RSVP",
    47: "GRE", 50: "ESP", 58: "ICMPv6", 59: "no next header", 88: "EIGRP", 89: "OSPF", 103: "PIM",
    108: "IPComp", 112: "VRRP", 115: "L2TPv3", 132: "SCTP", 135: "Mobility", 136: "UDP-Lite",
    139: "HIP",
}  # fmt: skip

REASONS = {
    How.CUT: "the capture does not hold all of it (snap length)",
    How.SHORT: "the frame ends before the length in its IP header (cut by a mirror)",
    How.FRAGMENT: "it is a fragment, and the others of its datagram are missing",
    How.ENCRYPTED: "it is encrypted",
    How.ROUTE: "its routing header is of a kind that does not tell the final destination",
    How.PROTOCOL: "this protocol's checksum is not supported",
    How.DEPTH: "it has more layers than are looked at",
    How.LINK_TYPE: "this link type is not supported",
    How.COMPRESSED: "it is compressed",
    How.UNCUT: "its IP length is 0, as before segmentation by the NIC",
    How.AGGREGATE: "it holds several 802.11 frames (A-MSDU)",
}
"""Why a sum was not judged."""

ADVICE = {
    Class.WRONG_VALUE: "The field holds neither the right value nor one that is yet to be filled "
    "in: a device on the way computed it wrongly, or changed the data.",
    Class.LENGTH: "A length does not fit what carries it, so no checksum behind it can be judged.",
    Class.UNFILLED: "The field holds what the kernel leaves for the NIC: the sum of the "
    "pseudo-header, or 0.",
    Class.MERGED: "Put together on the receiver by GRO or LRO, or on the sender not yet cut by the "
    "NIC: the wire had other frames, and nothing here says that they were wrong. Capture again "
    "with: ethtool -K IF gro off lro off rx-gro-hw off",
    Class.CUT: "Capture whole frames: tcpdump -s 0, and no truncation on the mirror.",
}
"""What a class means, and what to do."""


def reason(how: How, outcome: Outcome) -> str:
    """Says why frames with an outcome were not judged."""
    if how == How.PROTOCOL and outcome.protocol >= 0:
        named = PROTOCOLS.get(outcome.protocol, "")
        number = f"IP protocol {outcome.protocol}" + (f", {named}" if named else "")
        return f"{REASONS[how]} ({number})"
    if how == How.ENCRYPTED and outcome.protocol == 50:
        return f"{REASONS[how]} (ESP)"
    if how == How.LINK_TYPE:
        return f"{REASONS[how]} (link type {outcome.length})"
    return REASONS.get(how, how.name.lower())


def path_of(each: SumCode, carriers: Sequence[Carrier]) -> str:
    """Returns the layer of a sum as a path through the tunnels: "VXLAN > TCP"."""
    names = [CARRIER_NAMES[carrier] for carrier in carriers[1 : each.depth + 1] if carrier]
    return " > ".join([*names, KIND_NAMES[each.kind]])


def sentences(walk: Walk) -> list[str]:
    """Describes what is not right about a frame, without full stops."""
    return [
        _sentence(walk, each)
        for each in walk.sums
        if each.state in (State.WRONG, State.LENGTH, State.UNJUDGED)
    ]


def side_of(depth: int, walk: Walk) -> str:
    """Returns "outer " or "inner ", or the number of a packet between them."""
    last = max([len(walk.packets) - 1, *(each.depth for each in walk.sums)])
    if last == 0:
        return ""
    return "outer " if depth == 0 else "inner " if depth == last else f"{depth + 1}. "


def _sentence(walk: Walk, each: Sum) -> str:
    name = side_of(each.depth, walk) + KIND_NAMES[each.kind]
    if each.kind == Kind.IPV4:
        name += " header"
    if each.state == State.UNJUDGED:
        return f"{name} could not be judged: {REASONS.get(each.how, each.how.name.lower())}"
    if each.state == State.LENGTH:
        return f"{name}{_length_fault(walk, each)}"
    digits = 8 if each.kind == Kind.SCTP else 4
    stored, computed = f"0x{each.stored:0{digits}x}", f"0x{each.computed:0{digits}x}"
    if each.how == How.FLAG:
        return f"VXLAN header has no I flag: its first byte is 0x{walk.data[each.start]:02x}"
    if each.how == How.PARTIAL:
        return (
            f"{name} checksum was never filled in: it is {stored}, the sum of the pseudo-header, "
            f"should be {computed}"
        )
    if each.how == How.ZERO:
        return f"{name} checksum was never filled in: it is 0, should be {computed}"
    if each.how == How.LATER:
        return f"{name} checksum is {stored}, right once the inner one is filled in"
    return f"{name} checksum is {stored}, should be {computed}"


def _length_fault(walk: Walk, each: Sum) -> str:
    data, start = walk.data, each.start
    if each.how == How.VERSION:
        return f" has version {data[start] >> 4}"
    if each.how == How.IP_LENGTH:
        at = start + (2 if each.kind == Kind.IPV4 else 4)
        length = int.from_bytes(data[at : at + 2], "big")
        word = "total" if each.kind == Kind.IPV4 else "payload"
        return f": {word} length {length} does not fit its headers or what carries it"
    room = each.end - start
    if each.how == How.L4_LENGTH and each.kind == Kind.UDP and room >= 8:
        length = int.from_bytes(data[start + 4 : start + 6], "big")
        return f" length is {length}, but the IP packet has {room} bytes for it"
    return f" does not fit into the {room} bytes that there are for it"


@lru_cache(maxsize=1 << 12)
def address(packed: bytes) -> str:
    """Returns an address as people write it; "?" if it is not known."""
    import ipaddress  # noqa: PLC0415, only for frames and flows that are shown

    return str(ipaddress.ip_address(packed)) if packed else "?"


def ends_of(packet: IpPacket, data: bytes) -> tuple[str, str]:
    """Returns source and destination of a packet, with ports if it has some."""
    at, width = (12, 4) if packet.family == 4 else (8, 16)
    start = packet.start + at
    found = []
    for place, port in ((start, packet.source_port), (start + width, packet.destination_port)):
        text = address(data[place : place + width])
        text = f"[{text}]" if packet.family == 6 and port >= 0 else text
        found.append(text if port < 0 else f"{text}:{port}")
    return found[0], found[1]


def count(number: int) -> str:
    """Returns a number of frames: "1 frame", "2,000 frames"."""
    return f"{number:,} frame{'' if number == 1 else 's'}"


def is_are(number: int) -> str:
    """Returns the verb for a number."""
    return "is" if number == 1 else "are"
