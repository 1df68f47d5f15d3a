"""A VLAN device on the NIC under test, for tunnels whose outer packets carry an 802.1Q tag.

It is in the namespace of the NIC, with underlay addresses of its own. The other end is a permanent
neighbour, so that no solicitation is broadcast into a VLAN that may have other members. The kernel
submits each frame to the driver with the tag in the skb's metadata (net/8021q/vlan_dev.c,
vlan_dev_hard_start_xmit); if the NIC does not insert tags, it puts the tag into the frame just
before (net/core/dev.c, validate_xmit_vlan).
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from collections.abc import Sequence

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from qualification.messages.host import VlanOrder
from qualification.messages.protocol import AgentProblem

from . import links, tc_vlan

_KIND = "vlan"
_IFA_F_NODAD = 0x02
"""Skips duplicate address detection, which takes a second: the addresses of both ends are ours."""


def check(interface: str, order: VlanOrder) -> None:
    """Checks that a VLAN device collides with nothing on the host.

    Raises:
        AgentProblem: The host has an interface of that name, or one of the addresses' networks.
    """
    with IPRoute() as route:
        if route.link_lookup(ifname=order.name):
            raise AgentProblem(
                "name-taken", f"this host has an interface {order.name} that is not ours"
            )
        there = [
            ipaddress.ip_interface("{}/{}".format(one.get("address"), one["prefixlen"]))
            for one in route.get_addr()
        ]
    for address in map(ipaddress.ip_interface, order.addresses):
        if any(one.version == address.version and one.ip in address.network for one in there):
            raise AgentProblem(
                "address-taken",
                f"this host has an address in {address.network}, which the tagged underlay of "
                f"{interface} needs",
            )


def make(interface: str, order: VlanOrder) -> str:
    """Makes a VLAN device, up, with its addresses and its neighbours.

    Returns:
        The interface that has the tagged underlay's addresses: that device, or the NIC itself if
        the kernel has no VLAN devices (see `tc_vlan`).

    Raises:
        AgentProblem: The kernel supports neither, or the NIC has that VLAN already.
    """
    below = links.find(interface)
    where = order.name
    with IPRoute() as route:
        try:
            route.link(
                "add", ifname=order.name, kind=_KIND, link=below["index"], vlan_id=order.vlan
            )
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                raise AgentProblem(
                    "vlan-taken",
                    f"{interface} has VLAN {order.vlan} already",
                    hint="give the pair another vlan in the topology",
                ) from error
            if error.code != errno.EOPNOTSUPP:
                raise
            tc_vlan.make(interface, order)
            where = interface
        index = links.index_of(where)
        route.link("set", index=index, state="up")
        ours, theirs = order.addresses, order.neighbours
        links.configure_device(route, index, ours, theirs, order.remote_mac, _IFA_F_NODAD)
    return where


def remove(
    interface: str, name: str, addresses: Sequence[str], neighbours: Sequence[str], clsact: bool
) -> None:
    """Removes what `make` made, as far as it exists.

    Args:
        interface: The NIC.
        name: Of the VLAN device; an interface of that name that is no VLAN of the NIC is kept.
        addresses: Those of the order.
        neighbours: Those of the order.
        clsact: Whether the NIC had a clsact qdisc before.
    """
    below = links.index_of(interface)
    with IPRoute() as route:
        for number in route.link_lookup(ifname=name):
            if route.get_links(number)[0].get("link") == below:
                route.link("del", index=number)
                return
        tc_vlan.remove(interface, keep=clsact)
        for neighbour in neighbours:
            with contextlib.suppress(NetlinkError):  # `make` may have failed before it
                route.neigh("del", dst=neighbour, ifindex=below)
    for address in addresses:
        links.remove_address(interface, address)
