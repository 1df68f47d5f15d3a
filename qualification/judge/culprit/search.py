"""Searches for the fewest features whose turning off heals a flow. Pure.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
TSE 28(2), 2002) over the feature table: the circumstances are features to turn off, and a test
asks whether the flow is healed. `ddmin` finds a set of which every member is needed. Whether there
is a smaller set, or one that leaves more on, is then asked only of sets that are not ruled out yet.

A set is represented by what it settles to (`FeatureSpace.settle`): turning `csum` off takes TSO
along with it. The number of features turned off counts those that were asked for, so that is one
feature. What it takes along makes it the worse choice among others of one feature.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from qualification.plan.features import RULES, FeatureSpace, OffloadSet

Settled = frozenset[str]
"""Kernel names of features, settled."""

Probe = Callable[[OffloadSet], bool | None]
"""Returns whether a flow fails under an offload set; None where that cannot be judged."""

FeaturesOff = tuple[str, ...]
"""Kernel names of the features to turn off, in the table's order."""


class Knowledge:
    """Whether one flow fails, by offload set: what was observed, what follows, what is to be asked.

    What follows rests on the assumption that faults are triggered by features that are on: a set
    that contains a failing one fails, and within a failing set each part of a clean one is clean.
    This saves runs. No claim rests on it: `qualification.judge.culprit.investigation` proves.

    Args:
        space: The features that the NIC lets us vary.
        seen: What is known already; answers are added to it.
        ask: Asked about each set at most once.
    """

    def __init__(
        self, space: FeatureSpace, seen: MutableMapping[Settled, bool | None], ask: Probe
    ) -> None:
        self._space, self._seen, self._ask = space, seen, ask

    def presumed(self, on: Settled, top: Settled) -> bool | None:
        """Returns whether the flow fails under a set, as far as that is known or follows.

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

    def observed(self, on: Settled) -> bool | None:
        """Returns whether the flow was seen to fail under a set, and asks where it was not run."""
        if on not in self._seen:
            self._seen[on] = self._ask(OffloadSet(on & self._space.switchable, self._space))
        return self._seen[on]

    def failing(self, on: Settled, top: Settled) -> bool | None:
        """Returns what is presumed of a set, or else what is observed."""
        presumed = self.presumed(on, top)
        return self.observed(on) if presumed is None else presumed


def smallest(
    space: FeatureSpace, top: Settled, knowledge: Knowledge, hints: Sequence[FeaturesOff] = ()
) -> tuple[FeaturesOff, ...]:
    """Finds the fewest features whose turning off heals, and of these the ones that leave most on.

    Args:
        space: The features that the NIC lets us vary.
        top: The failing set, settled.
        knowledge: What is known of the flow.
        hints: What has healed other flows. Where one of them heals this flow, sets of the same rank
            are not asked for.

    Returns:
        All that are equally good, in the table's order; none where nothing heals. They are
        presumed to heal, if not seen to. With fewer features off the flow fails, as far as that
        could be judged.
    """
    ways = _ways(space, top, lambda way: (len(way.off), -len(way.left)))

    def heals(off: FeaturesOff) -> bool:
        return knowledge.failing(space.settle(top - set(off)), top) is False

    if not ways:
        return ()
    # Start from what is known to heal already, else from everything that can be turned off.
    hint = next((off for off in hints if top.issuperset(off) and heals(off)), None)
    known = (way.off for way in ways if knowledge.presumed(way.left, top) is False)
    start = hint or next(known, ways[-1].off)
    bound = ways[-1].rank
    if heals(start):
        reduced = ddmin(start, heals)
        bound = next(way.rank for way in ways if way.off == reduced)
    hinted = bound if hint else ()
    found: list[FeaturesOff] = []
    for way in ways:
        if way.rank > bound:
            break
        if way.rank == hinted and knowledge.presumed(way.left, top) is not False:
            continue
        if heals(way.off):
            bound = way.rank
            found.append(way.off)
    return tuple(found)


def largest(
    space: FeatureSpace, top: Settled, heals: Callable[[Settled], bool]
) -> FeaturesOff | None:
    """Finds what to turn off so that everything passes and most is left on; of equals the fewest.

    Args:
        space: The features that the NIC lets us vary.
        top: Everything on, settled.
        heals: Returns whether everything passes under a part of it, settled.
    """
    if heals(top):
        return ()
    ways = _ways(space, top, lambda way: (-len(way.left), len(way.off)))
    return next((way.off for way in ways if heals(way.left)), None)


def ddmin(items: FeaturesOff, heals: Callable[[FeaturesOff], bool]) -> FeaturesOff:
    """Reduces features to a part that still heals, and does not with any one of them less.

    The minimising delta debugging algorithm of Zeller and Hildebrandt, figure 3.

    Args:
        items: Features that heal, all together.
        heals: Returns whether some of them heal.
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
    """Features to turn off, what is left on then, and the rank: the lowest is the best."""

    off: FeaturesOff
    left: Settled
    rank: tuple[int, ...] = ()


def _ways(space: FeatureSpace, top: Settled, rank: Callable[[_Way], tuple[int, ...]]) -> list[_Way]:
    """Returns every way to turn something off, the best first; of equals the first in the table."""
    names = [name for name in RULES if name in top & space.switchable]
    ways = [
        _Way(off, space.settle(top - set(off)))
        for size in range(1, len(names) + 1)
        for off in combinations(names, size)
    ]
    return sorted((replace(way, rank=rank(way)) for way in ways), key=lambda way: way.rank)
