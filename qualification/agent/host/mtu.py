"""The MTU of a link: changed for a moment, and put back exactly, with what follows it.

It is raised, never lowered: then no packet of the host's own is too large meanwhile, and the kernel
gives routes, neighbours and stacked interfaces no reason to follow (net/ipv6/route.c,
rt6_mtu_change; net/8021q/vlan.c and drivers/net/macvlan.c follow a smaller one only). What it does
set is IPv6's own MTU of the interface (net/ipv6/addrconf.c, NETDEV_CHANGEMTU).
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
"""Bytes by which it is raised: any change has a driver set its rings up anew."""

Before = Sequence[Sequence[int]]
"""Interface number, MTU, and IPv6's MTU there (0 without): of the link and of what is on it."""


def most(link: Any) -> int:
    """The largest MTU that a link takes, by its message; 0 where the kernel does not say."""
    return int(link.get("max_mtu") or 0)


def larger(interface: str) -> int:
    """A larger MTU than it has.

    Raises:
        AgentProblem: It takes none.
    """
    link = links.find(interface)
    mtu, limit = int(link.get("mtu")), most(link)
    if limit <= mtu:
        raise AgentProblem(
            "no-larger-mtu",
            f"{interface} takes no larger MTU than {mtu}",
            hint="leave it as it is: -k 'not mtu'",
        )
    return min(limit, mtu + _MORE)


def record(numbers: Sequence[tuple[int, bool]]) -> list[list[int]]:
    """What is there before the MTU changes, of the interfaces that `link_snapshot.record` numbers."""
    found = []
    with IPRoute() as route:
        for number, _up in numbers:
            link = route.get_links(number)[0]
            found.append([number, int(link.get("mtu")), _six(str(link.get("ifname")))])
    return found


def change(interface: str, mtu: int, there: Sequence[str]) -> None:
    """Raises the MTU.

    Args:
        interface: The link.
        mtu: For it.
        there: What belongs to it, as `link_snapshot.record` has it.

    Raises:
        AgentProblem: The kernel would change a route with it, for good.
    """
    if any(route_mtu(message) > mtu for message in map(link_snapshot.Message.parse, there)):
        raise AgentProblem(
            "mtu-of-a-route",
            f"{interface} has an IPv6 route with a larger MTU than its own, which the kernel cuts "
            "down when that of the link changes",
            hint="leave it as it is: -k 'not mtu'",
        )
    index = links.index_of(interface)
    with IPRoute() as route:
        route.link("set", index=index, mtu=mtu)


def route_mtu(message: link_snapshot.Message) -> int:
    """The MTU that an IPv6 route has of its own, and not locked; 0 of anything else."""
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
    """Sets every MTU of a record that is not as it was.

    Raises:
        AgentProblem: The interface is another one now.
    """
    if links.index_of(interface) != before[0][0]:
        raise AgentProblem("no-such-interface", f"{interface} is another one now")
    with IPRoute() as route:
        there = {link["index"] for link in route.get_links()}
        for number, mtu, six in before:
            if number not in there:
                continue
            if int(route.get_links(number)[0].get("mtu")) != mtu:
                route.link("set", index=number, mtu=mtu)
            name = socket.if_indextoname(number)
            if six and _six(name) != six:
                _six_file(name).write_text(str(six), encoding="ascii")


def _six_file(name: str) -> Path:
    return Path("/proc/sys/net/ipv6/conf", name, "mtu")


def _six(name: str) -> int:
    try:
        return int(_six_file(name).read_text(encoding="ascii"))
    except OSError:
        return 0
