"""Which interface carries the SSH session that we came by: losing it would lose the host.

SSH_CONNECTION is "client-ip client-port server-ip server-port" (sshd(8)), each end as sshd sees it.
The server's address need not be on the interface that packets go by: it can be on `lo`, or be a
link-local one. What leads to the client is. Where the client is this host itself, or unknown, the
session comes through a proxy or a forwarded port, and whatever carries that is found by the default
route.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_MAIN = 254  # RT_TABLE_MAIN
_LOOPBACK = 8  # IFF_LOOPBACK


def carries_ssh(interface: str) -> str | None:
    """Returns why an interface counts as the one of our own SSH session; None if it does not.

    An interface below the one that packets go by, such as a port of a bridge, carries it as well.
    """
    parts = os.environ.get("VXQUAL_SSH_CONNECTION", "").split()
    if not parts:
        return None  # nobody came by SSH
    client, server = (_address(text) for text in (parts[0], parts[2] if len(parts) == 4 else ""))
    with IPRoute() as route:
        links = {int(link["index"]): link for link in route.get_links()}
        found: dict[str, str] = {}
        for index in _owners(route, server, links):
            found.setdefault(str(links[index].get("ifname")), parts[2])
        ways = _way_to(route, client)
        for index in ways:
            if index in links:
                found.setdefault(
                    str(links[index].get("ifname")), f"the way to its client, {parts[0]}"
                )
        if not any(index in links and not links[index]["flags"] & _LOOPBACK for index in ways):
            why = "the default route: its client is behind a proxy or a forwarded port"
            for index in _default_ways(route):
                if index in links:
                    found.setdefault(str(links[index].get("ifname")), why)
    for name, why in found.items():
        if interface in _below(name, links):
            return why
    return None


def _address(text: str) -> Any:
    """Returns an address, which may have a scope ("fe80::1%eth0"); None if it is none."""
    with contextlib.suppress(ValueError):
        address, _, scope = text.partition("%")
        return ipaddress.ip_address(address), scope
    return None


def _owners(route: IPRoute, server: Any, links: dict[int, Any]) -> Iterable[int]:
    if server is None:
        return []
    address, scope = server
    return [
        int(one["index"])
        for one in route.get_addr()
        if ipaddress.ip_address(one.get("address")) == address
        and int(one["index"]) in links
        and (not scope or links[int(one["index"])].get("ifname") == scope)
    ]


def _way_to(route: IPRoute, client: Any) -> list[int]:
    """Returns the interfaces by which packets go to a client."""
    if client is None:
        return []
    address, scope = client
    if scope:
        with contextlib.suppress(OSError):
            return [socket.if_nametoindex(scope)]
    with contextlib.suppress(NetlinkError):  # there is no route
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        return _devices(route.route("get", family=family, dst=str(address)))
    return []


def _default_ways(route: IPRoute) -> list[int]:
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        routes = route.get_routes(family=family, table=_MAIN)
        found += _devices(one for one in routes if not one["dst_len"])
    return found


def _devices(routes: Iterable[Any]) -> list[int]:
    found = []
    for one in routes:
        ways = [one.get("oif"), *(way["oif"] for way in one.get("multipath") or ())]
        found += [int(index) for index in ways if index]
    return found


def _below(name: str, links: dict[int, Any]) -> set[str]:
    """Returns an interface and those below it: from a bridge, bond or VLAN down to its ports."""
    by_name = {str(link.get("ifname")): link for link in links.values()}
    todo, below = [name], set()
    while todo:
        upper = todo.pop()
        if upper in below or upper not in by_name:
            continue
        below.add(upper)
        link = by_name[upper]
        # An index of another namespace, as the other end of a veth often has, means nothing here.
        here = link.get("link_netnsid") is None
        lower = links.get(link.get("link")) if link.get("link") and here else None
        if lower is not None:
            todo.append(str(lower.get("ifname")))
        todo += [
            str(port.get("ifname"))
            for port in links.values()
            if port.get("master") == link["index"]
        ]
    return below
