"""Known failures: which cells they match, and which expectations are out of date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

from qualification.inventory import Nic
from qualification.judge.outcome import Outcome
from qualification.judge.result_row import CellRow, row
from qualification.judge.verdict import Verdict

from .expectations import Expectations, Known
from .versions import within

_SHOWS_NOTHING = (Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED)


def expect(outcome: Outcome, dut: Nic, expectations: Expectations | None, today: date) -> Outcome:
    """Returns the outcome of a cell after expectations: KNOWN for a failure that was expected.

    Only a failure that blames the NIC can be known; failures of the lab stay what they are.

    Args:
        outcome: The outcome by its evidence.
        dut: The NIC that was judged.
        expectations: The known failures; None if there are none.
        today: The day by which expectations expire.
    """
    if expectations is None or not outcome.blames_nic:
        return outcome
    judgement = outcome.judgement
    made = row(outcome.cell, judgement, outcome.evidence)
    matching = {
        name: entry
        for name, entry in expectations.known.items()
        if judgement.verdict in entry.verdicts and _matches(entry, dut, made)
    }
    for name, entry in matching.items():
        if today <= entry.expires:
            reason = (
                f"{entry.reason} ({entry.link}; {name}, until {entry.expires}); "
                f"{judgement.verdict}: {judgement.reason}"
            )
            known = replace(judgement, verdict=Verdict.KNOWN, reason=reason)
            return replace(outcome, judgement=known, blames_nic=False, expectation=name)
    for name, entry in matching.items():
        reason = f"{judgement.reason}; the expectation {name} expired on {entry.expires}"
        return replace(outcome, judgement=replace(judgement, reason=reason), expectation=name)
    return outcome


@dataclass(frozen=True)
class ExpectationNote:
    """An entry of an expectations file that needs attention.

    Attributes:
        kind: "UNEXPECTED PASS", "EXPIRED" or "UNUSED".
        name: Name of the entry.
        text: A sentence for people.
    """

    kind: str
    name: str
    text: str


def findings(
    expectations: Expectations | None,
    rows: Iterable[CellRow],
    duts: Mapping[str, Nic],
    today: date,
) -> tuple[ExpectationNote, ...]:
    """Returns the entries that a run shows to be out of date or unused, in the file's order.

    Args:
        expectations: The known failures; None if there are none.
        rows: Every cell of the run.
        duts: The NIC judged, by pair.
        today: The day by which expectations expire.
    """
    if expectations is None:
        return ()
    cells = list(rows)
    found = (
        _note(name, entry, [c for c in cells if _matches(entry, duts[c.pair], c)], today)
        for name, entry in expectations.known.items()
    )
    return tuple(note for note in found if note is not None)


def _note(name: str, entry: Known, matching: list[CellRow], today: date) -> ExpectationNote | None:
    telling = [cell for cell in matching if cell.verdict not in _SHOWS_NOTHING]
    if not telling:
        what = (
            "none of the cells that match it had anything to show"
            if matching
            else "it matches no cell that ran"
        )
        return ExpectationNote("UNUSED", name, what)
    if all(cell.verdict is Verdict.PASS for cell in telling):
        count = f"all {len(telling)} cells pass" if len(telling) > 1 else "the one cell passes"
        return ExpectationNote(
            "UNEXPECTED PASS",
            name,
            f"{count} of which was expected: {entry.reason} ({entry.link}). "
            "If it is healed, remove the entry",
        )
    hidden = {cell.id for cell in telling if cell.verdict in entry.verdicts}
    if today > entry.expires and hidden:
        return ExpectationNote(
            "EXPIRED",
            name,
            f"it expired on {entry.expires} and hides nothing any more: {entry.reason} "
            f"({entry.link}). Cells that fail: {len(hidden)}",
        )
    return None


def _matches(entry: Known, dut: Nic, cell: CellRow) -> bool:
    """Returns whether an entry matches a cell, whatever its verdict."""
    on = cell.effective or cell.requested  # a cell that never ran has no effective features
    return (
        fnmatchcase(dut.driver, entry.driver)
        and within(dut.firmware, entry.firmware)
        and within(dut.host.kernel, entry.kernel)
        and fnmatchcase(cell.set_id, entry.offload_set)
        and fnmatchcase(cell.flow.id, entry.flow)
        and all(on.get(name, False) == wanted for name, wanted in entry.features.items())
    )
