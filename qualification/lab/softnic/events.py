"""What a NIC notices of its interface: the link going down, features, and the MTU.

The kernel reports these on a netlink socket in the interface's namespace.

Sources: rtnetlink(7), include/uapi/linux/if_link.h, `rtnetlink_event` (net/core/rtnetlink.c).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from struct import Struct

from .tap import inside

_RTMGRP_LINK = 1
_RTM_NEWLINK = 16
_IFF_UP = 1
_IFLA_IFNAME, _IFLA_MTU, _IFLA_EVENT = 3, 4, 44
_IFLA_EVENT_FEATURES = 2

_MESSAGE = Struct("=IHHII")  # struct nlmsghdr
_LINK = Struct("=BxHiII")  # struct ifinfomsg
_ATTRIBUTE = Struct("=HH")  # struct rtattr
_TYPE_MASK = 0x3FFF


class Watch:
    """A netlink socket that receives the events of one interface.

    Args:
        namespace: The namespace of the interface, by its name for `ip netns`.
        interface: Name of the interface.
    """

    def __init__(self, namespace: str, interface: str) -> None:
        with inside(namespace):
            self._socket = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
            )
        self._socket.bind((0, _RTMGRP_LINK))
        self._interface, self._up, self._mtu = interface.encode(), False, 0

    def close(self) -> None:
        """Closes the socket."""
        self._socket.close()

    def heard(self) -> tuple[int, int, int]:
        """Reads the events since the last call, without waiting.

        Returns:
            How often the interface went down, how often its features were switched, and how often
            its MTU changed while it was up.
        """
        downs = toggles = resizes = 0
        for flags, event, mtu in self._messages():
            up = bool(flags & _IFF_UP)
            downs += self._up and not up
            toggles += event == _IFLA_EVENT_FEATURES
            resizes += self._up and up and mtu not in (0, self._mtu)
            self._up, self._mtu = up, mtu or self._mtu
        return downs, toggles, resizes

    def _messages(self) -> Iterator[tuple[int, int, int]]:
        """Yields flags, event and MTU of every message about the interface."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(1 << 16)
                except OSError as error:
                    if isinstance(error, BlockingIOError):
                        raise
                    continue  # ENOBUFS: more events than fit, which no lab has
                at = 0
                while at + _MESSAGE.size <= len(data):
                    length, kind, *_ = _MESSAGE.unpack_from(data, at)
                    if kind == _RTM_NEWLINK:
                        yield from self._read(data[at + _MESSAGE.size : at + length])
                    at += (length + 3) & ~3

    def _read(self, link: bytes) -> Iterator[tuple[int, int, int]]:
        *_, flags, _ = _LINK.unpack_from(link)
        name, event, mtu, at = b"", 0, 0, _LINK.size
        while at + _ATTRIBUTE.size <= len(link):
            length, kind = _ATTRIBUTE.unpack_from(link, at)
            value = link[at + _ATTRIBUTE.size : at + length]
            if kind & _TYPE_MASK == _IFLA_IFNAME:
                name = value.rstrip(b"\0")
            elif kind & _TYPE_MASK == _IFLA_EVENT:
                event = int.from_bytes(value, "little")
            elif kind & _TYPE_MASK == _IFLA_MTU:
                mtu = int.from_bytes(value, "little")
            at += max(length + 3 & ~3, _ATTRIBUTE.size)
        if name == self._interface:
            yield flags, event, mtu
