"""The conditions on cells that can be named as what failing ones have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qualification.judge.result_row import CellRow
from qualification.plan.features import RULES, TNL, TNL_CSUM

from .used_features import used


@dataclass(frozen=True)
class Condition:
    """Something that holds in some cells.

    Attributes:
        dimension: What it is about. Two conditions of one dimension exclude each other.
        text: The condition in words.
        cells: The cells in which it holds, as bits.
    """

    dimension: str
    text: str
    cells: int


def conditions(rows: Sequence[CellRow], driver: str) -> list[Condition]:
    """Returns the conditions on cells, the most telling first.

    Conditions that hold in all cells or in none are left out.

    Args:
        rows: Cells of one pair.
        driver: The DUT's driver.
    """
    parts = [used(row, driver) for row in rows]
    features = [name for name in RULES if any(name in row.effective for row in rows)]
    found: list[tuple[str, str, Iterable[bool]]] = [
        (f"used {name}", f"the NIC uses {name}", [name in part for part in parts])
        for name in features
    ]
    segmented = [bool(part & {TNL, TNL_CSUM}) for part in parts]
    found.append(("segmented", "the NIC segments super-packets", segmented))
    flows = [row.flow for row in rows]
    for value in (4, 6):
        found.append(
            ("outer", f"the outer header is IPv{value}", [f.outer == value for f in flows])
        )
        found.append(
            ("inner", f"the inner header is IPv{value}", [f.inner == value for f in flows])
        )
    for yes, asked, sent in (
        (True, "an outer checksum is asked for", "the kernel makes super-packets"),
        (False, "no outer checksum is asked for", "the kernel makes no super-packets"),
    ):
        found.append(("outer checksum", asked, [f.outer_checksum == yes for f in flows]))
        found.append(("segmentation", sent, [f.segmentation == yes for f in flows]))
    found += [
        ("l4", f"the inner protocol is {l4.upper()}", [f.l4 == l4 for f in flows])
        for l4 in ("tcp", "udp")
    ]
    found += [
        (
            "vlan",
            f"the outer packets carry {what} VLAN tag",
            [bool(f.vlan) == tagged for f in flows],
        )
        for what, tagged in (("a", True), ("no", False))
    ]
    found += [
        ("port", f"the tunnel's port is {port}", [f.port == port for f in flows])
        for port in sorted({f.port for f in flows})
    ]
    for name in features:
        on = [row.effective.get(name, False) for row in rows]
        found.append((name, f"{name} is on", on))
        found.append((name, f"{name} is off", [not value for value in on]))
    everywhere = (1 << len(rows)) - 1
    made = [Condition(dimension, text, bits(holds)) for dimension, text, holds in found]
    return [condition for condition in made if 0 < condition.cells < everywhere]


def bits(holds: Iterable[bool]) -> int:
    """Returns a number with one bit for each cell, the lowest for the first."""
    return sum(1 << place for place, true in enumerate(holds) if true)
