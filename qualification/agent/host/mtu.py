"""Changes the MTU of a link for a moment, and restores it exactly, with what follows it.

The MTU is raised, never lowered: no packet of the host is too large meanwhile, and the kernel does
not change routes, neighbours and stacked interfaces with it (net/ipv6/route.c, rt6_mtu_change;
net/8021q/vlan.c and drivers/net/macvlan.c follow a smaller MTU only). It does set IPv6's own MTU of
the interface (net/ipv6/addrconf.c, NETDEV_CHANGEMTU).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from qualification.messages.protocol import AgentProblem

from . import link_snapshot, links

_NEWROUTE, _RTA_METRICS, _RTAX_LOCK, _RTAX_MTU = 24, 8, 1, 2  # include/uapi/linux/rtnetlink.h
_MORE = 64
"""Bytes by which it is raised: any change makes a driver set up its rings again."""

Before = Sequence[Sequence[int]]
"""Interface index, MTU and IPv6's MTU (0 without IPv6), of the link and those stacked on it."""


def most(link: Any) -> int:
    """Returns the largest MTU of a link, from its message; 0 if the kernel does not report it."""
    return int(link.get("max_mtu") or 0)


def larger(interface: str) -> int:
    """Returns an MTU larger than the interface has.

    Raises:
        AgentProblem: The interface allows none.
    """
    link = links.find(interface)
    mtu, limit = int(link.get("mtu")), most(link)
    if limit <= mtu:
        raise AgentProblem(
            "no-larger-mtu",
            f"{interface} allows no larger MTU than {mtu}",
            hint="leave the state out: -k 'not mtu'",
        )
    return min(limit, mtu + _MORE)


def record(numbers: Sequence[tuple[int, bool]]) -> list[list[int]]:
    """Returns the MTUs of the interfaces of `link_snapshot.record`, before they change."""
    found = []
    with IPRoute() as route:
        for number, _up in numbers:
            link = route.get_links(number)[0]
            found.append([number, int(link.get("mtu")), six(str(link.get("ifname")))])
    return found


def change(interface: str, mtu: int, there: Sequence[str]) -> None:
    """Raises the MTU.

    Args:
        interface: The link.
        mtu: The new MTU.
        there: Addresses, neighbours and routes, as `link_snapshot.record` returned them.

    Raises:
        AgentProblem: The kernel would change a route permanently.
    """
    if any(route_mtu(message) > mtu for message in map(link_snapshot.Message.parse, there)):
        raise AgentProblem(
            "mtu-of-a-route",
            f"{interface} has an IPv6 route with a larger MTU than its own, which the kernel "
            "lowers when that of the link changes",
            hint="leave the state out: -k 'not mtu'",
        )
    index = links.index_of(interface)
    with IPRoute() as route:
        route.link("set", index=index, mtu=mtu)


def route_mtu(message: link_snapshot.Message) -> int:
    """Returns the MTU metric of an IPv6 route if it is not locked; 0 for anything else."""
    if message.kind != _NEWROUTE or message.body[0] != socket.AF_INET6:
        return 0
    metrics, at = message.attributes.get(_RTA_METRICS, b""), 0
    found: dict[int, int] = {}
    while at + 8 <= len(metrics):
        size, name, value = struct.unpack_from("=HHI", metrics, at)
        found[name] = value
        at += max(4, size + 3 & ~3)
    locked = found.get(_RTAX_LOCK, 0) & 1 << _RTAX_MTU
    return 0 if locked else found.get(_RTAX_MTU, 0)


def put_back(interface: str, before: Before) -> None:
    """Restores every MTU of a record that has changed.

    Raises:
        AgentProblem: The interface is another one now.
    """
    if links.index_of(interface) != before[0][0]:
        raise AgentProblem("no-such-interface", f"{interface} is another one now")
    with IPRoute() as route:
        there = {link["index"] for link in route.get_links()}
        for number, mtu, former in before:
            if number not in there:
                continue
            if int(route.get_links(number)[0].get("mtu")) != mtu:
                route.link("set", index=number, mtu=mtu)
            name = socket.if_indextoname(number)
            if former and six(name) != former:
                set_six(name, former)


def set_six(name: str, value: int) -> None:
    """Sets IPv6's own MTU of an interface."""
    _six_file(name).write_text(str(value), encoding="ascii")


def _six_file(name: str) -> Path:
    return Path("/proc/sys/net/ipv6/conf", name, "mtu")


def six(name: str) -> int:
    """Returns IPv6's own MTU of an interface; 0 without IPv6."""
    try:
        return int(_six_file(name).read_text(encoding="ascii"))
    except OSError:
        return 0
