"""Link snapshot: records what a link loses when it goes down, and restores it.

Linux removes IPv6 addresses, routes and neighbours of an interface when it goes down, whoever added
them (net/ipv6/addrconf.c addrconf_ifdown, net/ipv4/fib_frontend.c fib_disable_ip,
net/core/neighbour.c neigh_ifdown). The messages by which the kernel reports them are those by which
they are added again, as with `ip route save` and `ip route restore`. Routes that the kernel adds by
itself, for addresses or from router advertisements, it adds again by itself.
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
"""Difference between the type of a message, such as RTM_NEWADDR, and that of its request."""
_DUMP, _CREATE, _EXCL = 0x300, 0x400, 0x200
_BODY = {_NEWLINK: 16, _NEWADDR: 8, _NEWROUTE: 12, _NEWNEIGH: 12}
_VOLATILE = {_NEWADDR: {6}, _NEWROUTE: {12}, _NEWNEIGH: {3, 4}}
"""Attributes that change by themselves: cache info, probes."""
_IFLA_LINK, _IFLA_LINK_NETNSID = 5, 37
_IFA_FLAGS, _IFA_ADDRESS = 8, 1
_IFA_TEMPORARY, _IFA_PASSING = 0x01, 0x40 | 0x80 | 0x08
"""Flags of addresses: of those that the kernel adds and renews by itself; and tentative, permanent
and failed, which cannot be requested."""
_RTA_OIF, _RTA_MULTIPATH, _RTA_NH_ID = 4, 9, 30
_RTM_F_CLONED, _RTNH_DEAD, _RTPROT_KERNEL, _RTA_CACHEINFO = 0x200, 0x01 | 0x10, 2, 12
_NUD_PERMANENT = 0x80
_IFF_UP = 1

_MOST = 500
"""Most addresses, routes and neighbours; a link with more of them is left alone."""

_SECONDS = 6.0
"""How long the kernel may take for duplicate address detection, and for the routes that follow."""


class Message:
    """One message of the kernel, without its netlink header.

    Args:
        kind: Its type, such as RTM_NEWADDR.
        data: Body and attributes.
    """

    def __init__(self, kind: int, data: bytes) -> None:
        self.kind, self.data = kind, data
        self.body = data[: _BODY[kind]]
        self.attributes = attributes(data[_BODY[kind] :])

    def number(self, attribute: int) -> int:
        """Returns a 32-bit attribute, or 0 if it is not there."""
        value = self.attributes.get(attribute, b"")
        return int(struct.unpack("=I", value)[0]) if len(value) == 4 else 0

    @property
    def key(self) -> tuple[object, ...]:
        """Returns everything that must be the same after the message is restored."""
        body = bytearray(self.body)
        fixed = {n: v for n, v in self.attributes.items() if n not in _VOLATILE[self.kind]}
        if self.kind == _NEWADDR:
            body[2] &= ~_IFA_PASSING & 0xFF
            fixed[_IFA_FLAGS] = struct.pack("=I", self.number(_IFA_FLAGS) & ~_IFA_PASSING)
        if self.kind == _NEWROUTE:
            body[8:12] = bytes(4)  # flags, such as offloaded or link down
        return self.kind, bytes(body), tuple(sorted(fixed.items()))

    @property
    def link_local(self) -> bool:
        """Returns whether it is an IPv6 address that the kernel adds when a link comes up."""
        return self.kind == _NEWADDR and self.attributes.get(_IFA_ADDRESS, b"")[:2] == b"\xfe\x80"

    @property
    def comes_by_itself(self) -> bool:
        """Returns whether it is a route that the kernel itself adds, or one that expires."""
        info = self.attributes.get(_RTA_CACHEINFO, b"").ljust(12, b"\0")
        expires = struct.unpack_from("=i", info, 8)[0]
        return self.body[5] == _RTPROT_KERNEL or bool(expires)

    def dump(self) -> str:
        """Returns it as text, for the journal."""
        return "{}:{}".format(self.kind, base64.b64encode(self.data).decode("ascii"))

    @classmethod
    def parse(cls, text: str) -> Message:
        """Returns the message of such a text; the inverse of `dump`."""
        kind, _, data = text.partition(":")
        return cls(int(kind), base64.b64decode(data))


def _all(kind: int) -> list[Message]:
    while True:
        answer = talk(kind + _GET, REQUEST | _DUMP, bytes(_BODY[kind]))
        try:
            return [Message(found, data) for found, data in answer if found == kind]
        except InterruptedError:
            continue


def _stacked(interface: str) -> dict[int, bool]:
    """Returns an interface and those stacked on it, such as VLANs: by index whether each is up."""
    here = {struct.unpack_from("=i", link.body, 4)[0]: link for link in _all(_NEWLINK)}
    found = [socket.if_nametoindex(interface)]
    for index in found:
        found += [
            number
            for number, link in here.items()
            if link.number(_IFLA_LINK) == index
            # An index of another namespace means nothing here.
            and _IFLA_LINK_NETNSID not in link.attributes
            and number not in found
        ]
    return {n: bool(struct.unpack_from("=I", here[n].body, 8)[0] & _IFF_UP) for n in found}


def messages_on(ours: set[int]) -> list[Message]:
    """Returns addresses, neighbours and routes of interfaces, in an order in which to add them."""
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
    """Takes a snapshot of a link before it goes down, in JSON types.

    Returns:
        The indexes of the link and of each interface stacked on it, with whether it is up; and
        their addresses, neighbours and routes.

    Raises:
        AgentProblem: There is something that could not be restored.
    """
    numbers = _stacked(interface)
    there = messages_on(set(numbers))
    if len(there) > _MOST or any(_RTA_NH_ID in one.attributes for one in there):
        raise AgentProblem(
            "too-much-to-lose",
            f"{interface} has nexthop objects, or more than {_MOST} addresses and routes, which "
            "would be lost with its link down",
            hint="leave these states out: -k 'not reset and not mtu'",
        )
    return list(numbers.items()), [one.dump() for one in there]


def put_back(interface: str, numbers: Sequence[tuple[int, bool]], there: Sequence[str]) -> None:
    """Restores whatever of a snapshot is missing; the link is up again.

    Args:
        interface: The link that was down.
        numbers: As `record` returned them.
        there: As `record` returned them.

    Raises:
        AgentProblem: Something could not be restored, or is removed again.
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
        now = {message.key: message for message in messages_on(ours)}
        missing = [message for key, message in wanted.items() if key not in now]
        for message in missing:
            refused[message.key] = _add(message)
        surplus = [m for key, m in now.items() if key not in wanted and m.link_local]
        for message in surplus:
            list(talk(_DELADDR, REQUEST | ACK, message.data))
        return not missing and not surplus

    if not await_condition(complete, _SECONDS, _never):
        now = {message.key for message in messages_on(ours)}
        lost = [key for key in wanted if key not in now]
        why = ", ".join(sorted({refused.get(key, "") or "it does not stay" for key in lost}))
        if lost:
            raise AgentProblem(
                "not-put-back",
                f"{interface} has lost {len(lost)} of its addresses, routes and neighbours while "
                f"its link was down, and they could not be restored: {why}",
                hint="restart the network configuration of the host",
            )


def _never() -> bool:
    return False


def settled(interface: str) -> Callable[[], bool]:
    """Returns a condition: duplicate address detection has ended for all addresses of a link."""
    index = socket.if_nametoindex(interface)
    return lambda: (
        not any(
            one.number(_IFA_FLAGS) & 0x40  # IFA_F_TENTATIVE
            for one in messages_on({index})
            if one.kind == _NEWADDR
        )
    )


def _add(message: Message) -> str:
    """Adds something again; returns why the kernel refused, or an empty string."""
    data = bytearray(message.data)
    if message.kind == _NEWROUTE:
        (flags,) = struct.unpack_from("=I", data, 8)
        struct.pack_into("=I", data, 8, flags & ~_RTNH_DEAD)
    try:
        list(talk(message.kind, REQUEST | ACK | _CREATE | _EXCL, bytes(data)))
    except OSError as error:
        return os.strerror(error.errno or 0)
    return ""
