"""What a comparison of two runs says: frozen dataclasses, which every output is a view of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from qualification.errors import EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED
from qualification.judge.culprit.findings import Mitigation
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.results.matrix import NicRow, RunRow
from qualification.results.terminal.culprit_lines import command

FAILING = frozenset({Verdict.FAIL, Verdict.LOSS, Verdict.KNOWN})
"""Verdicts of cells in which the NIC fails. A failure that is known is one."""


class Change(StrEnum):
    """What became of a cell from the old run to the new one."""

    REGRESSED = "regressed"
    HEALED = "healed"
    RATE_CHANGED = "rate changed"
    WITHIN_CHANCE = "within chance"
    UNCHANGED = "unchanged"
    NEW = "new"
    GONE = "gone"
    NOT_JUDGED = "not judged"
    CANNOT_BE_COMPARED = "cannot be compared"


COMPARED = frozenset(
    {
        Change.REGRESSED,
        Change.HEALED,
        Change.RATE_CHANGED,
        Change.WITHIN_CHANCE,
        Change.UNCHANGED,
    }
)
"""What is said of a cell that both runs have judged alike."""


class Answer(StrEnum):
    """What a comparison comes to, the most important first."""

    REGRESSED = "REGRESSED"
    HEALED = "HEALED"
    RATE_CHANGED = "RATE CHANGED"
    NO_REGRESSION = "NO REGRESSION"
    NOTHING_COMPARED = "NOTHING COMPARED"


@dataclass(frozen=True)
class CellChange:
    """One cell in both runs.

    Attributes:
        cell: "set/flow", without the pair, which may have another name in each run.
        change: What became of it.
        reason: Why that is said, for people.
        old: Its row in the old run; None if that run has no such cell.
        new: Its row in the new run; None if that run has no such cell.
        chance: The probability of a difference like this one in either direction where the NIC is
            the same; None where nothing was tested.
    """

    cell: str
    change: Change
    reason: str
    old: CellRow | None
    new: CellRow | None
    chance: float | None = None

    @property
    def fails_unmatched(self) -> bool:
        """Whether the NIC fails in the new run, and the old one has nothing to compare with."""
        unmatched = self.change in (Change.NEW, Change.CANNOT_BE_COMPARED)
        return unmatched and self.new is not None and self.new.verdict in FAILING


@dataclass(frozen=True)
class Side:
    """A pair as one of the two runs has it.

    Attributes:
        pair: Its name in that run.
        dut: The NIC to qualify.
        peer: Its peer.
        mitigation: Kernel names of the features whose turning off heals the pair; empty if it needs
            none or none is known.
        failing: Cells of the pair in which the NIC fails.
        cells: Cells of the pair.
        cost: What the mitigation costs, in words; empty where that was not measured.
    """

    pair: str
    dut: NicRow
    peer: NicRow
    mitigation: tuple[str, ...]
    failing: int
    cells: int
    cost: str = ""

    @property
    def command(self) -> str:
        """The command that mitigates; empty without a mitigation."""
        if not self.mitigation:
            return ""
        return command(self.dut.interface, Mitigation(self.mitigation, (), 0, 0))


@dataclass(frozen=True)
class PairComparison:
    """A pair of the old run beside one of the new run.

    Attributes:
        old: The pair in the old run.
        new: The pair in the new run.
        notes: What has to be known of the two, in sentences.
        cells: What became of each cell, in the order of the new run.
    """

    old: Side
    new: Side
    notes: tuple[str, ...]
    cells: tuple[CellChange, ...]


@dataclass(frozen=True)
class Comparison:
    """Two runs compared.

    Attributes:
        old: The old run.
        new: The new run.
        pairs: The pairs that both have.
        only_old: Pairs without a counterpart in the new run.
        only_new: Pairs without a counterpart in the old run.
        notes: What has to be known of the two runs, in sentences.
        level: Probability of any change by chance alone, over all cells of all pairs.
    """

    old: RunRow
    new: RunRow
    pairs: tuple[PairComparison, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    notes: tuple[str, ...]
    level: float

    @property
    def cells(self) -> tuple[CellChange, ...]:
        """The cells of all pairs."""
        return tuple(cell for pair in self.pairs for cell in pair.cells)

    @property
    def answer(self) -> Answer:
        """What the comparison comes to."""
        return answer(self.cells)

    @property
    def exit_code(self) -> int:
        """1 for a regression, 10 where nothing could be compared, 0 otherwise."""
        if self.answer is Answer.REGRESSED:
            return EXIT_NOT_QUALIFIED
        return EXIT_LAB if self.answer is Answer.NOTHING_COMPARED else EXIT_QUALIFIED


def answer(cells: Iterable[CellChange]) -> Answer:
    """Returns what some cells come to."""
    found = {cell.change for cell in cells if not _idle(cell)}
    for change, said in (
        (Change.REGRESSED, Answer.REGRESSED),
        (Change.HEALED, Answer.HEALED),
        (Change.RATE_CHANGED, Answer.RATE_CHANGED),
    ):
        if change in found:
            return said
    return Answer.NO_REGRESSION if found & COMPARED else Answer.NOTHING_COMPARED


def _idle(cell: CellChange) -> bool:
    """Returns whether the NIC had no part in a cell, in either run: that compares nothing."""
    idle = (Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED)
    rows = [row for row in (cell.old, cell.new) if row is not None]
    return all(row.verdict in idle for row in rows)


def counted(cells: Iterable[CellChange]) -> str:
    """Returns how many cells there are of each change, in words."""
    all_cells = list(cells)
    count = Counter(cell.change for cell in all_cells)
    named = []
    for change in Change:
        if not count[change]:
            continue
        failing = sum(cell.fails_unmatched for cell in all_cells if cell.change is change)
        more = f" ({failing:,} of them FAIL now)" if failing else ""
        named.append(f"{count[change]:,} {change}{more}")
    return ", ".join(named)
