"""Checksums written at the wrong offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qualification.judge.signature.bad_field import BadField
from qualification.wire.checksum import ones_sum

from .base import Hypothesis, Shared, carried, field


def _left(s: BadField) -> bool:
    """The field is as the kernel left it, the seed or 0, where something else is due.

    Payloads crafted for it make 0 of every sum: what such frames have in common shows nothing.
    """
    if s.right % 65535 == 0:
        return False
    return s.found == 0 or s.found % 65535 in {s.seed % 65535, (s.seed - s.size) % 65535}


def _clipped(at: int) -> Hypothesis:
    """The right checksum, written outside of what it covers, at a fixed offset."""

    def values(s: BadField) -> Sequence[int]:
        if int.from_bytes(s.frame[at : at + 2], "big") != s.right:
            return ()
        outside = at + 2 <= s.packet.l4 or at >= s.end
        return (s.found,) if outside and _left(s) else ()

    text = f"the right checksum was written at offset {at} of the frame, not in its field"
    return Hypothesis("offset-clipped", text, values, alone=False)


_HEADERS_END = 160  # at most: tagged Ethernet, IPv6, UDP, VXLAN, Ethernet, IPv6 with extensions

CLIPPED: tuple[Hypothesis, ...] = tuple(_clipped(at) for at in range(_HEADERS_END))
"""A field's offset cut off; where it hits, it says more than `SUMS` do."""


def clipped(bad_fields: Iterable[BadField]) -> Iterator[Hypothesis]:
    """Those of `CLIPPED` that may explain something: some frame has its right checksum there."""
    found = {at for s in bad_fields for one in (s, s.meant) if one for at in _held(one)}
    return (CLIPPED[at] for at in sorted(found))


def _held(s: BadField) -> Iterator[int]:
    """Where a frame's headers hold the right checksum."""
    word = s.right.to_bytes(2, "big")
    at = s.frame.find(word, 0, _HEADERS_END + 1)
    while at >= 0:
        yield at
        at = s.frame.find(word, at + 1, _HEADERS_END + 1)


def _clipped_start(start: int) -> Shared:
    """The sum starts, and is written, too far ahead, over a word that is the same in all frames.

    A receiver sums the written checksum along with the rest, so what it gets is the word written
    over.
    """

    def unknown(s: BadField) -> Sequence[int]:
        if start >= s.packet.l4 or not _left(s):
            return ()
        around = s.other
        if around and start <= around.at < s.at and around.off == 0:
            return ()  # a right checksum in the range makes the same of every sum
        return (field(ones_sum(s.frame[start : s.end])),)

    text = f"the sum starts at offset {start} of the frame, and was written as far ahead"
    return Shared("offset-clipped", text, unknown, carried)


CLIPPED_OVER: tuple[Shared, ...] = (
    Shared(
        "offset-clipped",
        "the checksum was written over another word of what it covers, which held {value}",
        lambda s: (s.right,) if _left(s) else (),
        carried,
    ),
    *(_clipped_start(start) for start in range(0, _HEADERS_END, 2)),
)
"""The same, where it was written over something that is summed."""
