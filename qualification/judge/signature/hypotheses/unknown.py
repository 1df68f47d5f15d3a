"""Hypotheses on sums with an unknown in them that is the same in all frames."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from qualification.judge.signature.bad_field import BadField
from qualification.wire.checksum import ones_sum

from .base import Shared, carried


def _filled(least: int) -> Shared:
    """Returns the hypothesis that padding of one repeated byte was summed and not sent.

    Args:
        least: Length that short frames are padded to, bytes.
    """

    def unknown(s: BadField) -> Sequence[int]:
        missing = least - (s.end - s.packet.start) - (18 if s.tagged else 14)
        if missing <= 0:
            return ()
        weight = ones_sum(bytes(s.size % 2) + b"\1" * missing)
        return [byte * 0x0101 for byte in _bytes(weight, -s.difference % 65535)]

    text = f"a short frame was filled up to {least} bytes with {{value}}, summed and not sent"
    return Shared("pad-summed", text, unknown, lambda s: s.size)


def _bytes(weight: int, total: int) -> range:
    """Returns the bytes other than 0 whose product with a weight is this total, modulo 65535."""
    shared = gcd(weight, 65535)
    if total % shared:
        return range(0)
    step = 65535 // shared
    first = total // shared * pow(weight // shared, -1, step) % step
    return range(first or step, 256, step)


SHARED_SUMS: tuple[Shared, ...] = (
    *(_filled(least) for least in (60, 64, 65)),
    Shared(
        "segment-length",
        "a length of {value} went into the sums of shorter segments",
        lambda s: (used,) if (used := (s.size - s.difference) % 65535) > s.size else (),
        lambda s: s.size,
    ),
)
"""On the checksum of TCP and UDP, with an unknown."""

CONSTANT = Shared("constant", "the field holds {value} in every frame", lambda s: (s.found,))
"""That the field is the same whatever is summed."""

CONSTANT_DIFFERENCE = Shared(
    "constant-difference",
    "a word of the sum is off by {value}, the same in every frame",
    lambda s: (-s.difference % 65535,),
    carried,
)
"""The weakest hypothesis: it says how the values differ and not why."""
