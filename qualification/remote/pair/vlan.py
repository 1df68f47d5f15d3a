"""The tagged underlay of a pair: a VLAN device on each NIC, with addresses of its own. Pure."""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from qualification.inventory import Ends, Role, other
from qualification.messages.host import VlanOrder
from qualification.plan.extra_flows import VLAN_INSERT
from qualification.plan.flows import Flow

from .addresses import END_NUMBER

_FOUR = int(IPv4Address("198.19.0.0"))
"""The upper half of 198.18.0.0/15, which RFC 2544 reserves for tests of network devices; the
topologies use the lower half, 198.18.0.0/16."""
_SIX = int(IPv6Address("fd56:584c::"))


def device(ends: Ends, role: Role) -> str:
    """Returns the name of the VLAN device on a NIC.

    It has 15 characters, and the NICs of one host differ in it.
    """
    nic = ends.nic(role).name
    return "vxq" + blake2b(nic.encode(), digest_size=6).hexdigest()


def address(ends: Ends, role: Role, family: Literal[4, 6]) -> str:
    """Returns an end's address, in a network that another pair of the hosts is unlikely to have."""
    names = f"{ends.dut.name} {ends.peer.name}".encode()
    pair = int.from_bytes(blake2b(names, digest_size=8).digest(), "big")
    if family == 4:
        return str(IPv4Address(_FOUR + (pair % (1 << 14)) * 4 + END_NUMBER[role]))
    return str(IPv6Address(_SIX + (pair % (1 << 32) << 64) + END_NUMBER[role]))


def vlan_order(ends: Ends, role: Role) -> VlanOrder:
    """Builds the order for the VLAN device of an end.

    Raises:
        ValueError: The pair has no VLAN.
    """
    if ends.vlan is None:
        raise ValueError("a pair without a VLAN has no tagged underlay")
    return VlanOrder(
        name=device(ends, role),
        vlan=ends.vlan,
        addresses=tuple(
            f"{address(ends, role, family)}/{30 if family == 4 else 64}"
            for family in sorted(ends.families)
        ),
        neighbours=tuple(address(ends, other(role), family) for family in sorted(ends.families)),
        remote_mac=ends.nic(other(role)).facts.mac,
    )


def underlay(ends: Ends, role: Role, flow: Flow) -> tuple[str, str, str]:
    """Returns the underlay of a flow's tunnel: interface, local address, remote address."""
    if flow.vlan:
        local, remote = (address(ends, one, flow.outer) for one in (role, other(role)))
        return device(ends, role), local, remote
    facts = ends.nic(role).facts
    return facts.interface, ends.outer(role, flow.outer), ends.outer(other(role), flow.outer)


def insertion(flow: Flow) -> dict[str, bool]:
    """Returns the feature to request so that the NIC, or the kernel, inserts a flow's VLAN tag."""
    return {VLAN_INSERT: flow.vlan == "nic"} if flow.vlan else {}
