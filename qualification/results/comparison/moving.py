"""Withdraws changes by a fault that moves from run to run.

A fault may hit what changes from run to run, such as the queue that a source port is hashed to. The
frames of a cell are not independent then, and their counts say nothing: the fault takes a tenth of
a cell in one run and a third in the next, or leaves a small cell out. It is known by its signature
and by its rates: in the cells of a pair that fail by it in both runs they scatter more than counts
can. Where too few cells fail in both runs to tell, it is known by having come to some cells of the
pair and gone from others. For such a fault whole cells are counted, not frames.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from math import sqrt
from statistics import variance

from qualification.judge.statistics import binomial_tail, holm

from .counts import LEVEL, Both, Counts, sign
from .model import CellChange, Change

_LEAST = 4
"""The fewest cells from which a scatter is told."""
_SCATTER = 4.0
"""Variance of the standardised differences of rates, which is 1 for independent frames. Four cells
of these come to more once in 140 times, and then only an answer gets more careful."""


def withdraw(cells: Sequence[Both], found: Sequence[CellChange]) -> list[CellChange]:
    """Returns the changes of cells after those were withdrawn that a moving fault explains.

    Args:
        cells: The cells.
        found: What frames say of them, in the same order.
    """
    changes = list(found)
    by_fault: dict[tuple[int, str], list[int]] = defaultdict(list)
    for at, one in enumerate(cells):
        if one.failed or one.fails:
            by_fault[one.pair, sign(one.new if one.fails else one.old)].append(at)
    for (pair, _), places in by_fault.items():
        of_fault = {at: changes[at].change for at in places}
        came = [at for at, change in of_fault.items() if change is Change.REGRESSED]
        went = [at for at, change in of_fault.items() if change is Change.HEALED]
        stayed = [at for at in places if cells[at].failed and cells[at].fails]
        scatters = _scatters([cells[at].counts for at in stayed])
        if not (scatters or (scatters is None and came and went)):
            continue
        real = _proved_by_cells(cells, pair)
        why = "the same fault fails other cells and at other rates in each run"
        for at in (*came, *went):
            if not real & set(_dimensions(cells[at])):
                reason = f"{changes[at].reason}; {why}"
                changes[at] = replace(changes[at], change=Change.WITHIN_CHANCE, reason=reason)
        if not _all_one_way([cells[at].counts for at in stayed]):
            for at in places:
                if changes[at].change is Change.RATE_CHANGED:
                    both = cells[at].failed and cells[at].fails
                    change = Change.UNCHANGED if both else Change.WITHIN_CHANCE
                    reason = f"{changes[at].reason}; {why}"
                    changes[at] = replace(changes[at], change=change, reason=reason)
    return changes


def _scatters(counts: Sequence[Counts]) -> bool | None:
    """Returns whether rates changed by more than chance, and by other amounts in each cell.

    A rate that has risen or fallen in all cells alike is no scatter. None where too few cells tell.
    """
    differences = [z for one in counts if (z := _standardised(one)) is not None]
    if len(differences) < _LEAST:
        return None
    return variance(differences) > _SCATTER


def _standardised(counts: Counts) -> float | None:
    """Returns the difference of two rates in units of its standard deviation."""
    if not (counts.old_of and counts.new_of):
        return None
    share = (counts.old + counts.new) / (counts.old_of + counts.new_of)
    spread = sqrt(share * (1 - share) * (1 / counts.old_of + 1 / counts.new_of))
    if not spread:
        return None
    return (counts.new / counts.new_of - counts.old / counts.old_of) / spread


def _all_one_way(counts: Sequence[Counts]) -> bool:
    """Returns whether rates rose in more cells than they fell, or fell in more, beyond chance."""
    rose = sum(one.rose for one in counts)
    fell = sum(one.new * one.old_of < one.old * one.new_of for one in counts)
    return 2 * binomial_tail(max(rose, fell), rose + fell, 0.5) <= LEVEL


def _proved_by_cells(cells: Iterable[Both], pair: int) -> frozenset[Hashable]:
    """Returns the offload sets and kinds of flow of which other numbers of cells fail now."""
    groups: dict[Hashable, list[Both]] = defaultdict(list)
    for one in cells:
        if one.pair == pair:
            for group in _dimensions(one):
                groups[group].append(one)
    values = {}
    for group, members in groups.items():
        before = sum(one.failed for one in members)
        now = sum(one.fails for one in members)
        values[group] = Counts(before, len(members), now, len(members), "failing").chance
    return holm({group: p for group, p in values.items() if p < 1.0}, LEVEL)


def _dimensions(one: Both) -> tuple[Hashable, ...]:
    flow = one.new.flow
    return (
        ("set", one.new.set_id),
        ("outer", flow.outer),
        ("outer checksum", flow.outer_checksum, flow.tunnel),
        ("inner", flow.inner),
        ("protocol", flow.l4, flow.segmentation),
        ("packet set", flow.packet_set, flow.direction, flow.state, flow.load, flow.vlan),
    )
