"""Checks that an interface is a NIC itself, and not something made of others or of nothing."""

from __future__ import annotations

import shlex
from typing import Any

from pyroute2 import IPRoute

from qualification.agent.host import links
from qualification.messages.protocol import AgentProblem

_ETHERNET = 1  # ARPHRD_ETHER, include/uapi/linux/if_arp.h
_NAME_ANOTHER = "name the interface of a NIC; this host has: {}"

NOT_NICS = {
    "veth": "its frames cross to the other end unfinished, and nothing fills in their checksums",
    "dummy": "it drops every frame",
    "ifb": "it gives every frame back to the stack",
    "nlmon": "it carries no frames",
    "vrf": "it routes, and sends no frames itself",
}
"""Kinds of Ethernet devices (IFLA_INFO_KIND) that have no hardware, and why none can be a DUT.

TAPs are not among them: the hardware of a TAP is the process that holds it.
"""

_STACKED = ("bond", "team", "bridge", "openvswitch")
"""Kinds whose lower devices are their ports. All others name theirs in IFLA_LINK."""


def kind_of(link: Any) -> str | None:
    """Returns the kind of a link message, such as "veth"; None for most hardware."""
    info = link.get("linkinfo")
    kind = info.get("kind") if info else None
    return str(kind) if kind else None


def check_is_nic(interface: str) -> None:
    """Checks that an interface sends and receives frames by hardware of its own, or as a TAP.

    Raises:
        AgentProblem: It is no Ethernet device, has no hardware, or is stacked on other devices.
    """
    link = links.find(interface)
    with IPRoute() as route:
        there = {one["index"]: one for one in route.get_links()}
    kind = kind_of(link)
    lower = _lower(link, kind, there)
    if lower or kind in _STACKED:
        below = " and ".join(lower) or "no device"
        raise AgentProblem(
            "lower-device",
            f"{interface} is a {kind or 'device'} on top of {below}, so a tap on it does not show "
            "what a NIC was given",
            hint=f"name {'one of these NICs' if len(lower) > 1 else below} instead of {interface}"
            if lower
            else _NAME_ANOTHER.format(_others(there, interface)),
            lower=lower,
        )
    why = NOT_NICS.get(kind or "")
    if link["ifi_type"] != _ETHERNET:
        why = "it carries no Ethernet frames"
    if why is not None:
        what = "the loopback device" if interface == "lo" else f"a {kind or 'device'}"
        raise AgentProblem(
            "no-nic",
            f"{interface} is {what} and no NIC: {why}",
            hint=_NAME_ANOTHER.format(_others(there, interface)),
        )


def check_is_no_port(interface: str) -> None:
    """Checks that no bridge, bond or the like takes the frames that an interface receives.

    Raises:
        AgentProblem: It is a port of one.
    """
    master = links.find(interface).get("master")
    if not master:
        return
    with IPRoute() as route:
        [upper] = route.get_links(master)
    name, kind = upper.get("ifname"), kind_of(upper)
    if kind == "vrf":  # its members keep their frames; only their routes are in a table of its own
        return
    raise AgentProblem(
        "port-of-another",
        f"{interface} is a port of the {kind or 'device'} {name}, which takes the frames that "
        "arrive",
        hint=f"take it out for the run: ip link set {shlex.quote(interface)} nomaster",
        upper=name,
    )


def _lower(link: Any, kind: str | None, there: dict[int, Any]) -> list[str]:
    """Returns the names of the devices that a device is stacked on."""
    if kind in _STACKED:
        ports = [one for one in there.values() if one.get("master") == link["index"]]
        return sorted(str(port.get("ifname")) for port in ports)
    number = link.get("link")
    # The "lower device" of a veth is its other end; an index of another namespace says nothing.
    if not number or number == link["index"] or kind == "veth":
        return []
    if link.get("link_netnsid") is not None:
        return ["a device of another namespace"]
    return [str(there[number].get("ifname"))] if number in there else []


def _others(there: dict[int, Any], interface: str) -> str:
    names = (one.get("ifname") for one in there.values() if kind_of(one) in (None, "tun"))
    return ", ".join(sorted({*map(str, names)} - {"lo", interface})) or "none"
