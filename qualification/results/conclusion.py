"""The conclusion: from a run's cells to its outcome and exit code, for a run and a stored one.

QUALIFIED is said of a complete run alone: every cell of its plan, on the pairs that were asked for,
and of these at least the essential ones (`Cell.essential`) with proof that the NIC had its part.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from qualification import errors
from qualification.campaign import Campaign
from qualification.judge.culprit.used_features import used
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import SETTLED, Verdict


class RunOutcome(StrEnum):
    """How a run ends."""

    QUALIFIED = "QUALIFIED"
    NOT_QUALIFIED = "NOT QUALIFIED"
    INTERRUPTED = "INTERRUPTED"
    NO_CELL = "NO CELL"
    NOT_JUDGED = "NOT JUDGED"
    PARTIAL = "PARTIAL"
    NOT_EXERCISED = "NOT EXERCISED"


EXIT_CODES: Mapping[RunOutcome, int] = {
    RunOutcome.QUALIFIED: errors.EXIT_QUALIFIED,
    RunOutcome.NOT_QUALIFIED: errors.EXIT_NOT_QUALIFIED,
    RunOutcome.INTERRUPTED: errors.EXIT_INTERRUPTED,
    RunOutcome.NO_CELL: errors.EXIT_NO_CELL,
    RunOutcome.NOT_JUDGED: errors.EXIT_LAB,
    RunOutcome.PARTIAL: errors.EXIT_PARTIAL,
    RunOutcome.NOT_EXERCISED: errors.EXIT_NOT_EXERCISED,
}

_EXERCISED = (Verdict.PASS, Verdict.FAIL, Verdict.LOSS, Verdict.KNOWN)
_IDLE = (Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED)


@dataclass(frozen=True)
class Selection:
    """What narrows a run to some cells of its plan.

    Attributes:
        keyword: The expression of -k; empty for none.
        marks: The expression of -m; empty for none.
        partial_ok: Whether the exit code of a partial run in which nothing failed is 0.
    """

    keyword: str = ""
    marks: str = ""
    partial_ok: bool = False


@dataclass(frozen=True)
class RunEnd:
    """How a run came to its end.

    Attributes:
        finished: When (ISO 8601, with zone); None if the run did not say.
        interrupted: Whether it was ended from outside, before its last cell.
    """

    finished: str | None = None
    interrupted: bool = False


@dataclass(frozen=True)
class Completeness:
    """How much of its plan a run has carried out.

    Attributes:
        planned: Cells of the plan, on the pairs that were asked for.
        selected: Cells among them that were selected.
        run: Cells among these that came to a result.
        essential: Essential cells of the plan.
        exercised: Essential cells that ran and exercised the NIC.
        idle: Pairs with essential cells that did not exercise the NIC, or whose NIC offers no
            feature, so that it has none.
    """

    planned: int
    selected: int
    run: int
    essential: int
    exercised: int
    idle: tuple[str, ...]


@dataclass(frozen=True)
class Conclusion:
    """The result of a whole run.

    Attributes:
        outcome: How it ends.
        completeness: How much of the plan that rests on.
        selection: What narrowed the run.
        end: How it came to its end.
    """

    outcome: RunOutcome
    completeness: Completeness
    selection: Selection
    end: RunEnd

    @property
    def exit_code(self) -> int:
        """The exit code of a run with this result."""
        if self.outcome is RunOutcome.PARTIAL and self.selection.partial_ok:
            return errors.EXIT_QUALIFIED
        return EXIT_CODES[self.outcome]


def conclude(
    campaign: Campaign,
    rows: Collection[CellRow],
    ran: Collection[str],
    selection: Selection,
    end: RunEnd,
    *,
    blamed: bool,
    doubted: bool,
) -> Conclusion:
    """Returns the result of a run.

    Args:
        campaign: The run.
        rows: The selected cells.
        ran: Ids of the cells that came to a result.
        selection: What narrowed the run.
        end: How it came to its end.
        blamed: Whether a NIC failed; that takes precedence over a failure of the lab.
        doubted: Whether something could not be judged.
    """
    done = completeness(campaign, rows, ran)
    if end.interrupted:
        outcome = RunOutcome.INTERRUPTED
    elif blamed:
        outcome = RunOutcome.NOT_QUALIFIED
    elif doubted:
        outcome = RunOutcome.NOT_JUDGED
    elif not rows:
        outcome = RunOutcome.NO_CELL
    elif all(row.verdict in _IDLE for row in rows):
        outcome = RunOutcome.NOT_EXERCISED
    elif done.selected < done.planned:
        outcome = RunOutcome.PARTIAL
    else:
        outcome = RunOutcome.NOT_EXERCISED if done.idle else RunOutcome.QUALIFIED
    return Conclusion(outcome, done, selection, end)


def pair_outcome(
    outcome: RunOutcome, done: Completeness, pair: str, cells: Collection[CellRow]
) -> RunOutcome:
    """Returns how one pair of a run ends, as far as its cells show.

    Args:
        outcome: How the run ends.
        done: How much of its plan it has carried out.
        pair: Name of the pair.
        cells: The pair's cells.
    """
    verdicts = {cell.verdict for cell in cells}
    if verdicts & {Verdict.FAIL, Verdict.LOSS}:
        return RunOutcome.NOT_QUALIFIED
    if verdicts - SETTLED:
        return RunOutcome.NOT_JUDGED
    if outcome is RunOutcome.INTERRUPTED:
        return RunOutcome.INTERRUPTED
    if not cells:
        return RunOutcome.NO_CELL
    if done.selected < done.planned:
        return RunOutcome.PARTIAL
    return RunOutcome.NOT_EXERCISED if pair in done.idle else RunOutcome.QUALIFIED


def completeness(campaign: Campaign, rows: Iterable[CellRow], ran: Collection[str]) -> Completeness:
    """Returns how much of its plan a run has carried out; arguments as for `conclude`."""
    found = {row.id: row for row in rows}
    exercised = {
        row.id
        for row in found.values()
        if row.verdict in _EXERCISED and used(row, campaign.ends(row.pair).dut.driver)
    }
    planned = {pair: campaign.cells(pair) for pair in campaign.pairs}
    essential = {
        pair: {cell.id for cell in cells if cell.essential} for pair, cells in planned.items()
    }
    everything = set().union(*essential.values())
    return Completeness(
        planned=sum(map(len, planned.values())),
        selected=len(found),
        run=len(found.keys() & set(ran)),
        essential=len(everything),
        exercised=len(everything & exercised),
        idle=tuple(pair for pair, ids in essential.items() if not ids or ids - exercised),
    )
