"""Across the cells of a pair: what those that fail have in common, and those that pass lack. Pure.

A description is a conjunction of up to three conditions on a cell. The smallest that holds in every
failing cell and in no passing one is told; where none does, the one that errs least, with its
errors. Either is told only if it is no chance: of all ways to choose so many failing cells, the
share that some description as short would have fitted as well (Fisher's exact test, times the
number of distinct descriptions tried).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.plan.features import RULES, TNL, TNL_CSUM, FeatureSpace
from qualification.plan.flows import Flow

LEVEL = 1e-3
"""Chance of naming what separates cells where nothing does."""
_LONGEST = 3
_FEWEST = 2
_MOST_ALTERNATIVES = 2
_MOST_ERRORS = 0.1
"""Cells a description may get wrong, as a share of the failing ones."""


def used(row: CellRow, driver: str = "") -> frozenset[str]:
    """Features by which the hardware did its part in a cell; empty where it had none.

    Args:
        row: The cell.
        driver: The DUT's driver, for what depends on what there.
    """
    space = FeatureSpace(frozenset(row.effective) & RULES.keys(), driver=driver)
    on = space.settle(name for name, active in row.effective.items() if active)
    asked = row.flow
    flow = Flow(
        4 if asked.outer == 4 else 6,
        asked.outer_checksum,
        4 if asked.inner == 4 else 6,
        "tcp" if asked.l4 == "tcp" else "udp",
        asked.segmentation,
        asked.port,
        tunnel=asked.tunnel,
    )
    work = flow.work(on)
    names = flow.cut_by if "segmentation" in work else frozenset()
    return names | (on & flow.summed_by if "checksum" in work else frozenset())


def settled(row: CellRow, driver: str) -> tuple[frozenset[str], str]:
    """What makes a cell's evidence its own: two rows of the same share it."""
    space = FeatureSpace(frozenset(row.effective) & RULES.keys(), driver=driver)
    return space.settle(n for n, active in row.effective.items() if active), row.flow.id


@dataclass(frozen=True)
class _Condition:
    """Something that holds in some cells: words for it, and the cells as bits."""

    dimension: str
    said: str
    cells: int


@dataclass(frozen=True)
class _Description:
    """A conjunction, and the cells in which it holds."""

    conditions: tuple[_Condition, ...]
    cells: int

    def __str__(self) -> str:
        *first, last = [condition.said for condition in self.conditions]
        return f"{', '.join(first)} and {last}" if first else last


def separates(rows: Iterable[CellRow], driver: str = "") -> str | None:
    """Where the cells of a pair fail, in a sentence; None where nothing can be said.

    Args:
        rows: Cells of one pair; only those exercised count.
        driver: The DUT's driver.
    """
    ran = [r for r in rows if r.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.LOSS)]
    descriptions = _descriptions(_conditions(ran, driver))
    kinds = {"fails": {Verdict.FAIL, Verdict.LOSS}, "is wrong": {Verdict.FAIL}}
    for said, verdicts in kinds.items():
        failing = _bits(row.verdict in verdicts for row in ran)
        count = failing.bit_count()
        if min(count, len(ran) - count) < _FEWEST:
            continue
        found = _exact(descriptions, failing, len(ran)) or _nearly(
            descriptions, failing, len(ran), said
        )
        if found is not None:
            return f"it {said} {found}" if found.startswith("exactly") else found
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


def _nearly(found: Sequence[_Description], failing: int, cells: int, said: str) -> str | None:
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
        f"nearly where {best}: {right} of the {count} cells where it {said} are there, and "
        f"{wrong} that pass"
    )


def _chance(
    found: Sequence[_Description], longest: int, cells_in: int, failing: int, cells: int
) -> float:
    """The probability that some description so short fits as well, where none means anything."""
    count, inside = failing.bit_count(), cells_in.bit_count()
    hits = (cells_in & failing).bit_count()
    ways = sum(
        comb(inside, k) * comb(cells - inside, count - k)
        for k in range(hits, min(inside, count) + 1)
    )
    # One that holds in another number of cells could not fit exactly.
    exact = cells_in == failing
    tried = {
        d.cells
        for d in found
        if len(d.conditions) <= longest and (not exact or d.cells.bit_count() == inside)
    }
    return len(tried) * ways / comb(cells, count)


def _descriptions(conditions: Sequence[_Condition]) -> list[_Description]:
    """Every conjunction in which no condition is idle, shortest first, preferred ones first."""
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


def _conditions(rows: Sequence[CellRow], driver: str) -> list[_Condition]:
    """What can be said of cells, most telling first; nothing that holds in all or in none."""
    parts = [used(row, driver) for row in rows]
    features = [name for name in RULES if any(name in row.effective for row in rows)]
    said: list[tuple[str, str, Iterable[bool]]] = [
        (f"used {name}", f"the NIC uses {name}", [name in part for part in parts])
        for name in features
    ]
    cut = [bool(part & {TNL, TNL_CSUM}) for part in parts]
    said.append(("cut", "the NIC cuts super-packets", cut))
    flows = [row.flow for row in rows]
    for value in (4, 6):
        said.append(("outer", f"the outer header is IPv{value}", [f.outer == value for f in flows]))
        said.append(("inner", f"the inner header is IPv{value}", [f.inner == value for f in flows]))
    for yes, asked, sent in (
        (True, "an outer checksum is asked for", "the kernel makes super-packets"),
        (False, "no outer checksum is asked for", "the kernel makes no super-packets"),
    ):
        said.append(("outer checksum", asked, [f.outer_checksum == yes for f in flows]))
        said.append(("segmentation", sent, [f.segmentation == yes for f in flows]))
    said += [
        ("l4", f"the inner protocol is {l4.upper()}", [f.l4 == l4 for f in flows])
        for l4 in ("tcp", "udp")
    ]
    said += [
        (
            "vlan",
            f"the outer packets carry {what} VLAN tag",
            [bool(f.vlan) == tagged for f in flows],
        )
        for what, tagged in (("a", True), ("no", False))
    ]
    said += [
        ("port", f"the tunnel's port is {port}", [f.port == port for f in flows])
        for port in sorted({f.port for f in flows})
    ]
    for name in features:
        on = [row.effective.get(name, False) for row in rows]
        said.append((name, f"{name} is on", on))
        said.append((name, f"{name} is off", [not value for value in on]))
    everywhere = (1 << len(rows)) - 1
    made = [_Condition(dimension, text, _bits(holds)) for dimension, text, holds in said]
    return [condition for condition in made if 0 < condition.cells < everywhere]


def _bits(holds: Iterable[bool]) -> int:
    return sum(1 << place for place, true in enumerate(holds) if true)
