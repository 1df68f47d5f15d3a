"""The two kinds of hypotheses, and what their definitions share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from qualification.judge.signature.bad_field import BadField

Values = Callable[[BadField], Iterable[int]]
"""Returns the values that the hardware would have left in a field."""


@dataclass(frozen=True)
class Hypothesis:
    """One thing that hardware may have done.

    Attributes:
        name: Name of the fault, for example "seed-left"; several hypotheses may have the same.
        text: What the hardware did, in words that follow a layer's name and a colon.
        values: Returns the values that it would have left in the field.
        exact: Whether values are compared as they are, not as residues.
        alone: Whether it has no parameter to choose, so that a single frame can support it.
    """

    name: str
    text: str
    values: Values
    exact: bool = False
    alone: bool = True

    def candidates(self, bad_field: BadField) -> frozenset[int]:
        """Returns the wrong values that it allows for a bad field."""
        if self.exact:
            return frozenset(self.values(bad_field))
        values = {value % 65535 for value in self.values(bad_field)}
        if bad_field.meant is not None:
            values.update(value % 65535 for value in self.values(bad_field.meant))
        return frozenset(values - {bad_field.right % 65535})

    def fits(self, bad_field: BadField, candidates: frozenset[int]) -> bool:
        """Returns whether one of its candidates is the value of the field."""
        return (bad_field.found if self.exact else bad_field.found % 65535) in candidates


@dataclass(frozen=True)
class Shared:
    """A hypothesis with an unknown that has to be the same in all frames.

    Attributes:
        name: As in `Hypothesis`.
        text: As in `Hypothesis`, with {value} for the unknown.
        unknown: Returns the possible values of the unknown for one bad field: none where the
            hypothesis does not apply, one, or a few where several give the same checksum.
        differs: Returns what frames must differ in to count as different observations.
    """

    name: str
    text: str
    unknown: Callable[[BadField], Sequence[int]]
    differs: Callable[[BadField], object] = lambda s: s.right


def carried(s: BadField) -> bytes:
    """Returns the application data, by which a segment that is sent again is recognised."""
    return s.frame[s.payload : s.end]


def field(total: int) -> int:
    """Returns the checksum field for a sum: its complement, as a residue."""
    return -total % 65535
