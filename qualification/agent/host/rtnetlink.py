"""rtnetlink in its own bytes: for messages that are kept and given back as they came, and in haste.

All else goes by pyroute2, which knows what the attributes mean, and takes milliseconds for a
question that the kernel answers in microseconds.

Source: include/uapi/linux/netlink.h, rtnetlink.h, if_link.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator, Sequence

REQUEST, ACK = 0x001, 0x004
_DONE, _ERROR, _INTERRUPTED = 3, 2, 0x10
_DELLINK, _GETLINK, _SETLINK = 17, 18, 19
_IFINFO, _IFLA_STATS64, _IFLA_GROUP = struct.Struct("=BxHiII"), 23, 27
_STATS = (
    "rx_packets", "tx_packets", "rx_bytes", "tx_bytes", "rx_errors", "tx_errors", "rx_dropped",
    "tx_dropped", "multicast", "collisions", "rx_length_errors", "rx_over_errors", "rx_crc_errors",
    "rx_frame_errors", "rx_fifo_errors", "rx_missed_errors", "tx_aborted_errors",
    "tx_carrier_errors",
)  # fmt: skip
"""The first of struct rtnl_link_stats64, all of them u64."""


def talk(kind: int, flags: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Asks the kernel of this namespace; yields the messages of its answer.

    Args:
        kind: Of the message, such as RTM_GETLINK.
        flags: `REQUEST`, and `ACK` unless it is a dump: the answer's end must be told.
        data: Body and attributes.

    Yields:
        Kind and data of each.

    Raises:
        OSError: The kernel refuses.
        InterruptedError: What was dumped changed meanwhile.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as route:
        route.bind((0, 0))
        route.send(struct.pack("=IHHII", 16 + len(data), kind, flags, 1, 0) + data)
        while True:
            answer = route.recv(1 << 20)
            at = 0
            while at + 16 <= len(answer):
                size, told, marks = struct.unpack_from("=IHH", answer, at)
                if marks & _INTERRUPTED:
                    raise InterruptedError("it changed while it was read")
                if told == _DONE:
                    return
                if told == _ERROR:
                    (error,) = struct.unpack_from("=i", answer, at + 16)
                    if error:
                        raise OSError(-error, os.strerror(-error))
                    return
                yield told, answer[at + 16 : at + size]
                at += size + 3 & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by number, without the flags of nesting and byte order."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        size, name = struct.unpack_from("=HH", data, at)
        found[name & 0x3FFF] = data[at + 4 : at + size]
        at += max(4, size + 3 & ~3)
    return found


def statistics(index: int) -> dict[str, int]:
    """What the kernel counts of an interface, by the names of `ip -s link` in JSON.

    Raises:
        OSError: There is no interface of this number.
    """
    asked = _IFINFO.pack(0, 0, index, 0, 0)
    found: dict[str, int] = {}
    for _kind, answer in talk(_GETLINK, REQUEST | ACK, asked):
        stats = attributes(answer[_IFINFO.size :]).get(_IFLA_STATS64, b"")
        found = dict(zip(_STATS, struct.unpack_from(f"={len(_STATS)}Q", stats)))  # noqa: B905
    return found


def delete(indexes: Sequence[int], group: int) -> None:
    """Deletes interfaces of this namespace all at once.

    One by one, the kernel waits 20 ms for each until nobody looks at it any more.

    Args:
        indexes: Theirs.
        group: Of interfaces (`ip link set group`), in which there are no others.

    Raises:
        OSError: There is no interface of such a number, or one cannot be deleted.
    """
    into = struct.pack("=HHI", 8, _IFLA_GROUP, group)
    for index in indexes:
        _ask(_SETLINK, _IFINFO.pack(0, 0, index, 0, 0) + into)
    if indexes:
        _ask(_DELLINK, _IFINFO.pack(0, 0, 0, 0, 0) + into)


def _ask(kind: int, data: bytes) -> None:
    """Has the kernel do what it answers with nothing but that it is done."""
    for _ in talk(kind, REQUEST | ACK, data):
        pass
