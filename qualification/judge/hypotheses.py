"""What hardware may have done to a checksum, and the value that it would have left in the field.

A hypothesis gives, for one specimen, the values that it allows: one, or a few where something is
not known. A shared one has an unknown that must come out the same in all frames. Values are
residues modulo 65535, so 0x0000 and 0xffff are one, unless a hypothesis is about just that.

The order is that of preference: where two explain as many frames, the first is named. Ties that
cannot be broken, for the bytes are the same: `odd-byte` where every length is odd, and a range one
byte short; a range 2, 4 or 8 bytes early, where addresses are full of zeros; a sum of nothing, and
the complement of the seed, where there is no payload. An offset clipped such that the checksum
lands in the payload is `seed-left`, which is true as well.

Sources: RFC 768, 1071, 1624 and 8200; net/ipv4/tcp_offload.c and udp_offload.c for the seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from struct import unpack_from

from qualification.wire.checksum import ones_sum

from .specimen import Specimen

Values = Callable[[Specimen], Iterable[int]]


@dataclass(frozen=True)
class Hypothesis:
    """One thing that hardware may have done.

    Attributes:
        name: Such as "seed-left"; several may have the same.
        text: What it did, in words that follow a layer's name and a colon.
        values: What it would have left in the field.
        exact: Values are compared as they are, not as residues.
        alone: It has no parameter to choose, so that a single frame can speak for it.
    """

    name: str
    text: str
    values: Values
    exact: bool = False
    alone: bool = True

    def candidates(self, specimen: Specimen) -> frozenset[int]:
        """The wrong values that it allows for a specimen."""
        if self.exact:
            return frozenset(self.values(specimen))
        values = {value % 65535 for value in self.values(specimen)}
        if specimen.meant is not None:
            values.update(value % 65535 for value in self.values(specimen.meant))
        return frozenset(values - {specimen.right % 65535})

    def fits(self, specimen: Specimen, candidates: frozenset[int]) -> bool:
        """Whether one of its candidates is what was found."""
        return (specimen.found if self.exact else specimen.found % 65535) in candidates


@dataclass(frozen=True)
class Shared:
    """A hypothesis with an unknown that has to be the same in all frames.

    Attributes:
        name: As of a `Hypothesis`.
        text: The same, with {value} for the unknown.
        unknown: What it may have been, for one specimen: nothing where it does not apply, one
            value, or a few where several come to the same.
        differs: What sets frames apart for it: frames alike in it are one observation.
    """

    name: str
    text: str
    unknown: Callable[[Specimen], Sequence[int]]
    differs: Callable[[Specimen], object] = lambda s: s.right


def carried(s: Specimen) -> bytes:
    """What sets frames apart where sums do not: a segment that is sent again is no news."""
    return s.frame[s.payload : s.end]


def field(total: int) -> int:
    """The field that a sum makes."""
    return -total % 65535


def _sum(make: Callable[[Specimen], int]) -> Values:
    """A hypothesis about the sum that went into the field, complement and all."""
    return lambda s: (field(make(s)),)


def _more(make: Callable[[Specimen], int], extras: Callable[[Specimen], Iterable[int]]) -> Values:
    """The same with the length of a super-packet in it."""
    return lambda s: [field(make(s) + extra) for extra in extras(s)]


def _range(s: Specimen, start: int, end: int) -> int | None:
    """Sum of another range of the frame, without the field; None where there is no such range."""
    if start < 0 or end > len(s.frame) or start >= end:
        return None
    total = ones_sum(s.frame[start:end])
    if start <= s.at and s.at + 2 <= end:
        held = int.from_bytes(s.frame[s.at : s.at + 2], "big")
        total -= held if (s.at - start) % 2 == 0 else held << 8
    return total


def _ranges(
    bounds: Callable[[Specimen], Iterable[tuple[int, int]]], *, seeded: bool = True
) -> Values:
    def values(s: Specimen) -> Iterator[int]:
        for start, end in bounds(s):
            total = _range(s, start, end)
            if total is not None:
                yield field(total + (s.seed if seeded else 0))

    return values


def _last(s: Specimen) -> int | None:
    """The odd byte; None of an even number."""
    return s.frame[s.end - 1] if s.size % 2 else None


def _paddings(s: Specimen) -> list[int]:
    """Where the padding behind the packet may end: with the tunnel's payload, or the frame's."""
    outer = s.other.end if s.other and s.other.end > s.end else s.end
    return [end for end in {outer, len(s.frame)} if end > s.end]


def _words(data: bytes) -> int:
    """Sum of 16-bit words with all its carries."""
    even = data + b"\0" * (len(data) % 2)
    return sum(unpack_from(f">{len(even) // 2}H", even))


def _uncarried(s: Specimen) -> Iterator[int]:
    """Sums whose carries out of 16 bits are lost: all of them, or those of the first fold."""
    covered = s.frame[s.packet.l4 : s.at] + b"\0\0" + s.frame[s.at + 2 : s.end]
    words = _words(covered)
    for seed in {s.seed % 65535, _words(s.packet.addresses) + s.protocol + s.size}:
        total = seed + words
        yield 0xFFFF - (total & 0xFFFF)
        yield 0xFFFF - (((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def _before_inner(s: Specimen) -> Iterator[int]:
    """Outer sums taken while the inner field still held its seed, or 0."""
    inside = s.other
    if inside is None or inside.at < s.at:
        return
    without = s.seed + s.rest - int.from_bytes(s.frame[inside.at : inside.at + 2], "big")
    yield field(without)
    for seed in (inside.seed, inside.seed - inside.size):
        yield field(without + seed)


def _before_super(s: Specimen) -> Iterator[int]:
    """The same with the seed of a super-packet."""
    seeded = list(_before_inner(s))[1:2]
    return (seed - extra for seed in seeded for extra in s.extras | s.rests)


def _other_pseudo(s: Specimen) -> Iterator[int]:
    """Sums with the pseudo-header of the other packet, or with its addresses."""
    if s.other:
        yield field(s.other.seed + s.rest)
        yield field(s.other.addresses + s.protocol + s.size + s.rest)


def _started(n: int, *, moved: bool) -> Values:
    """The range starts n bytes late, and ends as much later if the whole of it is `moved`."""

    def bounds(s: Specimen) -> Iterator[tuple[int, int]]:
        yield s.packet.l4 + n, s.end + (n if moved else 0)

    with_seed, without = _ranges(bounds), _ranges(bounds, seeded=False)
    return lambda s: (*with_seed(s), *without(s))


def _tagged(values: Values) -> Values:
    return lambda s: values(s) if s.tagged else ()


def _behind_fixed_header(s: Specimen) -> Iterator[tuple[int, int]]:
    fixed = s.packet.start + (20 if s.packet.family == 4 else 40)
    if fixed != s.packet.l4:
        yield fixed, s.end


def _headers_only(s: Specimen) -> Iterator[tuple[int, int]]:
    yield s.packet.l4, s.payload
    if s.other and s.other.at > s.at:
        inside = s.other
        for end in (s.payload + 8, inside.packet.start, inside.packet.l4, inside.payload):
            yield s.packet.l4, end


def _early_late(n: int) -> str:
    return f"{abs(n)} byte{'s' if abs(n) > 1 else ''} {'late' if n > 0 else 'early'}"


def _wrong_ranges() -> Iterator[Hypothesis]:
    yield Hypothesis(
        "wrong-range",
        "the header is missing from the sum",
        _ranges(lambda s: [(s.payload, s.end)]),
    )
    yield Hypothesis(
        "wrong-range",
        "header and pseudo-header are missing from the sum",
        _ranges(lambda s: [(s.payload, s.end)], seeded=False),
    )
    yield Hypothesis(
        "wrong-range", "only headers are summed, no payload", _ranges(_headers_only), alone=False
    )
    yield Hypothesis(
        "wrong-range",
        "the sum starts right behind the fixed IP header, as if there were no others",
        _ranges(_behind_fixed_header),
    )
    for n in (4, -4):
        for moved, also in ((False, ""), (True, ", and ends as much off")):
            text = f"the sum starts {_early_late(n)} behind a VLAN tag{also}"
            yield Hypothesis("vlan-shift", text, _tagged(_started(n, moved=moved)), alone=False)
    for n in (4, -4, 2, -2, 8, -8, 16, -16):
        for moved, also in ((False, ""), (True, ", and ends as much off")):
            text = f"the sum starts {_early_late(n)}{also}"
            yield Hypothesis("wrong-range", text, _started(n, moved=moved), alone=False)
    for n in (-1, 1, -2, 2, -4, 4, -8, 8):
        yield Hypothesis(
            "wrong-range",
            f"the sum ends {_early_late(n)}",
            _ranges(lambda s, n=n: [(s.packet.l4, s.end + n)]),  # type: ignore[misc]
            alone=False,
        )


def _swapped(s: Specimen) -> Iterator[int]:
    yield field((s.seed + s.rest) << 8)


SUMS: tuple[Hypothesis, ...] = (
    Hypothesis(
        "zero-not-ffff",
        "the sum came to 0, which goes out as 0xffff, and was sent as 0",
        lambda s: (0,) if s.right == 0xFFFF else (),
        exact=True,
    ),
    Hypothesis(
        "zero-left",
        "the field holds 0 where a checksum was due",
        lambda s: (0,) if s.right % 65535 else (),
        exact=True,
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the seed, the sum of the pseudo-header: nothing was summed",
        lambda s: (s.seed,),
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the seed, made without a length: nothing was summed",
        lambda s: (s.seed - s.size,),
    ),
    Hypothesis(
        "seed-left",
        "the field holds the complement of the seed: nothing was summed but the pseudo-header",
        lambda s: (field(s.seed), field(s.seed - s.size)),
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the seed of the super-packet: nothing was summed",
        lambda s: [s.seed + extra for extra in s.extras],
        alone=False,
    ),
    Hypothesis(
        "seed-left",
        "the field still holds the seed of the super-packet: nothing was summed",
        lambda s: [s.seed + extra for extra in s.extras | s.rests],
        alone=False,
    ),
    Hypothesis("not-complemented", "the sum was not complemented", lambda s: (s.seed + s.rest,)),
    Hypothesis("byte-swapped", "the checksum is in the wrong byte order", _swapped),
    Hypothesis(
        "byte-swapped",
        "the pseudo-header's sum went in, in the wrong byte order",
        _sum(lambda s: (s.seed << 8) + s.rest),
    ),
    Hypothesis(
        "byte-swapped",
        "all but the pseudo-header was summed in the wrong byte order",
        _sum(lambda s: s.seed + (s.rest << 8)),
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
        "pseudo-twice", "the pseudo-header is in the sum twice", _sum(lambda s: 2 * s.seed + s.rest)
    ),
    Hypothesis(
        "pseudo-part",
        "the length is missing from the pseudo-header's sum",
        _sum(lambda s: s.seed - s.size + s.rest),
    ),
    Hypothesis(
        "pseudo-part",
        "the length is in the pseudo-header's sum twice",
        _sum(lambda s: s.seed + s.size + s.rest),
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
        "the outer sum was taken while the inner field held the seed of the super-packet",
        _before_super,
        alone=False,
    ),
    Hypothesis(
        "last-exact",
        "the length of an empty segment went into the sum",
        lambda s: (field(s.seed - s.data + s.rest),) if s.data else (),
    ),
    Hypothesis(
        "segment-length",
        "the length of a full segment went into the sum of a shorter one",
        lambda s: (field(s.seed + s.full - s.data + s.rest),) if s.full > s.data else (),
    ),
    Hypothesis(
        "super-length",
        "the length of the super-packet went into the sum of each segment",
        _more(lambda s: s.seed + s.rest, lambda s: s.extras),
        alone=False,
    ),
    Hypothesis(
        "super-length",
        "the length of the super-packet went into the sum of each segment",
        _more(lambda s: s.seed + s.rest, lambda s: s.extras | s.rests),
        alone=False,
    ),
    Hypothesis(
        "odd-byte",
        "the last byte of an odd number is missing from the sum",
        lambda s: (field(s.seed + s.rest - (odd << 8)),) if (odd := _last(s)) is not None else (),
    ),
    Hypothesis(
        "odd-byte",
        "the last byte of an odd number went into the wrong half of its word",
        lambda s: (field(s.seed + s.rest - odd * 255),) if (odd := _last(s)) is not None else (),
    ),
    Hypothesis(
        "pad-summed",
        "the padding behind the packet went into the sum",
        _ranges(lambda s: [(s.packet.l4, end) for end in _paddings(s)]),
    ),
    Hypothesis(
        "pad-summed",
        "the padding behind the packet went into the sum, and into its length",
        lambda s: [
            field(s.seed + end - s.end + (_range(s, s.packet.l4, end) or 0)) for end in _paddings(s)
        ],
    ),
    *_wrong_ranges(),
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
"""About the checksum of TCP and UDP."""

HEADERS: tuple[Hypothesis | Shared, ...] = (
    Hypothesis(
        "ip-header",
        "the header checksum was never filled in",
        lambda s: (0,) if s.right % 65535 else (),
        exact=True,
    ),
    Hypothesis("ip-header", "the header's sum was not complemented", lambda s: (-s.right,)),
    Hypothesis(
        "ip-header", "the header checksum is in the wrong byte order", lambda s: (s.right << 8,)
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the total length of the super-packet",
        lambda s: [s.right - extra for extra in s.extras],
        alone=False,
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the total length of the super-packet",
        lambda s: [s.right - extra for extra in s.extras | s.rests],
        alone=False,
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the total length of a full segment",
        lambda s: (s.right - (s.full - s.data),) if s.full > s.data else (),
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the identification of an earlier segment",
        lambda s: [s.right + step for step in range(1, 65)],
        alone=False,
    ),
    Shared("ip-header", "the header checksum is {value} in every frame", lambda s: (s.found,)),
    Hypothesis(
        "ip-header",
        "the header checksum of another segment is repeated",
        lambda s: s.around,
        alone=False,
    ),
)
"""About the checksum of the IPv4 header."""

LENGTHS: tuple[Hypothesis | Shared, ...] = (
    Hypothesis(
        "last-exact",
        "the length field is that of an empty segment",
        lambda s: (s.right - s.data,) if s.data else (),
    ),
    Hypothesis(
        "segment-length",
        "the length field of a shorter segment is that of a full one",
        lambda s: (s.right + s.full - s.data,) if s.full > s.data else (),
    ),
    Hypothesis(
        "super-length",
        "the length field is that of the super-packet",
        lambda s: [s.right + extra for extra in s.extras],
        alone=False,
    ),
    Hypothesis(
        "super-length",
        "the length field is that of the super-packet",
        lambda s: [s.right + extra for extra in s.extras | s.rests],
        alone=False,
    ),
    Shared(
        "segment-length",
        "the length field is {value} in segments of other lengths",
        lambda s: (s.found,) if s.found > s.size else (),
    ),
)
"""About the length of UDP or IP."""


def _left(s: Specimen) -> bool:
    """The field is as the kernel left it, the seed or 0, where something else is due.

    Payloads crafted for it make 0 of every sum: what such frames have in common shows nothing.
    """
    if s.right % 65535 == 0:
        return False
    return s.found == 0 or s.found % 65535 in {s.seed % 65535, (s.seed - s.size) % 65535}


def _clipped(at: int) -> Hypothesis:
    """The right checksum, written outside of what it covers, at a fixed offset."""

    def values(s: Specimen) -> Iterator[int]:
        outside = at + 2 <= s.packet.l4 or at >= s.end
        if outside and _left(s) and int.from_bytes(s.frame[at : at + 2], "big") == s.right:
            yield s.found

    text = f"the right checksum was written at offset {at} of the frame, not in its field"
    return Hypothesis("offset-clipped", text, values, alone=False)


_HEADERS_END = 160  # at most: tagged Ethernet, IPv6, UDP, VXLAN, Ethernet, IPv6 with extensions

CLIPPED: tuple[Hypothesis, ...] = tuple(_clipped(at) for at in range(_HEADERS_END))
"""A field's offset cut off; where it hits, it says more than `SUMS` do."""


