"""Decodes what the C implementation has found in a frame: `struct walk` and `struct kept`.

What is found is the same as in a walk of the reference, without what the reference only needs on
its way.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from .codes import MOST_PACKETS, MOST_SUMS, Carrier, How, Kind, State
from .walk import Ends, IpPacket, Sum, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

FRAGMENT = 3
"""The bucket of fragments, which C does not count."""

_SUM = struct.Struct("=8x3i2I4B")
_PACKET = struct.Struct("=5ih2B")
_REST = struct.Struct("=2I2i4B")
_HEAD = struct.Struct("=4qQ3I4x")
_PACKETS_AT = MOST_SUMS * _SUM.size
_REST_AT = _PACKETS_AT + MOST_PACKETS * _PACKET.size
WALK_SIZE = (_REST_AT + _REST.size + 7) & ~7
KEPT_SIZE = _HEAD.size + WALK_SIZE

_KINDS, _STATES, _HOWS, _CARRIERS = tuple(Kind), tuple(State), tuple(How), tuple(Carrier)
_NO_ENDS = Ends(0, b"", b"")


class Kept(NamedTuple):
    """`struct kept`: a frame that is handed to Python, without its walk."""

    number: int
    at: int
    captured: int
    wire_length: int
    time: int
    interface: int
    bucket: int
    direction: int


def kept_in(buffer: Buffer, used: int) -> Iterator[tuple[Kept, int]]:
    """Yields the frames in an array of `struct kept`, each with the offset of its walk."""
    for at in range(0, used * KEPT_SIZE, KEPT_SIZE):
        yield Kept._make(_HEAD.unpack_from(buffer, at)), at + _HEAD.size


def walk_of(buffer: Buffer, at: int, data: bytes, link: int, ports: frozenset[int]) -> Walk:
    """Returns the walk in a buffer.

    Args:
        buffer: Holds a `struct walk`.
        at: Its offset there.
        data: The bytes of the frame.
        link: The link type of the capture.
        ports: UDP ports that somebody named as those of VXLAN.
    """
    used, depth, vni, noticed, carrier, is_short, direction, fragment = _REST.unpack_from(
        buffer, at + _REST_AT
    )
    sums, packets = [], []
    for place in range(at, at + used * _SUM.size, _SUM.size):
        start, end, field, stored, computed, kind, inside, state, how = _SUM.unpack_from(
            buffer, place
        )
        sums.append(
            Sum(
                _KINDS[kind], inside, _STATES[state], _HOWS[how],
                start, end, field, stored, computed,
            )
        )  # fmt: skip
    at += _PACKETS_AT
    for place in range(at, at + depth * _PACKET.size, _PACKET.size):
        start, l4, end, source, destination, protocol, family, carried = _PACKET.unpack_from(
            buffer, place
        )
        packets.append(
            IpPacket(family, start, l4, end, protocol, _CARRIERS[carried], source, destination)
        )
    return Walk(
        data, ports, 0, sums=sums, packets=packets, vni=vni, noticed=noticed,
        carrier=_CARRIERS[carrier], is_short=bool(is_short), direction=direction,
        fragment=fragment, link=link, ends=_NO_ENDS,
    )  # fmt: skip
