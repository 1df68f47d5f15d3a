"""What became of cells that both runs have judged: a change, or what chance alone explains.

Each cell is tested by Fisher's exact test on its wrong frames, or on its lost ones where it fails
by these. A run has hundreds of cells, so Holm's correction bounds the probability of even one wrong
answer. A cell of few frames may be too small to show anything alone: a fault that shows in one
frame of forty, in each of sixteen cells. What the first step leaves open is therefore tested once
more, with all cells of one kind of traffic together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from qualification.judge.statistics import holm

from .comparable import name
from .counts import LEVEL, Both, Counts
from .model import CellChange, Change
from .moving import withdraw


def changes(cells: Sequence[Both]) -> list[CellChange]:
    """Returns what became of each cell, in their order.

    Args:
        cells: The cells that both runs have judged, of all pairs.
    """
    values = {at: one.counts.chance for at, one in enumerate(cells) if _counted(one)}
    told = holm({at: p for at, p in values.items() if p < 1.0}, LEVEL / 2)
    groups = _groups((at, one) for at, one in enumerate(cells) if at in values and at not in told)
    together = {key: _sum([cells[at] for at in some]) for key, some in groups.items()}
    changed = holm(
        {key: p for key, sums in together.items() if (p := sums.chance) < 1.0}, LEVEL / 2
    )
    group_of = {at: together[key] for key in changed for at in groups[key]}
    found = [
        _change(one, values.get(at), told=at in told, group=group_of.get(at))
        for at, one in enumerate(cells)
    ]
    return withdraw(cells, found)


def _counted(one: Both) -> bool:
    """Returns whether the frames of a cell say how often it fails."""
    counts = one.counts
    return bool(counts.old or not one.failed) and bool(counts.new or not one.fails)


def _change(one: Both, chance: float | None, *, told: bool, group: Counts | None) -> CellChange:
    def ends(change: Change, reason: str) -> CellChange:
        return CellChange(name(one.new), change, reason, one.old, one.new, chance)

    if not (one.failed or one.fails):
        return ends(Change.UNCHANGED, "PASS in both runs")
    verdicts = f"{one.old.verdict} before, {one.new.verdict} now"
    if chance is None:  # a fault that is not one of single frames
        if one.failed == one.fails:
            return ends(Change.UNCHANGED, verdicts)
        change = Change.REGRESSED if one.fails else Change.HEALED
        return ends(change, f"{verdicts}; no count of frames says how often")
    counts = one.counts
    what = f"{verdicts}: {counts}"
    if not told and group is None:
        if one.failed == one.fails:
            return ends(Change.UNCHANGED, what)
        return ends(Change.WITHIN_CHANCE, f"{what}, which chance explains (p = {chance:.2g})")
    if not told and group is not None:
        what += f"; with all cells of this traffic {group}"
    rose = counts.rose if told or group is None else group.rose
    before, now = (group.old, group.new) if group is not None and not told else (0, 0)
    if not one.failed and one.fails and rose and not before:
        return ends(Change.REGRESSED, what)
    if one.failed and not one.fails and not rose and not now:
        return ends(Change.HEALED, what)
    if one.failed or one.fails:
        return ends(Change.RATE_CHANGED, what)
    return ends(Change.UNCHANGED, what)


def _groups(cells: Iterable[tuple[int, Both]]) -> dict[Hashable, list[int]]:
    """Returns the places of the cells that are tested together, by their traffic."""
    found: dict[Hashable, list[int]] = defaultdict(list)
    for at, one in cells:
        found[one.traffic].append(at)
    return found


def _sum(cells: Iterable[Both]) -> Counts:
    first, *rest = (one.counts for one in cells)
    for one in rest:
        first += one
    return first
