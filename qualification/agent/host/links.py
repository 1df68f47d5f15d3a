"""The underlay interface: its state and its addresses."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from qualification.agent.waiting import await_condition
from qualification.messages.protocol import AgentProblem

from .neighbours import arp_probe

_IFF_UP = 1 << 0
_IFF_LOWER_UP = 1 << 16
_IFA_F_DADFAILED = 0x08
_IFA_F_TENTATIVE = 0x40


CARRIER_SECONDS = 20.0
"""How long a link may take to come up after a reset: igb 3 s, some 100G optics 10 s."""


def find(interface: str) -> Any:
    """Returns the link message of an interface.

    Raises:
        AgentProblem: There is none of that name; the hint lists those that there are.
    """
    with IPRoute() as route:
        try:
            return route.get_links(socket.if_nametoindex(interface))[0]
        except (OSError, NetlinkError):
            there = sorted({link.get("ifname") for link in route.get_links()} - {"lo"})
    raise AgentProblem(
        "no-such-interface",
        f"there is no interface {interface!r}",
        hint="this host has: {}".format(", ".join(there) or "none but lo"),
        interfaces=there,
    )


def index_of(interface: str) -> int:
    """Returns the index of an interface, which is faster than `find`.

    Raises:
        AgentProblem: There is none of that name; the hint lists those that there are.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return int(find(interface)["index"])


def addresses(index: int) -> list[str]:
    """Returns the interface addresses of a link, "198.18.0.1/24"."""
    with IPRoute() as route:
        return [
            "{}/{}".format(message.get("address"), message["prefixlen"])
            for message in route.get_addr(index=index)
        ]


def owner_of(address: str) -> str | None:
    """Returns the name of the interface of this host that has an address, or None."""
    wanted = ipaddress.ip_address(address)
    with IPRoute() as route:
        for message in route.get_addr():
            if ipaddress.ip_address(message.get("address")) == wanted:
                name = route.get_links(message["index"])[0].get("ifname")
                return str(name)
    return None


def is_up(interface: str) -> bool:
    """Returns whether an interface is administratively up."""
    return bool(find(interface)["flags"] & _IFF_UP)


def has_carrier(interface: str) -> bool:
    """Returns whether the link is up at both ends."""
    return bool(find(interface)["flags"] & _IFF_LOWER_UP)


def await_carrier(interface: str, stop: Callable[[], bool]) -> None:
    """Waits for the link to be up; a change of features may have reset it.

    Raises:
        AgentProblem: It does not come up.
    """
    if not await_condition(lambda: has_carrier(interface), CARRIER_SECONDS, stop):
        raise AgentProblem(
            "no-link",
            f"{interface} has no link after {CARRIER_SECONDS:.0f} s",
            hint="check the cable, the peer's port and the switch between them",
        )


def set_up(interface: str, up: bool) -> None:
    """Sets an interface administratively up or down."""
    index = index_of(interface)
    with IPRoute() as route:
        route.link("set", index=index, state="up" if up else "down")


def add_address(interface: str, address: str) -> None:
    """Adds an interface address; an IPv6 address can be used after `await_addresses` only.

    Raises:
        AgentProblem: The kernel refuses it.
    """
    index = index_of(interface)
    parsed = ipaddress.ip_interface(address)
    with IPRoute() as route:
        try:
            prefix = parsed.network.prefixlen
            route.addr("add", index=index, address=str(parsed.ip), prefixlen=prefix)
        except NetlinkError as error:
            raise AgentProblem(
                "address-refused",
                f"the kernel refuses {address} on {interface}: {os.strerror(error.code)}",
                hint="check whether IPv6 is disabled there: sysctl net.ipv6.conf.*.disable_ipv6"
                if parsed.version == 6
                else None,
            ) from error


def configure_device(
    route: IPRoute,
    index: int,
    addresses: Sequence[str],
    neighbours: Sequence[str],
    mac: str,
    flags6: int = 0,
) -> None:
    """Adds addresses and permanent neighbours to a device of ours.

    Args:
        route: A socket in the namespace of the device.
        index: Of the device.
        addresses: With prefix lengths, "10.86.1.1/24".
        neighbours: IP addresses of the other end.
        mac: MAC address of the other end.
        flags6: Flags of IPv6 addresses, such as IFA_F_NODAD.
    """
    for address in addresses:
        host, _, prefix = address.partition("/")
        flags = {"flags": flags6} if flags6 and ":" in host else {}
        route.addr("add", index=index, address=host, prefixlen=int(prefix), **flags)
    for neighbour in neighbours:
        route.neigh("add", dst=neighbour, lladdr=mac, ifindex=index, state="permanent")


def await_addresses(interface: str, added: Sequence[str]) -> None:
    """Waits until duplicate address detection has passed for each IPv6 address (RFC 4862, 5.4).

    Raises:
        AgentProblem: Another host on the link has it.
    """
    index = index_of(interface)
    with IPRoute() as route:
        for address in added:
            parsed = ipaddress.ip_interface(address)

            def settled(address: str = address, ip: str = str(parsed.ip)) -> bool:
                flags = _address_flags(route, index, ip)
                if flags & _IFA_F_DADFAILED:
                    raise _taken(address, "another host on the link answers for it")
                return not flags & _IFA_F_TENTATIVE

            if parsed.version == 6 and not await_condition(settled, 5.0, lambda: False):
                raise AgentProblem("address-tentative", f"{address} stays tentative on {interface}")


def remove_address(interface: str, address: str) -> None:
    """Removes an interface address, which may be gone already."""
    index = index_of(interface)
    parsed = ipaddress.ip_interface(address)
    with IPRoute() as route:
        try:
            route.addr(
                "del", index=index, address=str(parsed.ip), prefixlen=parsed.network.prefixlen
            )
        except NetlinkError as error:
            if error.code != errno.EADDRNOTAVAIL:
                raise


def _address_flags(route: IPRoute, index: int, address: str) -> int:
    for message in route.get_addr(index=index):
        if ipaddress.ip_address(message.get("address")) == ipaddress.ip_address(address):
            return int(message.get("flags") or 0)
    return 0


def _taken(address: str, why: str) -> AgentProblem:
    return AgentProblem(
        "address-taken",
        f"underlay address {address} is taken: {why}",
        hint="give this NIC another underlay address in the topology",
    )


def check_address_free(interface: str, address: str) -> None:
    """Checks that no other interface of this host has an address, and that no host answers for it.

    An IPv4 address is checked by ARP probes (RFC 5227, section 2.1.1). The kernel itself checks an
    IPv6 address when it is added.

    Raises:
        AgentProblem: The address is taken.
    """
    parsed = ipaddress.ip_interface(address)
    owner = owner_of(str(parsed.ip))
    if owner is not None and owner != interface:
        raise _taken(address, f"{owner} of this host carries it")
    if owner is None and parsed.version == 4 and has_carrier(interface):
        mac = arp_probe(interface, parsed.ip.packed)
        if mac is not None:
            raise _taken(address, f"{mac} answers for it")
