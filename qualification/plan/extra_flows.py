"""Extra flows, a few of each kind: behind a VLAN tag, with reverse traffic, under load."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from qualification.messages.bursts import Family, Protocol

from .flows import FEW, Flow, Inserted, Load

VLAN_INSERT = "tx-vlan-hw-insert"
"""The kernel's name of the feature that `ethtool -K` calls tx-vlan-offload."""

EXTRA_FLOWS: dict[str, tuple[str, str]] = {
    "vlan-nic": (
        "tunnels behind an 802.1Q tag that the NIC inserts (tx-vlan-offload on)",
        "vlan-lost-short, vlan-shift, outer-garbage",
    ),
    "vlan-kernel": (
        "the same with a tag that the kernel inserts (tx-vlan-offload off)",
        "vlan-shift",
    ),
    "+both": ("bulk while the peer sends the same shape of traffic back", "queue-k, random-p"),
    "+load": ("bulk from many sockets at once, as fast as they can send", "queue-k, random-p"),
}
"""What they are, and the faults that they are for, by their name in ids."""

LOADS: tuple[Load, ...] = ("both", "load")

_Kind = tuple[Protocol, bool, str]

_TAGGED: tuple[_Kind, ...] = (("udp", False, "lengths"), ("tcp", True, "boundaries"))
_TAGGED_BULK: _Kind = ("tcp", True, "")
_TAGGED_BULK_ON = {("nic", 4, True), ("kernel", 6, True)}
_LOADED: tuple[tuple[Load, Protocol, bool, tuple[Family, bool, Family]], ...] = (
    ("both", "tcp", True, (4, True, 4)),
    ("both", "udp", True, (6, True, 6)),
    ("load", "tcp", True, (4, True, 6)),
    ("load", "udp", True, (4, True, 4)),
)
_ALL: tuple[tuple[Family, bool, Family], ...] = tuple(product((4, 6), (True, False), (4, 6)))


def tagged_flows(
    families: frozenset[Family], port: int, inserted: Iterable[Inserted], *, every: bool = False
) -> tuple[Flow, ...]:
    """Returns the flows whose outer packets carry an 802.1Q tag, in the order they run.

    Args:
        families: IP versions of the underlay.
        port: The tunnel's UDP port.
        inserted: Who can insert the tag.
        every: Whether to take every combination of outer and inner headers.
    """
    return tuple(
        Flow(outer, checksum, inner, l4, segmentation, port, packet_set, vlan=who)
        for who in inserted
        for outer, checksum, inner in _some(families, every)
        for l4, segmentation, packet_set in (*_TAGGED, _TAGGED_BULK)
        # A bulk flow shows more, but takes as many frames as the demand needs.
        if every or packet_set or (who, outer, checksum) in _TAGGED_BULK_ON
    )


def loaded_flows(
    families: frozenset[Family], port: int, *, every: bool = False
) -> tuple[Flow, ...]:
    """Returns the flows of the kernel's own sockets with other traffic at the same time.

    Arguments as for `tagged_flows`.
    """
    few = [
        Flow(outer, checksum, inner, l4, segmentation, port, load=load)
        for load, l4, segmentation, (outer, checksum, inner) in _LOADED
        if outer in families
    ]
    bulk: tuple[tuple[Protocol, bool], ...] = (("tcp", True), ("udp", False), ("udp", True))
    many = [
        Flow(outer, checksum, inner, l4, segmentation, port, load=load)
        for load in LOADS
        for outer, checksum, inner in _some(families, every)
        for l4, segmentation in bulk
    ]
    return tuple(many if every else few)


def _some(families: frozenset[Family], every: bool) -> Iterable[tuple[Family, bool, Family]]:
    return (one for one in (_ALL if every else FEW) if one[0] in families)
