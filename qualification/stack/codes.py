"""The names and numbers of what a walk finds; those of the enums in layers.h, in the same order."""

from __future__ import annotations

from enum import IntEnum


class _Code(IntEnum):
    """A number of the C enums. It hashes as one: Enum's own hash is a Python function."""

    __hash__ = int.__hash__


class Kind(_Code):
    """What a sum belongs to."""

    (
        NONE,
        LINK,
        IPV4,
        IPV6,
        TCP,
        UDP,
        UDP_LITE,
        ICMP,
        ICMPV6,
        IGMP,
        SCTP,
        DCCP,
        GRE,
        VXLAN,
        OTHER,
    ) = range(15)


class State(_Code):
    """The outcome for one sum; `OPEN` is none yet.

    ABSENT is a field of 0 that means "no checksum". LENGTH is a header or a length that does not
    fit. ELSEWHERE is a fragment whose datagram was judged with another of its fragments.
    """

    OPEN, RIGHT, WRONG, ABSENT, UNJUDGED, LENGTH, ELSEWHERE = range(7)


class How(_Code):
    """How a sum is wrong, why it was not judged, or which length does not fit.

    VALUE: another value. PARTIAL: the sum of the pseudo-header, as the kernel leaves it for the
    NIC. ZERO: the field holds 0. LATER: right once the inner sum is filled in, as the kernel's
    local checksum offload leaves an outer sum. CUT: by the snap length. SHORT: the frame ends
    before the length in its IP header. UNCUT: the IP length is 0, as in front of segmentation.
    """

    NONE, VALUE, PARTIAL, ZERO, LATER, CUT, SHORT, FRAGMENT, ENCRYPTED, ROUTE = range(10)
    PROTOCOL, DEPTH, LINK_TYPE, COMPRESSED, UNCUT, VERSION, IP_LENGTH = range(10, 17)
    L4_LENGTH, HEADER, FLAG, AGGREGATE = range(17, 21)


class Carrier(_Code):
    """What carries an IP packet: a tunnel, or nothing."""

    NONE, VXLAN, GPE, GENEVE, GRE, NVGRE, ERSPAN, IPIP, GUE, FOU, GTP, L2TP = range(12)
    ETHERIP, MPLS, SRV6 = range(12, 15)


KIND_NAMES = (
    "", "link", "IPv4", "IPv6", "TCP", "UDP", "UDP-Lite", "ICMP", "ICMPv6", "IGMP", "SCTP", "DCCP",
    "GRE", "VXLAN", "other",
)  # fmt: skip
CARRIER_NAMES = (
    "", "VXLAN", "VXLAN-GPE", "Geneve", "GRE", "NVGRE", "ERSPAN", "IP in IP", "GUE", "FOU",
    "GTP-U", "L2TP", "EtherIP", "MPLS", "SRv6",
)  # fmt: skip

MOST_SUMS, MOST_PACKETS, MOST_STEPS, MOST_BYTES = 12, 6, 48, 1 << 27
"""The bounds of a walk: sums and IP packets of a frame, layers passed, and bytes of a frame."""

UNKNOWN, INBOUND, OUTBOUND = 0, 1, 2
"""Directions of a frame, seen from the host that captured it."""
