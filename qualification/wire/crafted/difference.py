"""Describes in words, field by field, how a frame differs from an expected one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qualification.wire.packet import TCP

if TYPE_CHECKING:
    from collections.abc import Iterable

_ETHERNET = ((0, 6, "destination MAC"), (6, 12, "source MAC"))
_IPV4 = (
    (0, 1, "version and header length"),
    (1, 2, "DSCP and ECN"),
    (2, 4, "total length"),
    (6, 8, "DF and fragment offset"),
    (8, 9, "TTL"),
    (9, 10, "protocol"),
    (12, 16, "source address"),
    (16, 20, "destination address"),
)
_IPV6 = (
    (0, 4, "traffic class and flow label"),
    (4, 6, "payload length"),
    (6, 7, "next header"),
    (7, 8, "hop limit"),
    (8, 24, "source address"),
    (24, 40, "destination address"),
)
_UDP = ((0, 2, "source port"), (2, 4, "destination port"), (4, 6, "length"))
_TCP = (
    (0, 2, "source port"),
    (2, 4, "destination port"),
    (4, 8, "sequence number"),
    (8, 12, "acknowledgment number"),
    (12, 13, "data offset"),
    (13, 14, "flags"),
    (14, 16, "window"),
    (18, 20, "urgent pointer"),
)


def nearest(found: bytes, expected: Iterable[bytes]) -> bytes | None:
    """Returns the expected frame that has most bytes in common with a frame, or None."""
    return max(expected, key=lambda frame: _similarity(found, frame), default=None)


def _similarity(one: bytes, other: bytes) -> int:
    """Returns the number of equal bytes at the same offset, less the difference in length."""
    same = sum(a == b for a, b in zip(one, other))  # noqa: B905  (Python 3.9)
    return same - abs(len(one) - len(other))


def differences(found: bytes, expected: bytes, l3: int, l4: int, protocol: int) -> list[str]:
    """Describes the fields in which a frame differs from the expected one.

    Args:
        found: The frame, in the form of `packet.canonical`.
        expected: The expected frame, in the same form.
        l3: Offset of the expected frame's IP header.
        l4: Offset of its L4 header.
        protocol: IP protocol number of L4.

    Returns:
        Sentences such as "TCP flags are 0x18, should be 0x10"; none if there is no difference.
    """
    texts = []
    four = expected[l3] >> 4 == 4
    header = l4 + (8 if protocol != TCP else (expected[l4 + 12] >> 4) * 4)
    for start, name, fields in (
        (0, "Ethernet", _ETHERNET),
        (l3, "IPv4" if four else "IPv6", _IPV4 if four else _IPV6),
        (l4, "TCP" if protocol == TCP else "UDP", _TCP if protocol == TCP else _UDP),
    ):
        for first, end, field in fields:
            a, b = found[start + first : start + end], expected[start + first : start + end]
            if a != b:
                texts.append(f"{name} {field} is 0x{a.hex()}, should be 0x{b.hex()}")
    if found[12:l3] != expected[12:l3]:
        texts.append(f"VLAN tags are {found[12:l3].hex()}, should be {expected[12:l3].hex()}")
    fixed = 20 if four else 40
    if found[l3 + fixed : l4] != expected[l3 + fixed : l4]:
        texts.append("IP options or extension headers are not those sent")
    if len(found) != len(expected):
        texts.append(
            f"it has {len(found) - header} bytes of payload, should have {len(expected) - header}"
        )
    pairs = zip(found[header:], expected[header:])  # noqa: B905  (Python 3.9)
    wrong = [at for at, (one, other) in enumerate(pairs) if one != other]
    if wrong:
        texts.append(f"{len(wrong)} bytes of the payload differ, the first at {wrong[0]}")
    return texts
