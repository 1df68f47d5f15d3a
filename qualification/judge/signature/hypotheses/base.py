"""What a hypothesis is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qualification.judge.signature.bad_field import BadField

Values = Callable[[BadField], Iterable[int]]


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

    def candidates(self, bad_field: BadField) -> frozenset[int]:
        """The wrong values that it allows for a bad field."""
        if self.exact:
            return frozenset(self.values(bad_field))
        values = {value % 65535 for value in self.values(bad_field)}
        if bad_field.meant is not None:
            values.update(value % 65535 for value in self.values(bad_field.meant))
        return frozenset(values - {bad_field.right % 65535})

    def fits(self, bad_field: BadField, candidates: frozenset[int]) -> bool:
        """Whether one of its candidates is what was found."""
        return (bad_field.found if self.exact else bad_field.found % 65535) in candidates


@dataclass(frozen=True)
class Shared:
    """A hypothesis with an unknown that has to be the same in all frames.

    Attributes:
        name: As of a `Hypothesis`.
        text: The same, with {value} for the unknown.
        unknown: What it may have been, for one bad field: nothing where it does not apply, one
            value, or a few where several come to the same.
        differs: What sets frames apart for it: frames alike in it are one observation.
    """

    name: str
    text: str
    unknown: Callable[[BadField], Sequence[int]]
    differs: Callable[[BadField], object] = lambda s: s.right


def carried(s: BadField) -> bytes:
    """What sets frames apart where sums do not: a segment that is sent again is no news."""
    return s.frame[s.payload : s.end]


def field(total: int) -> int:
    """The field that a sum makes."""
    return -total % 65535
