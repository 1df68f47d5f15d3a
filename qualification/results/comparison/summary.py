"""What the outputs of a comparison have in common: its first line, and its cells by their fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qualification.judge.result_row import CellRow
from qualification.results.terminal.explanations import alike, faults

from .model import CellChange, Change, Comparison, PairComparison, Side, answer, counted

_BY_NEW = (Change.REGRESSED, Change.RATE_CHANGED)
"""Changes whose cells are told apart by the fault that they show now; of others, before."""
EXPLAINED = (
    Change.REGRESSED,
    Change.HEALED,
    Change.RATE_CHANGED,
    Change.WITHIN_CHANCE,
    Change.NEW,
    Change.GONE,
    Change.NOT_JUDGED,
    Change.CANNOT_BE_COMPARED,
)
"""The changes of which something is said, in the order of their importance."""
_BY_FAULT = EXPLAINED[:4]


@dataclass(frozen=True)
class Group:
    """Cells that changed in the same way, by the same fault or for the same reason.

    Attributes:
        change: What became of them.
        cells: The cells; the most telling one comes first.
    """

    change: Change
    cells: tuple[CellChange, ...]

    @property
    def named(self) -> str:
        """The first cell, and how many more there are."""
        more = len(self.cells) - 1
        return f"{self.cells[0].cell} and {more:,} more" if more else self.cells[0].cell

    @property
    def fault(self) -> CellRow | None:
        """The row that shows the fault: of the new run, or of the old one where it has healed."""
        first = self.cells[0]
        if self.change is Change.HEALED:
            return first.old
        return first.new or first.old

    @property
    def culprit(self) -> tuple[str, ...]:
        """The features whose turning off heals the cells; empty where that is not known."""
        row = self.fault
        return tuple(row.culprit or ()) if row is not None else ()


def headline(comparison: Comparison) -> str:
    """Returns the answer in one line: what it comes to, for which NICs, in how many cells."""
    said = comparison.answer
    if not comparison.pairs:
        return f"{said}: the two runs have no pair in common"
    shown = [pair for pair in comparison.pairs if answer(pair.cells) is said]
    named = ", ".join(map(nics, shown or comparison.pairs))
    many = len(comparison.cells)
    cells = f"{many:,} cell{'s' * (many != 1)}"
    return f"{said}: {named}. {cells}: {counted(comparison.cells)}"


def nics(pair: PairComparison) -> str:
    """Returns a pair with its NIC before and after, as far as these differ."""
    old, new = pair.old, pair.new
    name = new.pair if old.pair == new.pair else f"{old.pair} -> {new.pair}"
    driver = arrow(old.dut.driver, new.dut.driver)
    return f"{name} ({driver}, firmware {arrow(old.dut.firmware, new.dut.firmware)})"


def arrow(before: object, now: object) -> str:
    """Returns a value, or both with an arrow between where they differ."""
    return f"{now}" if before == now else f"{before} -> {now}"


def groups(cells: Sequence[CellChange]) -> Iterator[Group]:
    """Yields the cells by change and by fault or reason, what matters most first."""
    for change in EXPLAINED:
        of_change = [cell for cell in cells if cell.change is change]
        if change in _BY_FAULT:
            yield from _by_fault(change, of_change)
        else:
            yield from _by_reason(change, of_change)


def _by_fault(change: Change, cells: Sequence[CellChange]) -> Iterator[Group]:
    rows, of_row = [], {}
    for cell in cells:
        now, before = (cell.new, cell.old) if change in _BY_NEW else (cell.old, cell.new)
        row = now if now is not None and now.verdict != "PASS" else before
        if row is not None:
            rows.append(row)
            of_row[id(row)] = cell
    told = [[of_row.pop(id(row)) for row in fault] for fault in faults(rows)]
    told += [[cell] for cell in of_row.values()]  # known to fail: `faults` leaves them out
    for some in told:
        yield Group(change, tuple(some))


def _by_reason(change: Change, cells: Sequence[CellChange]) -> Iterator[Group]:
    found: dict[tuple[bool, str], list[CellChange]] = {}
    for cell in cells:  # those that fail with nothing to compare come first
        found.setdefault((not cell.fails_unmatched, alike(cell.reason)), []).append(cell)
    for key in sorted(found, key=lambda key: key[0]):
        yield Group(change, tuple(found[key]))


def before_and_after(old: Side, new: Side) -> Iterator[tuple[str, str, str]]:
    """Yields what was and what is: a word, the value before, the value after."""
    one, other = old.dut, new.dut
    yield "NIC", f"{one.host} {one.interface}", f"{other.host} {other.interface}"
    for word, before, now in (
        ("PCI id", one.pci_id, other.pci_id),
        ("serial number", one.serial, other.serial),
    ):
        if before or now:
            yield word, before or "unknown", now or "unknown"
    yield "driver", _driver(old), _driver(new)
    yield "firmware", one.firmware, other.firmware
    yield "kernel", one.kernel, other.kernel
    yield (
        "cells that fail",
        f"{old.failing:,} of {old.cells:,}",
        f"{new.failing:,} of {new.cells:,}",
    )


def _driver(side: Side) -> str:
    version = side.dut.driver_version
    return f"{side.dut.driver} {version}" if version else side.dut.driver
