"""Hypotheses on sums over the wrong range, which starts or ends early, late, or elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from qualification.judge.signature.bad_field import BadField
from qualification.wire.checksum import ones_sum

from .base import Hypothesis, Values, field


def range_sum(s: BadField, start: int, end: int) -> int | None:
    """Returns the sum of a range of the frame, without the field; None if the range is invalid."""
    if start < 0 or end > len(s.frame) or start >= end:
        return None
    total = ones_sum(s.frame[start:end])
    if start <= s.at and s.at + 2 <= end:
        held = int.from_bytes(s.frame[s.at : s.at + 2], "big")
        total -= held if (s.at - start) % 2 == 0 else held << 8
    return total


def ranges(
    bounds: Callable[[BadField], Iterable[tuple[int, int]]], *, pseudo: bool = True
) -> Values:
    """Returns the values of the field where one of several ranges was summed.

    Args:
        bounds: Returns the ranges, start and end as offsets in the frame.
        pseudo: Whether the pseudo-header is in the sum.
    """

    def values(s: BadField) -> Iterator[int]:
        for start, end in bounds(s):
            total = range_sum(s, start, end)
            if total is not None:
                yield field(total + (s.pseudo_sum if pseudo else 0))

    return values


def paddings(s: BadField) -> list[int]:
    """Returns where padding behind the packet may end: with the tunnel's payload, or the frame."""
    outer = s.other.end if s.other and s.other.end > s.end else s.end
    return [end for end in {outer, len(s.frame)} if end > s.end]


def _started(n: int, *, moved: bool) -> Values:
    """The range starts n bytes late, and ends n bytes late as well if it is `moved`."""

    def bounds(s: BadField) -> Iterator[tuple[int, int]]:
        yield s.packet.l4 + n, s.end + (n if moved else 0)

    with_pseudo, without = ranges(bounds), ranges(bounds, pseudo=False)
    return lambda s: (*with_pseudo(s), *without(s))


def _tagged(values: Values) -> Values:
    return lambda s: values(s) if s.tagged else ()


def _behind_fixed_header(s: BadField) -> Iterator[tuple[int, int]]:
    fixed = s.packet.start + (20 if s.packet.family == 4 else 40)
    if fixed != s.packet.l4:
        yield fixed, s.end


def _headers_only(s: BadField) -> Iterator[tuple[int, int]]:
    yield s.packet.l4, s.payload
    if s.other and s.other.at > s.at:
        inside = s.other
        for end in (s.payload + 8, inside.packet.start, inside.packet.l4, inside.payload):
            yield s.packet.l4, end


def _early_late(n: int) -> str:
    return f"{abs(n)} byte{'s' if abs(n) > 1 else ''} {'late' if n > 0 else 'early'}"


def wrong_ranges() -> Iterator[Hypothesis]:
    """Yields a hypothesis for each wrong range that hardware is known to have summed."""
    yield Hypothesis(
        "wrong-range",
        "the header is missing from the sum",
        ranges(lambda s: [(s.payload, s.end)]),
    )
    yield Hypothesis(
        "wrong-range",
        "header and pseudo-header are missing from the sum",
        ranges(lambda s: [(s.payload, s.end)], pseudo=False),
    )
    yield Hypothesis(
        "wrong-range", "only headers are summed, no payload", ranges(_headers_only), alone=False
    )
    yield Hypothesis(
        "wrong-range",
        "the sum starts right behind the fixed IP header, as if there were no others",
        ranges(_behind_fixed_header),
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
            ranges(lambda s, n=n: [(s.packet.l4, s.end + n)]),  # type: ignore[misc]
            alone=False,
        )
