"""What a link loses when it is taken down, and how it gets it back.

Linux takes IPv6 addresses, routes and neighbours of an interface away when it goes down, whoever
made them (net/ipv6/addrconf.c addrconf_ifdown, net/ipv4/fib_frontend.c fib_disable_ip,
net/core/neighbour.c neigh_ifdown). The messages in which the kernel tells of them are those by
which it is given them, as `ip route save` and `ip route restore` do. What it makes by itself, from
addresses or from what routers announce, comes back by itself.
"""

from __future__ import annotations

import base64
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence

from qualification.agent.waiting import await_condition
from qualification.messages.protocol import AgentProblem

from . import links
from .rtnetlink import ACK, REQUEST, attributes, talk

# include/uapi/linux/rtnetlink.h, if_addr.h, neighbour.h, if_link.h
_NEWLINK, _NEWADDR, _NEWROUTE, _NEWNEIGH = 16, 20, 24, 28
_DELADDR = 21
_GET = 2
"""From a type that tells of something to the one that asks for it."""
_DUMP, _CREATE, _EXCL = 0x300, 0x400, 0x200
_BODY = {_NEWLINK: 16, _NEWADDR: 8, _NEWROUTE: 12, _NEWNEIGH: 12}
_VOLATILE = {_NEWADDR: {6}, _NEWROUTE: {12}, _NEWNEIGH: {3, 4}}
"""Attributes that move by themselves: cache info, probes."""
_IFLA_LINK, _IFLA_LINK_NETNSID = 5, 37
_IFA_FLAGS, _IFA_ADDRESS = 8, 1
_IFA_TEMPORARY, _IFA_PASSING = 0x01, 0x40 | 0x80 | 0x08
"""Made and renewed by the kernel; and tentative, permanent, failed: nothing that can be asked."""
_RTA_OIF, _RTA_MULTIPATH, _RTA_NH_ID = 4, 9, 30
_RTM_F_CLONED, _RTNH_DEAD, _RTPROT_KERNEL, _RTA_CACHEINFO = 0x200, 0x01 | 0x10, 2, 12
_NUD_PERMANENT = 0x80
_IFF_UP = 1

_MOST = 500
"""Addresses, routes and neighbours; more of them are not put at risk."""

_SECONDS = 6.0
"""For the kernel to find addresses free, and to make what follows from them."""


class Message:
    """One message of the kernel's, without its netlink header.

    Args:
        kind: Its type, such as RTM_NEWADDR.
        data: Body and attributes.
    """

    def __init__(self, kind: int, data: bytes) -> None:
        self.kind, self.data = kind, data
        self.body = data[: _BODY[kind]]
        self.attributes = attributes(data[_BODY[kind] :])

    def number(self, attribute: int) -> int:
        """A 32 bit attribute; 0 if it is not there."""
        value = self.attributes.get(attribute, b"")
        return int(struct.unpack("=I", value)[0]) if len(value) == 4 else 0

    @property
    def key(self) -> tuple[object, ...]:
        """What has to be the same again."""
        body = bytearray(self.body)
        fixed = {n: v for n, v in self.attributes.items() if n not in _VOLATILE[self.kind]}
        if self.kind == _NEWADDR:
            body[2] &= ~_IFA_PASSING & 0xFF
            fixed[_IFA_FLAGS] = struct.pack("=I", self.number(_IFA_FLAGS) & ~_IFA_PASSING)
        if self.kind == _NEWROUTE:
            body[8:12] = bytes(4)  # flags: offloaded, link down
        return self.kind, bytes(body), tuple(sorted(fixed.items()))

    @property
    def link_local(self) -> bool:
        """Whether it is an IPv6 address that the kernel gives a link when it comes up."""
        return self.kind == _NEWADDR and self.attributes.get(_IFA_ADDRESS, b"")[:2] == b"\xfe\x80"

    @property
    def comes_by_itself(self) -> bool:
        """Whether it is a route of the kernel's own, or one that expires."""
        info = self.attributes.get(_RTA_CACHEINFO, b"").ljust(12, b"\0")
        expires = struct.unpack_from("=i", info, 8)[0]
        return self.body[5] == _RTPROT_KERNEL or bool(expires)

    def dump(self) -> str:
        """As text, for the journal."""
        return "{}:{}".format(self.kind, base64.b64encode(self.data).decode("ascii"))

    @classmethod
    def parse(cls, text: str) -> Message:
        """The inverse of `dump`."""
        kind, _, data = text.partition(":")
        return cls(int(kind), base64.b64decode(data))


def _all(kind: int) -> list[Message]:
    while True:
        asked = talk(kind + _GET, REQUEST | _DUMP, bytes(_BODY[kind]))
        try:
            return [Message(told, data) for told, data in asked if told == kind]
        except InterruptedError:
            continue


