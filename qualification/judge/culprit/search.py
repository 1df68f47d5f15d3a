"""The smallest culprit: the fewest features whose turning off heals a flow. Pure.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
TSE 28(2), 2002) over the feature table: the circumstances are features to turn off, and a test
asks whether the flow is healed. `ddmin` finds a set of which every member is needed; whether there
is a smaller or a milder one is then asked of those few that what is known has not ruled out.

A set stands here for what it settles to (`FeatureSpace.settle`): turning `csum` off takes TSO along
with it. What counts as turned off is what was asked for, so that is one feature; what it takes
along makes it the harsher remedy among others of one feature.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from qualification.plan.features import RULES, FeatureSpace, OffloadSet

Settled = frozenset[str]
"""Kernel names of features, settled."""

Fails = Callable[[OffloadSet], bool | None]
"""Whether a flow fails under an offload set; None where that cannot be judged."""

Removal = tuple[str, ...]
"""Kernel names of the features to turn off, in the table's order."""


class Knowledge:
    """Whether one flow fails, by offload set: what was seen, what follows, what has to be asked.

    What follows rests on faults being set off by features that are on: a set that contains a
    failing one fails, and within a failing set what is contained in a clean one is clean. That is
    presumed, to ask less; nothing is claimed on it (`qualification.judge.investigation` proves).

    Args:
        space: What the NIC lets us vary.
        seen: What is known already; answers are added to it.
        ask: Asked about a set at most once.
    """

    def __init__(
        self, space: FeatureSpace, seen: MutableMapping[Settled, bool | None], ask: Fails
    ) -> None:
        self._space, self._seen, self._ask = space, seen, ask

    def presumed(self, on: Settled, top: Settled) -> bool | None:
        """Whether it fails under a set, as far as that is known or follows.

        Args:
            on: The set.
            top: The failing set that it is a part of.
        """
        if on in self._seen:
            return self._seen[on]
        if any(failing and seen <= on for seen, failing in self._seen.items()):
            return True
        if any(failing is False and on <= seen < top for seen, failing in self._seen.items()):
            return False
        return None

    def found(self, on: Settled) -> bool | None:
        """Whether it was seen to fail under a set; asked where that is not known."""
        if on not in self._seen:
            self._seen[on] = self._ask(OffloadSet(on & self._space.switchable, self._space))
        return self._seen[on]

    def fails(self, on: Settled, top: Settled) -> bool | None:
        """What is presumed, or else found."""
        presumed = self.presumed(on, top)
        return self.found(on) if presumed is None else presumed


def smallest(
    space: FeatureSpace, top: Settled, knowledge: Knowledge, hints: Sequence[Removal] = ()
) -> tuple[Removal, ...]:
    """The fewest features whose turning off heals, and of these the ones that leave most on.

    Args:
        space: What the NIC lets us vary.
        top: The failing set, settled.
        knowledge: Of the flow.
        hints: What has healed other flows. Where one of them heals this one, its equals are not
            asked for.

    Returns:
        All that are equally good, in the table's order; none where nothing heals. They are
        presumed to heal, if not seen to; with less than they turn off it fails, as far as that
        could be judged.
    """
    ways = _ways(space, top, lambda way: (len(way.off), -len(way.left)))

    def heals(off: Removal) -> bool:
        return knowledge.fails(space.settle(top - set(off)), top) is False

    if not ways:
        return ()
    # From what is known to heal already, else from everything there is to turn off.
    hint = next((off for off in hints if top.issuperset(off) and heals(off)), None)
    known = (way.off for way in ways if knowledge.presumed(way.left, top) is False)
    start = hint or next(known, ways[-1].off)
    bound = ways[-1].rank
    if heals(start):
        reduced = ddmin(start, heals)
        bound = next(way.rank for way in ways if way.off == reduced)
    hinted = bound if hint else ()
    found: list[Removal] = []
    for way in ways:
        if way.rank > bound:
            break
        if way.rank == hinted and knowledge.presumed(way.left, top) is not False:
            continue
        if heals(way.off):
            bound = way.rank
            found.append(way.off)
    return tuple(found)


def largest(space: FeatureSpace, top: Settled, heals: Callable[[Settled], bool]) -> Removal | None:
    """What to turn off so that all is well and most is left on; of equals the fewest.

    Args:
        space: What the NIC lets us vary.
        top: Everything on, settled.
        heals: Whether all is well under a part of it, settled.
    """
    if heals(top):
        return ()
    ways = _ways(space, top, lambda way: (-len(way.left), len(way.off)))
    return next((way.off for way in ways if heals(way.left)), None)


def ddmin(items: Removal, heals: Callable[[Removal], bool]) -> Removal:
    """A part of some features that still heals, and does not with any one of them less.

    The minimising delta debugging algorithm of Zeller and Hildebrandt, figure 3.

    Args:
        items: They heal, all together.
        heals: Whether some of them do.
    """
    parts = 2
    while len(items) > 1:
        size = -(-len(items) // parts)
        chunks = [items[at : at + size] for at in range(0, len(items), size)]
        rests = [tuple(name for name in items if name not in chunk) for chunk in chunks]
        if chunk := next(filter(heals, chunks), None):
            items, parts = chunk, 2
        elif rest := next(filter(heals, rests), None):
            items, parts = rest, max(parts - 1, 2)
        elif size == 1:
            break
        else:
            parts = min(2 * parts, len(items))
    return items


@dataclass(frozen=True)
class _Way:
    """Features to turn off, what is left on then, and how good that is: less is better."""

    off: Removal
    left: Settled
    rank: tuple[int, ...] = ()


def _ways(space: FeatureSpace, top: Settled, rank: Callable[[_Way], tuple[int, ...]]) -> list[_Way]:
    """Every way to turn something off, the best first; of equals the first in the table."""
    names = [name for name in RULES if name in top & space.switchable]
    ways = [
        _Way(off, space.settle(top - set(off)))
        for size in range(1, len(names) + 1)
        for off in combinations(names, size)
    ]
    return sorted((replace(way, rank=rank(way)) for way in ways), key=lambda way: way.rank)
