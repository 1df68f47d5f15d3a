"""Whether two cells can be compared at all, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qualification.judge.culprit.used_features import work
from qualification.judge.outcome import NEVER_RAN
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Demand, Verdict
from qualification.plan.features import RECEIVED
from qualification.results.matrix import RunRow

from .model import FAILING, CellChange, Change

_IDLE = {
    Verdict.NOT_EXERCISED: "the NIC had nothing to do",
    Verdict.UNSUPPORTED: "the NIC does not support it",
}
_NOT_JUDGED = (Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.UNTRUSTED)
_RECEIVING = frozenset(rule.name for rule in RECEIVED)


@dataclass(frozen=True)
class Runs:
    """What two runs were asked, and the drivers of the pair that is compared."""

    old: RunRow
    new: RunRow
    old_driver: str
    new_driver: str


def hindrance(old: CellRow, new: CellRow, runs: Runs) -> CellChange | None:
    """Returns what is said of two cells that cannot be compared; None if they can be.

    Args:
        old: The cell in the old run.
        new: The cell in the new run, with the same offload set requested and the same flow.
        runs: The runs.
    """

    def ends(change: Change, reason: str) -> CellChange:
        return CellChange(name(new), change, reason, old, new)

    for row, which in ((new, "new"), (old, "old")):
        if row.verdict in _NOT_JUDGED:
            why = "it never ran" if row.reason == NEVER_RAN else row.reason
            return ends(Change.NOT_JUDGED, f"{row.verdict} in the {which} run: {why}")
    if old.verdict in _IDLE and new.verdict in _IDLE:
        return ends(Change.UNCHANGED, f"{_IDLE[new.verdict]}, in both runs alike")
    for row, other, which in ((new, old, "new"), (old, new, "old")):
        if row.verdict in _IDLE and not (_clean(row) and other.verdict in FAILING):
            return ends(Change.CANNOT_BE_COMPARED, f"{_IDLE[row.verdict]} in the {which} run")
    difference = _effective(old, new, runs)
    if difference:
        return ends(Change.CANNOT_BE_COMPARED, difference)
    passed = new.verdict not in FAILING and old.verdict not in FAILING
    if passed and _asks_less(runs.new.demand, runs.old.demand):
        return ends(
            Change.CANNOT_BE_COMPARED,
            f"the new run excludes only {_demand(runs.new.demand)}, the old one excluded "
            f"{_demand(runs.old.demand)}",
        )
    return None


def _clean(row: CellRow) -> bool:
    """Returns whether frames of a cell were judged and right, although it is no PASS.

    Its set is named for what the NIC did not do, and what it did instead was right.
    """
    return row.verdict is Verdict.NOT_EXERCISED and row.frames > 0


def alone(row: CellRow, runs: Runs, *, new: bool) -> CellChange:
    """Returns what is said of a cell that only one of the runs has.

    Args:
        row: The cell.
        runs: The runs.
        new: Whether it is the new run that has it.
    """
    has, lacks = (runs.new, runs.old) if new else (runs.old, runs.new)
    which = "old" if new else "new"
    old_row, new_row = (None, row) if new else (row, None)
    if has.plan != lacks.plan:
        reason = f"the {which} run has the plan {lacks.plan}, which lacks it"
        return CellChange(name(row), Change.CANNOT_BE_COMPARED, reason, old_row, new_row)
    if narrowed(lacks) and narrowed(has) != narrowed(lacks):
        reason = f"the {which} run was narrowed by {narrowed(lacks)}"
        return CellChange(name(row), Change.CANNOT_BE_COMPARED, reason, old_row, new_row)
    change, reason = (
        (Change.NEW, f"{row.verdict}; the plan of the old run did not have it")
        if new
        else (Change.GONE, f"{row.verdict} before; the plan of the new run does not have it")
    )
    return CellChange(name(row), change, reason, old_row, new_row)


def name(row: CellRow) -> str:
    """Returns "set/flow", by which the cells of two pairs are matched."""
    return row.id[len(row.pair) + 1 :]


def narrowed(run: RunRow) -> str:
    """Returns the options that narrowed a run to some of its cells; empty for none."""
    chosen = {"-k": run.selection.keyword, "-m": run.selection.marks}
    return " and ".join(f"{option} {text!r}" for option, text in chosen.items() if text)


def notes_on(old: RunRow, new: RunRow) -> tuple[str, ...]:
    """Returns in which ways two runs were asked for different things, in sentences."""
    notes = []
    if old.plan != new.plan:
        notes.append(
            f"the plans differ: {old.plan} before, {new.plan} now; what only one of them has "
            "cannot be compared"
        )
    if narrowed(old) != narrowed(new):
        before, now = narrowed(old) or "all cells", narrowed(new) or "all cells"
        notes.append(f"the selections differ: {before} before, {now} now")
    if old.demand != new.demand:
        notes.append(
            f"the demands differ: a PASS excluded {_demand(old.demand)} before, and excludes "
            f"{_demand(new.demand)} now"
        )
    for run, which in ((old, "old"), (new, "new")):
        if run.finished is None or run.outcome == "INTERRUPTED":
            notes.append(f"the {which} run did not come to its end")
    if old.id == new.id:
        notes.append("both are the same run")
    elif _later(old, new):
        notes.append(f"the old run began after the new one: {old.started}, {new.started}")
    return tuple(notes)


def _later(old: RunRow, new: RunRow) -> bool:
    try:
        return datetime.fromisoformat(old.started) > datetime.fromisoformat(new.started)
    except (ValueError, TypeError):
        return False


def _effective(old: CellRow, new: CellRow, runs: Runs) -> str:
    """Returns in which way the NIC had other work to do in the two runs; empty if it had not.

    Features that have no part in a flow may differ. What the kernel leaves to the NIC may not.
    """
    if new.flow.direction == "receive":
        differ = sorted(
            feature
            for feature in _RECEIVING & (old.effective.keys() | new.effective.keys())
            if old.effective.get(feature, False) != new.effective.get(feature, False)
        )
        same = not differ
    else:
        same = work(old, runs.old_driver) == work(new, runs.new_driver)
    if same:
        return ""
    return "the effective sets differ: " + (", ".join(_differing(old, new)) or "by the driver")


def _differing(old: CellRow, new: CellRow) -> list[str]:
    def state(row: CellRow, feature: str) -> str:
        if feature not in row.effective:
            return "not there"
        return "on" if row.effective[feature] else "off"

    features = sorted(old.effective.keys() | new.effective.keys())
    return [
        f"{feature} was {before} and is {now}"
        for feature in features
        if (before := state(old, feature)) != (now := state(new, feature))
    ]


def _asks_less(one: Demand, other: Demand) -> bool:
    return one.rate > other.rate or (one.rate == other.rate and one.confidence < other.confidence)


def _demand(demand: Demand) -> str:
    return f"a rate of {demand.rate:.3g} at {demand.confidence:.4g}"
