"""Which cells of a run a bundle is about."""

from __future__ import annotations

from collections.abc import Sequence

from qualification.errors import UsageError
from qualification.judge.result_row import CellRow
from qualification.results.matrix import Matrix
from qualification.results.terminal.explanations import faults

_MOST = 8
_FAILING = ("FAIL", "LOSS", "KNOWN")


def chosen(matrix: Matrix, names: Sequence[str]) -> list[CellRow]:
    """Returns the rows of the cells that a bundle is about, all of one pair.

    Args:
        matrix: The results of the run.
        names: Ids of failing cells, or what ids begin with ("x710", "x710/all-on"): the most
            telling cell of each fault there is taken. None for all cells.

    Raises:
        UsageError: No such cell fails, or the cells are of several pairs.
    """
    failing = [row for row in matrix.cells if row.verdict in _FAILING]
    found: list[CellRow] = []
    for name in names or [""]:
        exact = [row for row in matrix.cells if row.id == name]
        if exact and exact[0] not in failing:
            raise UsageError(
                f"it did not fail: {exact[0].verdict}",
                where=name,
                hint="name a cell that fails; matrix.html shows them",
            )
        found += exact or _telling([row for row in failing if _below(row.id, name)], name)
    pairs = list(dict.fromkeys(row.pair for row in found))
    if len(pairs) > 1:
        raise UsageError(
            f"cells of {len(pairs)} pairs fail ({', '.join(pairs)}), and a bundle is about one NIC",
            hint=f"name a pair behind the run: vxqual bundle RUN {pairs[0]}",
        )
    return list({row.id: row for row in found}.values())


def _below(id_: str, name: str) -> bool:
    return not name or id_.startswith(f"{name.rstrip('/')}/")


def _telling(rows: Sequence[CellRow], name: str) -> list[CellRow]:
    found = [same[0] for same in faults(rows)][:_MOST] or list(rows[:_MOST])  # all of them KNOWN
    if not found:
        raise UsageError(
            f"no cell {f'of {name} ' * bool(name)}fails: there is nothing to report to a vendor",
            hint="give the id of a failing cell, or of a pair, as matrix.html shows them",
        )
    return found
