"""Hypotheses on what went into the checksum of TCP and UDP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from struct import unpack_from

from qualification.judge.signature.bad_field import BadField

from .base import Hypothesis, Values, field
from .ranges import paddings, range_sum, ranges, wrong_ranges


def _sum(make: Callable[[BadField], int]) -> Values:
    """Returns the values of the field for the sum that was taken."""
    return lambda s: (field(make(s)),)


def _more(make: Callable[[BadField], int], extras: Callable[[BadField], Iterable[int]]) -> Values:
    """Returns the values of the field for a sum with the length of a super-packet in it."""
    return lambda s: [field(make(s) + extra) for extra in extras(s)]


def _last(s: BadField) -> int | None:
    """Returns the last byte of an odd number of bytes; None where the number is even."""
    return s.frame[s.end - 1] if s.size % 2 else None


def _words(data: bytes) -> int:
    """Returns the sum of 16-bit words without folding the carries."""
    even = data + b"\0" * (len(data) % 2)
    return sum(unpack_from(f">{len(even) // 2}H", even))


def _uncarried(s: BadField) -> Iterator[int]:
    """Yields checksums without the carries out of 16 bits: all of them, or those of one fold."""
    covered = s.frame[s.packet.l4 : s.at] + b"\0\0" + s.frame[s.at + 2 : s.end]
    words = _words(covered)
    for pseudo in {s.pseudo_sum % 65535, _words(s.packet.addresses) + s.protocol + s.size}:
        total = pseudo + words
        yield 0xFFFF - (total & 0xFFFF)
        yield 0xFFFF - (((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def _before_inner(s: BadField) -> Iterator[int]:
    """Yields outer checksums taken while the inner field held 0 or its pseudo-header sum."""
    inside = s.other
    if inside is None or inside.at < s.at:
        return
    without = s.pseudo_sum + s.rest - int.from_bytes(s.frame[inside.at : inside.at + 2], "big")
    yield field(without)
    for pseudo in (inside.pseudo_sum, inside.pseudo_sum - inside.size):
        yield field(without + pseudo)


def _before_super(s: BadField) -> Iterator[int]:
    """Returns outer checksums taken while it held the pseudo-header sum of a super-packet."""
    with_pseudo = list(_before_inner(s))[1:2]
    return (value - extra for value in with_pseudo for extra in s.extras | s.rests)


def _other_pseudo(s: BadField) -> Iterator[int]:
    """Yields checksums with the pseudo-header of the other packet, or with its addresses."""
    if s.other:
        yield field(s.other.pseudo_sum + s.rest)
        yield field(s.other.addresses + s.protocol + s.size + s.rest)


def _swapped(s: BadField) -> Iterator[int]:
    yield field((s.pseudo_sum + s.rest) << 8)


SUMS: tuple[Hypothesis, ...] = (
    Hypothesis(
        "zero-not-ffff",
        "the sum came to 0, which goes out as 0xffff, and was sent as 0",
        lambda s: (0,) if s.right == 0xFFFF else (),
        exact=True,
    ),
    Hypothesis(
        "zero-left",
        "the field holds 0 where a checksum is required",
        lambda s: (0,) if s.right % 65535 else (),
        exact=True,
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the pseudo-header sum: nothing was summed",
        lambda s: (s.pseudo_sum,),
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the pseudo-header sum, without a length: nothing was summed",
        lambda s: (s.pseudo_sum - s.size,),
    ),
    Hypothesis(
        "seed-left",
        "the field holds the complement of the pseudo-header sum: nothing else was summed",
        lambda s: (field(s.pseudo_sum), field(s.pseudo_sum - s.size)),
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the pseudo-header sum of the super-packet: nothing was summed",
        lambda s: [s.pseudo_sum + extra for extra in s.extras],
        alone=False,
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the pseudo-header sum of the super-packet: nothing was summed",
        lambda s: [s.pseudo_sum + extra for extra in s.extras | s.rests],
        alone=False,
    ),
    Hypothesis(
        "not-complemented", "the sum was not complemented", lambda s: (s.pseudo_sum + s.rest,)
    ),
    Hypothesis("byte-swapped", "the checksum is in the wrong byte order", _swapped),
    Hypothesis(
        "byte-swapped",
        "the pseudo-header's sum went in, in the wrong byte order",
        _sum(lambda s: (s.pseudo_sum << 8) + s.rest),
    ),
    Hypothesis(
        "byte-swapped",
        "all but the pseudo-header was summed in the wrong byte order",
        _sum(lambda s: s.pseudo_sum + (s.rest << 8)),
    ),
    Hypothesis(
        "byte-swapped",
        "length and protocol of the pseudo-header went in, in the wrong byte order",
        lambda s: (
            field(s.addresses + ((s.protocol + s.size) << 8) + s.rest),
            field(s.addresses + s.protocol + (s.size << 8) + s.rest),
        ),
        alone=False,
    ),
    Hypothesis(
        "pseudo-omitted", "the pseudo-header is missing from the sum", _sum(lambda s: s.rest)
    ),
    Hypothesis(
        "pseudo-twice",
        "the pseudo-header is in the sum twice",
        _sum(lambda s: 2 * s.pseudo_sum + s.rest),
    ),
    Hypothesis(
        "pseudo-part",
        "the length is missing from the pseudo-header's sum",
        _sum(lambda s: s.pseudo_sum - s.size + s.rest),
    ),
    Hypothesis(
        "pseudo-part",
        "the length is in the pseudo-header's sum twice",
        _sum(lambda s: s.pseudo_sum + s.size + s.rest),
    ),
    Hypothesis(
        "pseudo-part",
        "the addresses are missing from the pseudo-header's sum",
        _sum(lambda s: s.protocol + s.size + s.rest),
    ),
    Hypothesis(
        "other-pseudo",
        "the pseudo-header of the other packet, of the tunnel or in it, went into the sum",
        _other_pseudo,
        alone=False,
    ),
    Hypothesis(
        "other-checksum",
        "the field holds the checksum of the other packet, of the tunnel or in it",
        lambda s: (s.other.right,) if s.other else (),
    ),
    Hypothesis(
        "inner-unfinished",
        "the outer sum was taken before the inner checksum was filled in",
        _before_inner,
        alone=False,
    ),
    Hypothesis(
        "inner-unfinished",
        "the outer sum was taken while the inner field held the pseudo-header sum of the "
        "super-packet",
        _before_super,
        alone=False,
    ),
    Hypothesis(
        "last-exact",
        "the length of an empty segment went into the sum",
        lambda s: (field(s.pseudo_sum - s.data + s.rest),) if s.data else (),
    ),
    Hypothesis(
        "segment-length",
        "the length of a full segment went into the sum of a shorter one",
        lambda s: (field(s.pseudo_sum + s.full - s.data + s.rest),) if s.full > s.data else (),
    ),
    Hypothesis(
        "super-length",
        "the length of the super-packet went into the sum of each segment",
        _more(lambda s: s.pseudo_sum + s.rest, lambda s: s.extras),
        alone=False,
    ),
    Hypothesis(
        "super-length",
        "the length of the super-packet went into the sum of each segment",
        _more(lambda s: s.pseudo_sum + s.rest, lambda s: s.extras | s.rests),
        alone=False,
    ),
    Hypothesis(
        "odd-byte",
        "the last byte of an odd number is missing from the sum",
        lambda s: (
            (field(s.pseudo_sum + s.rest - (odd << 8)),) if (odd := _last(s)) is not None else ()
        ),
    ),
    Hypothesis(
        "odd-byte",
        "the last byte of an odd number went into the wrong half of its word",
        lambda s: (
            (field(s.pseudo_sum + s.rest - odd * 255),) if (odd := _last(s)) is not None else ()
        ),
    ),
    Hypothesis(
        "pad-summed",
        "the padding behind the packet went into the sum",
        ranges(lambda s: [(s.packet.l4, end) for end in paddings(s)]),
    ),
    Hypothesis(
        "pad-summed",
        "the padding behind the packet went into the sum, and into its length",
        lambda s: [
            field(s.pseudo_sum + end - s.end + (range_sum(s, s.packet.l4, end) or 0))
            for end in paddings(s)
        ],
    ),
    *wrong_ranges(),
    Hypothesis(
        "carry-lost", "one carry is missing from the sum", lambda s: (s.right + 1,), alone=False
    ),
    Hypothesis(
        "carry-lost",
        "one or two carries are missing from the sum",
        lambda s: (s.right + 1, s.right + 2),
        alone=False,
    ),
    Hypothesis(
        "carry-lost", "carries out of 16 bits are missing from the sum", _uncarried, alone=False
    ),
    Hypothesis("stale", "the field holds the checksum of the frame before", lambda s: s.before[:1]),
    Hypothesis(
        "stale",
        "the field holds the checksum of a frame shortly before",
        lambda s: s.before,
        alone=False,
    ),
)
"""On the checksum of TCP and UDP."""
