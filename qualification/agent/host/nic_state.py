"""The state of a NIC: all that an agent can change of it, read before and after, and compared.

It is read before the first change and kept in the journal, so that it is compared by whoever undoes
the changes. What differs then was changed by a driver on the way, or by somebody else; nobody but
`vxqual restore` puts it back.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool

from qualification.agent.waiting import await_condition
from qualification.messages.protocol import AgentProblem

from . import features, link_snapshot, links, mtu
from .facts import numbers

Part = dict[str, str]
State = Mapping[str, Part]
"""Values by name, such as "rx": "512", by the part of the NIC that they are about."""

_ROOT = 0xFFFFFFFF  # TC_H_ROOT
_NEVER_UP = ("", "noop")
"""The qdisc of a link that was never up; it gets another when it is first brought up."""
_THERE = "there"
_PERMANENT = 0x80  # IFA_F_PERMANENT, include/uapi/linux/if_addr.h
_NEWNEIGH, _NEWROUTE = 28, 24
_BY_HAND = (3, 4)  # RTPROT_BOOT, RTPROT_STATIC: others, such as a routing daemon's, come and go
_RTA_DST, _RTA_GATEWAY, _RTA_PRIORITY = 1, 5, 6
_NDA_DST, _NDA_LLADDR = 1, 2
_SETTLING_SECONDS = 6.0
"""How long addresses may take to come back after their link was down, with duplicate detection."""
_SIDES = ("rx", "tx")


def read(interface: str) -> dict[str, Part]:
    """Returns the state of a NIC; a part that its driver or the kernel cannot report is left out.

    Raises:
        AgentProblem: There is no such interface.
    """
    index = int(links.find(interface)["index"])
    parts: dict[str, Callable[[], Part]] = {
        "link": lambda: _link(interface),
        "feature": lambda: _features(interface),
        "rings": lambda: _numbers(interface, "get_rings", ("rx", "rx_mini", "rx_jumbo", "tx")),
        "channels": lambda: _numbers(
            interface, "get_channels", ("rx_count", "tx_count", "other_count", "combined_count")
        ),
        "coalescing": lambda: _coalescing(interface),
        "qdisc": lambda: _qdiscs(index),
        "VLAN": lambda: _vlans(index),
        "address": lambda: _addresses(index),
        "neighbour": lambda: dict(_neighbours(index)),
        "route": lambda: dict(_routes(index)),
    }
    found = {}
    for part, look in parts.items():
        try:
            found[part] = look()
        except AgentProblem:
            raise
        except Exception:  # noqa: S112  (a driver's own error: the part cannot be compared)
            continue
    return found


def differences(before: State, now: State) -> list[str]:
    """Returns what is not as it was, a sentence for each value."""
    found = []
    for part, old in before.items():
        new = now.get(part, old)
        for name in [*old, *(name for name in new if name not in old)]:
            was, is_now = old.get(name), new.get(name)
            if was == is_now or (part == "qdisc" and was in _NEVER_UP):
                continue
            what = name if part == "link" else f"{part} {name}"
            if was is None:
                found.append(f"{what} was added{_value(is_now)}")
            elif is_now is None:
                found.append(f"{what} is gone{_value(was)}")
            else:
                found.append(f"{what} is {is_now}, and was {was}")
    return found


def _value(text: str | None) -> str:
    return "" if text == _THERE else f" ({text})"


def compare(interface: str, index: int, before: State) -> bool:
    """Compares a NIC with its former state; returns False if it is the same.

    Args:
        interface: The NIC.
        index: The number that the interface had.
        before: As `read` returned it.

    Raises:
        AgentProblem: It is not the same ("left-changed"), or another interface has the name.
    """
    _check_same(interface, index)
    found = _settled(interface, before)
    if found:
        raise AgentProblem("left-changed", "; ".join(found))
    return False


def put_back(interface: str, index: int, before: State) -> str | bool:
    """As `compare`, after features, rings, channels, MTU and link were set to their former values.

    Returns:
        What was put back, in words; False if it was the same.

    Raises:
        AgentProblem: Something still differs, or another interface has the name.
    """
    _check_same(interface, index)
    found = _settled(interface, before)
    if not found:
        return False
    now = read(interface)
    for part, act in _SETTERS.items():
        if before.get(part, {}) != now.get(part, {}):
            act(interface, before[part])
    still = _settled(interface, before)
    done = [line for line in found if line not in still]
    if still:
        also = f" (put back: {'; '.join(done)})" if done else ""
        raise AgentProblem("left-changed", "; ".join(still) + also)
    return "state interface={}: {}".format(interface, "; ".join(done))


def _settled(interface: str, before: State) -> list[str]:
    """Returns the differences that stay."""
    found: list[str] = []

    def same() -> bool:
        found[:] = differences(before, read(interface))
        return not found

    await_condition(same, _SETTLING_SECONDS, lambda: _stays(found))
    return found


def _stays(found: list[str]) -> bool:
    """Returns whether there is a difference that no waiting helps against."""
    return not all(line.startswith(("address ", "route ")) and " is gone" in line for line in found)


def _check_same(interface: str, index: int) -> None:
    if links.index_of(interface) != index:
        raise AgentProblem("no-such-interface", f"{interface} is another one now")


def _link(interface: str) -> Part:
    link = links.find(interface)
    six = mtu.six(interface)
    found = {"link": "up" if link["flags"] & 1 else "down", "MTU": str(link.get("mtu"))}
    return found | ({"MTU of IPv6": str(six)} if six else {})


def _features(interface: str) -> Part:
    # As `ethtool -k` shows them.
    found = {}
    for name, feature in features.read(interface).items():
        asked = f" [requested {_on(feature.wanted)}]" if feature.wanted != feature.active else ""
        found[name] = _on(feature.active) + (asked if feature.hw else "")
    return found


def _on(value: bool) -> str:
    return "on" if value else "off"


def _asked(text: str) -> bool:
    """Returns what is to be requested for a value of `_features`."""
    return text.rpartition("requested ")[2].rstrip("]") == "on"


def _numbers(interface: str, query: str, names: tuple[str, ...]) -> Part:
    return {name: str(value) for name, value in numbers(interface, query, names).items()}


def _coalescing(interface: str) -> Part:
    """Returns the interrupt coalescing; not of a side that adapts it by itself."""
    adaptive = _numbers(
        interface, "get_coalesce", tuple(f"use_adaptive_{side}_coalesce" for side in _SIDES)
    )
    found = dict(adaptive)
    for side in _SIDES:
        if adaptive.get(f"use_adaptive_{side}_coalesce") == "0":
            names = (f"{side}_coalesce_usecs", f"{side}_max_coalesced_frames")
            found.update(_numbers(interface, "get_coalesce", names))
    return found


def _qdiscs(index: int) -> Part:
    with IPRoute() as route:
        ours = [one for one in route.get_qdiscs() if one["index"] == index]
    root = [str(one.get("kind")) for one in ours if one["parent"] == _ROOT]
    kinds = {str(one.get("kind")) for one in ours}
    return {"root": " ".join(root)} | dict.fromkeys(sorted(kinds & {"clsact", "ingress"}), _THERE)


def _vlans(index: int) -> Part:
    found = {}
    with IPRoute() as route:
        for link in route.get_links():
            info = link.get("linkinfo")
            here = link.get("link_netnsid") is None
            if info and info.get("kind") == "vlan" and link.get("link") == index and here:
                number = info.get("data").get("vlan_id")
                found[str(number)] = str(link.get("ifname"))
    return found


def _addresses(index: int) -> Part:
    found = {}
    with IPRoute() as route:
        for one in route.get_addr(index=index):
            flags = one.get("flags")
            if (one["flags"] if flags is None else flags) & _PERMANENT:
                found["{}/{}".format(one.get("address"), one["prefixlen"])] = _THERE
    return found


def _neighbours(index: int) -> Iterator[tuple[str, str]]:
    for one in _messages(index, _NEWNEIGH):
        yield _ip(one, _NDA_DST), one.attributes.get(_NDA_LLADDR, b"").hex(":")


def _routes(index: int) -> Iterator[tuple[str, str]]:
    for one in _messages(index, _NEWROUTE):
        if one.body[5] in _BY_HAND:
            to = f"{_ip(one, _RTA_DST) or 'default'}/{one.body[1]}"
            yield f"{to} metric {one.number(_RTA_PRIORITY)}", f"via {_ip(one, _RTA_GATEWAY) or '-'}"


def _messages(index: int, kind: int) -> list[link_snapshot.Message]:
    return [one for one in link_snapshot.messages_on({index}) if one.kind == kind]


def _ip(message: link_snapshot.Message, attribute: int) -> str:
    data = message.attributes.get(attribute, b"")
    if len(data) not in (4, 16):
        return ""
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def _set_features(interface: str, before: Part) -> None:
    now = features.read(interface)
    wanted = {name: _asked(text) for name, text in before.items() if name in now and now[name].hw}
    features.request(interface, wanted)


def _set_numbers(get: str, put: str, suffix: str) -> Callable[[str, Part], None]:
    def act(interface: str, before: Part) -> None:
        with closing(IoctlEthtool(interface)) as ethtool:
            asked: Any = getattr(ethtool, get)()
            for name, value in before.items():
                setattr(asked, name + suffix, int(value))
            getattr(ethtool, put)(asked)

    return act


def _set_link(interface: str, before: Part) -> None:
    index = links.index_of(interface)
    with IPRoute() as route:
        route.link("set", index=index, mtu=int(before["MTU"]))
        route.link("set", index=index, state=before["link"])
    if "MTU of IPv6" in before:
        mtu.set_six(interface, int(before["MTU of IPv6"]))


_SETTERS: Mapping[str, Callable[[str, Part], None]] = {
    "link": _set_link,
    "rings": _set_numbers("get_rings", "set_rings", ""),
    "channels": _set_numbers("get_channels", "set_channels", "_count"),
    "coalescing": _set_numbers("get_coalesce", "set_coalesce", ""),
    "feature": _set_features,
}
"""What puts parts back; the features last, as a driver may change them with the others."""
