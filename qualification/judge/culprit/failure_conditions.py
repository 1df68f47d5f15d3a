"""What the failing cells of a pair have in common, and the passing ones lack. Pure.

A description is a conjunction of up to three conditions on a cell. The shortest that holds in every
failing cell and in no passing one is reported; where there is none, the one with the fewest errors,
along with these. Either is reported only if it is no chance: the p-value of Fisher's exact test for
the cells in which the description holds, times the number of distinct descriptions of that length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from qualification.judge.result_row import CellRow
from qualification.judge.statistics import fisher
from qualification.judge.verdict import Verdict

from .conditions import Condition, bits, conditions

LEVEL = 1e-3
"""Probability of naming a condition where failures have nothing to do with it."""
_LONGEST = 3
_FEWEST = 2
_MOST_ALTERNATIVES = 2
_MOST_ERRORS = 0.1
"""Most cells that a description may get wrong, as a share of the failing ones."""


@dataclass(frozen=True)
class _Description:
    """A conjunction of conditions, and the cells in which it holds, as bits."""

    conditions: tuple[Condition, ...]
    cells: int

    def __str__(self) -> str:
        *first, last = [condition.text for condition in self.conditions]
        return f"{', '.join(first)} and {last}" if first else last


def describe(rows: Iterable[CellRow], driver: str = "") -> str | None:
    """Returns a sentence that says where the cells of a pair fail; None where nothing can be said.

    Args:
        rows: Cells of one pair. Only those count in which the NIC was exercised.
        driver: The DUT's driver.
    """
    ran = [r for r in rows if r.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.LOSS)]
    descriptions = _descriptions(conditions(ran, driver))
    kinds = {"fails": {Verdict.FAIL, Verdict.LOSS}, "is wrong": {Verdict.FAIL}}
    for verb, verdicts in kinds.items():
        failing = bits(row.verdict in verdicts for row in ran)
        count = failing.bit_count()
        if min(count, len(ran) - count) < _FEWEST:
            continue
        found = _exact(descriptions, failing, len(ran)) or _nearly(
            descriptions, failing, len(ran), verb
        )
        if found is not None:
            return f"it {verb} {found}" if found.startswith("exactly") else found
    return None


def _exact(found: Sequence[_Description], failing: int, cells: int) -> str | None:
    fitting = [d for d in found if d.cells == failing]
    if not fitting:
        return None
    shortest = min(len(d.conditions) for d in fitting)
    if _chance(found, shortest, failing, failing, cells) > LEVEL:
        return None
    best = [d for d in fitting if len(d.conditions) == shortest]
    alike = " or, which these cells cannot tell from it, where "
    more = f" (or {len(best) - _MOST_ALTERNATIVES} more ways to say it)"
    text = alike.join(str(d) for d in best[:_MOST_ALTERNATIVES])
    return f"exactly where {text}{more if len(best) > _MOST_ALTERNATIVES else ''}"


def _nearly(found: Sequence[_Description], failing: int, cells: int, verb: str) -> str | None:
    best = min(
        found, key=lambda d: ((d.cells ^ failing).bit_count(), len(d.conditions)), default=None
    )
    count = failing.bit_count()
    if best is None or (best.cells ^ failing).bit_count() > _MOST_ERRORS * count:
        return None
    if _chance(found, len(best.conditions), best.cells, failing, cells) > LEVEL:
        return None
    right = (best.cells & failing).bit_count()
    wrong = (best.cells & ~failing).bit_count()
    return (
        f"nearly where {best}: {right} of the {count} cells where it {verb} are there, and "
        f"{wrong} that pass"
    )


def _chance(
    found: Sequence[_Description], longest: int, cells_in: int, failing: int, cells: int
) -> float:
    """Returns the probability that a description of this length fits as well by chance.

    Args:
        found: All descriptions.
        longest: Conditions of the description, at most.
        cells_in: The cells in which it holds, as bits.
        failing: The failing cells, as bits.
        cells: Number of cells.
    """
    count, inside = failing.bit_count(), cells_in.bit_count()
    hits = (cells_in & failing).bit_count()
    p = fisher(hits, inside, count - hits, cells - inside)
    # A description that holds in another number of cells could not fit exactly.
    exact = cells_in == failing
    tried = {
        d.cells
        for d in found
        if len(d.conditions) <= longest and (not exact or d.cells.bit_count() == inside)
    }
    return len(tried) * p


def _descriptions(conditions: Sequence[Condition]) -> list[_Description]:
    """Returns every conjunction of which each condition is needed, the shortest first.

    Among those of one length the order is that of the conditions, the most telling first.
    """
    shorter = {condition.cells for condition in conditions}
    found = [_Description((c,), c.cells) for c in conditions]
    for size in range(2, _LONGEST + 1):
        longer = []
        for some in combinations(conditions, size):
            if len({condition.dimension for condition in some}) < size:
                continue
            cells = some[0].cells
            for condition in some[1:]:
                cells &= condition.cells
            if cells and cells not in shorter:
                longer.append(_Description(some, cells))
        found += longer
        shorter |= {d.cells for d in longer}
    return found
