"""Hypotheses on checksums that were written at the wrong offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qualification.judge.signature.bad_field import BadField
from qualification.wire.checksum import ones_sum

from .base import Hypothesis, Shared, carried, field


def _left(s: BadField) -> bool:
    """Returns whether the field is as the kernel left it, the pseudo-header sum or 0, and wrong.

    Payloads may be crafted so that every checksum is 0: what such frames have in common shows
    nothing.
    """
    if s.right % 65535 == 0:
        return False
    return s.found == 0 or s.found % 65535 in {
        s.pseudo_sum % 65535,
        (s.pseudo_sum - s.size) % 65535,
    }


def _clipped(at: int) -> Hypothesis:
    """Returns the hypothesis that the checksum was written at an offset that it does not cover."""

    def values(s: BadField) -> Sequence[int]:
        if int.from_bytes(s.frame[at : at + 2], "big") != s.right:
            return ()
        outside = at + 2 <= s.packet.l4 or at >= s.end
        return (s.found,) if outside and _left(s) else ()

    text = f"the right checksum was written at offset {at} of the frame, not in its field"
    return Hypothesis("offset-clipped", text, values, alone=False)


_HEADERS_END = 160  # at most: tagged Ethernet, IPv6, UDP, VXLAN, Ethernet, IPv6 with extensions

CLIPPED: tuple[Hypothesis, ...] = tuple(_clipped(at) for at in range(_HEADERS_END))
"""For each offset, that the checksum was written there. They are preferred to `SUMS`."""


def clipped(bad_fields: Iterable[BadField]) -> Iterator[Hypothesis]:
    """Returns those of `CLIPPED` at whose offset some frame has its right checksum.

    No other can explain anything, so that this only saves time.
    """
    found = {at for s in bad_fields for one in (s, s.meant) if one for at in _held(one)}
    return (CLIPPED[at] for at in sorted(found))


def _held(s: BadField) -> Iterator[int]:
    """Yields the offsets at which a frame's headers hold the right checksum."""
    word = s.right.to_bytes(2, "big")
    at = s.frame.find(word, 0, _HEADERS_END + 1)
    while at >= 0:
        yield at
        at = s.frame.find(word, at + 1, _HEADERS_END + 1)


def _clipped_start(start: int) -> Shared:
    """Returns the hypothesis that the sum starts, and is written, too far ahead.

    A receiver sums the checksum that was written along with the rest, so that its sum gives the
    word that was overwritten. The unknown is that word, which is the same in all frames.
    """

    def unknown(s: BadField) -> Sequence[int]:
        if start >= s.packet.l4 or not _left(s):
            return ()
        outer = s.other
        if outer and start <= outer.at < s.at and outer.difference == 0:
            return ()  # a right checksum in the range makes every sum the same
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
"""That the checksum was written over a word that is summed."""