def _clipped_start(start: int) -> Shared:
    """The sum starts, and is written, too far ahead, over a word that is the same in all frames.

    A receiver sums the written checksum along with the rest, so what it gets is the word written
    over.
    """

    def unknown(s: Specimen) -> Sequence[int]:
        if start >= s.packet.l4 or not _left(s):
            return ()
        around = s.other
        if around and start <= around.at < s.at and around.off == 0:
            return ()  # a right checksum in the range makes the same of every sum
        return (field(ones_sum(s.frame[start : s.end])),)

    text = f"the sum starts at offset {start} of the frame, and was written as far ahead"
    return Shared("offset-clipped", text, unknown, carried)


def _filled(least: int) -> Shared:
    """A short frame is filled up with one byte, over and over, that is summed and never sent."""

    def unknown(s: Specimen) -> Sequence[int]:
        missing = least - (s.end - s.packet.start) - (18 if s.tagged else 14)
        if missing <= 0:
            return ()
        weight = ones_sum(bytes(s.size % 2) + b"\1" * missing)
        return [byte * 0x0101 for byte in range(1, 256) if (byte * weight + s.off) % 65535 == 0]

    text = f"a short frame was filled up to {least} bytes with {{value}}, summed and not sent"
    return Shared("pad-summed", text, unknown, lambda s: s.size)


SHARED_SUMS: tuple[Shared, ...] = (
    *(_filled(least) for least in (60, 64, 65)),
    Shared(
        "segment-length",
        "a length of {value} went into the sums of shorter segments",
        lambda s: (used,) if (used := (s.size - s.off) % 65535) > s.size else (),
        lambda s: s.size,
    ),
)
"""About the checksum of TCP and UDP, with an unknown."""

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

CONSTANT = Shared("constant", "the field holds {value} in every frame", lambda s: (s.found,))
"""Whatever is summed."""

CONSTANT_DIFFERENCE = Shared(
    "constant-difference",
    "a word of the sum is off by {value}, the same in every frame",
    lambda s: (-s.off % 65535,),
    carried,
)
"""The weakest: it says how, not what."""