def _stacked(interface: str) -> dict[int, bool]:
    """An interface and those stacked on it, such as VLANs: whether each is up, by number."""
    here = {struct.unpack_from("=i", link.body, 4)[0]: link for link in _all(_NEWLINK)}
    found = [socket.if_nametoindex(interface)]
    for index in found:
        found += [
            number
            for number, link in here.items()
            if link.number(_IFLA_LINK) == index
            # A number of another namespace is nobody's here.
            and _IFLA_LINK_NETNSID not in link.attributes
            and number not in found
        ]
    return {n: bool(struct.unpack_from("=I", here[n].body, 8)[0] & _IFF_UP) for n in found}


def _on(ours: set[int]) -> list[Message]:
    """Addresses, neighbours and routes of interfaces, in the order in which they can be made."""
    addresses = [
        one
        for one in _all(_NEWADDR)
        if struct.unpack_from("=I", one.body, 4)[0] in ours
        and not one.number(_IFA_FLAGS) & _IFA_TEMPORARY
    ]
    neighbours = [
        one
        for one in _all(_NEWNEIGH)
        if struct.unpack_from("=i", one.body, 4)[0] in ours
        and one.body[0] in (socket.AF_INET, socket.AF_INET6)
        and struct.unpack_from("=H", one.body, 8)[0] & _NUD_PERMANENT
    ]
    routes = [
        one
        for one in _all(_NEWROUTE)
        if one.body[0] in (socket.AF_INET, socket.AF_INET6)
        and not struct.unpack_from("=I", one.body, 8)[0] & _RTM_F_CLONED
        and ours & set(_devices(one))
        and not one.comes_by_itself
    ]
    return addresses + neighbours + routes


def _devices(route: Message) -> Iterator[int]:
    if _RTA_OIF in route.attributes:
        yield route.number(_RTA_OIF)
    ways, at = route.attributes.get(_RTA_MULTIPATH, b""), 0
    while at + 8 <= len(ways):  # struct rtnexthop
        size, _, _, index = struct.unpack_from("=HBBi", ways, at)
        yield index
        at += max(8, size + 3 & ~3)


def record(interface: str) -> tuple[list[tuple[int, bool]], list[str]]:
    """What is there before a link goes down, in JSON types.

    Returns:
        The numbers of it and of each interface on it, with whether it is up; and all that belongs
        to them.

    Raises:
        AgentProblem: There is something that could not be put back.
    """
    numbers = _stacked(interface)
    there = _on(set(numbers))
    if len(there) > _MOST or any(_RTA_NH_ID in one.attributes for one in there):
        raise AgentProblem(
            "too-much-to-lose",
            f"{interface} has nexthop objects, or more than {_MOST} addresses and routes, which "
            "would be lost with its link down",
            hint="leave the link alone: -k 'not reset and not mtu'",
        )
    return list(numbers.items()), [one.dump() for one in there]


def put_back(interface: str, numbers: Sequence[tuple[int, bool]], there: Sequence[str]) -> None:
    """Gives interfaces back what of a record is not there now; the link is up.

    Args:
        interface: That was down.
        numbers: As `record` had them.
        there: The same.

    Raises:
        AgentProblem: Something could not be put back, or does not stay.
    """
    wanted = {message.key: message for message in map(Message.parse, there)}
    index = links.index_of(interface)
    ours = {number for number, _ in numbers}
    if index not in ours:
        raise AgentProblem("no-such-interface", f"{interface} is another one now")
    for number, up in numbers:
        flags = struct.pack("=BxHiII", 0, 0, number, _IFF_UP if up else 0, _IFF_UP)
        list(talk(_NEWLINK, REQUEST | ACK, flags))
    refused: dict[object, str] = {}

    def complete() -> bool:
        now = {message.key: message for message in _on(ours)}
        missing = [message for key, message in wanted.items() if key not in now]
        for message in missing:
            refused[message.key] = _give(message)
        surplus = [m for key, m in now.items() if key not in wanted and m.link_local]
        for message in surplus:
            list(talk(_DELADDR, REQUEST | ACK, message.data))
        return not missing and not surplus

    if not await_condition(complete, _SECONDS, _never):
        now = {message.key for message in _on(ours)}
        lost = [key for key in wanted if key not in now]
        why = ", ".join(sorted({refused.get(key, "") or "it does not stay" for key in lost}))
        if lost:
            raise AgentProblem(
                "not-put-back",
                f"{interface} has lost {len(lost)} of its addresses, routes and neighbours with "
                f"its link down: {why}",
                hint="have the host's network set up again",
            )


def _never() -> bool:
    return False


def settled(interface: str) -> Callable[[], bool]:
    """A condition: the kernel has found every address of an interface free."""
    index = socket.if_nametoindex(interface)
    return lambda: (
        not any(
            one.number(_IFA_FLAGS) & 0x40  # IFA_F_TENTATIVE
            for one in _on({index})
            if one.kind == _NEWADDR
        )
    )


def _give(message: Message) -> str:
    """Has the kernel make something again; says why it did not."""
    data = bytearray(message.data)
    if message.kind == _NEWROUTE:
        (flags,) = struct.unpack_from("=I", data, 8)
        struct.pack_into("=I", data, 8, flags & ~_RTNH_DEAD)
    try:
        list(talk(message.kind, REQUEST | ACK | _CREATE | _EXCL, bytes(data)))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""
