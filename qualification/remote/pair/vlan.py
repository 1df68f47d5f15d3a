"""The tagged underlay of a pair: a VLAN device on each NIC, with addresses of its own. Pure."""

from __future__ import annotations

from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from qualification.inventory import Ends, Role, other
from qualification.messages.host import VlanOrder
from qualification.plan.extra_flows import VLAN_INSERT
from qualification.plan.flows import Flow

_NUMBER = {"dut": 1, "peer": 2}
_FOUR = int(IPv4Address("198.19.0.0"))
"""Its upper half is set apart for tests of network devices as 198.18 is, which topologies name."""
_SIX = int(IPv6Address("fd56:584c::"))


def device(ends: Ends, role: Role) -> str:
    """The VLAN device on a NIC: a name that pairs on one host do not share, of 15 characters."""
    nic = ends.nic(role).name
    return "vxq" + blake2b(nic.encode(), digest_size=6).hexdigest()


def address(ends: Ends, role: Role, family: Literal[4, 6]) -> str:
    """The address of an end, in a network that other pairs of the same hosts hardly share."""
    names = f"{ends.dut.name} {ends.peer.name}".encode()
    pair = int.from_bytes(blake2b(names, digest_size=8).digest(), "big")
    if family == 4:
        return str(IPv4Address(_FOUR + (pair % (1 << 14)) * 4 + _NUMBER[role]))
    return str(IPv6Address(_SIX + (pair % (1 << 32) << 64) + _NUMBER[role]))


def vlan_order(ends: Ends, role: Role) -> VlanOrder:
    """The VLAN device of an end.

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
    """Where the tunnel of a flow begins: interface, its address, and the other end's."""
    if flow.vlan:
        local, remote = (address(ends, one, flow.outer) for one in (role, other(role)))
        return device(ends, role), local, remote
    facts = ends.nic(role).facts
    return facts.interface, ends.outer(role, flow.outer), ends.outer(other(role), flow.outer)


def insertion(flow: Flow) -> dict[str, bool]:
    """What is asked of the DUT so that the tag is inserted by whom the flow says."""
    return {VLAN_INSERT: flow.vlan == "nic"} if flow.vlan else {}
