"""Refuses stored runs whose parts are right by themselves and make no sense together."""

from __future__ import annotations

from datetime import datetime

from qualification.campaign import Campaign
from qualification.messages.plausible import implausible
from qualification.plan.cells import Cell
from qualification.results.run_files import (
    ControlEntry,
    CostEntry,
    CulpritEntry,
    Line,
    SymptomEntry,
)


def nonsense(entry: Line, pairs: tuple[str, ...]) -> str | None:
    """Returns what in an entry cannot be, after its place; None if all of it can.

    Args:
        entry: The entry.
        pairs: The pairs of the run.
    """
    pair = entry.findings.pair if isinstance(entry, CulpritEntry) else None
    if isinstance(entry, ControlEntry | SymptomEntry):
        pair = entry.pair
    if isinstance(entry, CostEntry):
        pair = entry.turns.pair
        if not (entry.turns.all_on and entry.turns.mitigated):
            return "turns: there must be some of each kind"
        if any(turn.seconds <= 0 for turn in (*entry.turns.all_on, *entry.turns.mitigated)):
            return "turns: seconds must be more than 0"
    if pair is not None and pair not in pairs:
        return f"the run has no pair {pair}"
    return implausible(entry)


def check_run(campaign: Campaign, cells: tuple[Cell, ...]) -> None:
    """Checks that the parts of a run fit together, each of which is right by itself.

    Raises:
        ValueError: They do not.
        KeyError: A pair or a NIC is not there.
    """
    demand = campaign.demand
    if not (0 < demand.rate < 1 and 0 < demand.confidence < 1):
        raise ValueError("campaign.demand: must be between 0 and 1")
    datetime.fromisoformat(campaign.started)
    for pair in campaign.pairs:
        ends = campaign.ends(pair)
        if not ends.families:
            raise ValueError(f"campaign.pairs: the two ends of {pair} share no kind of address")
    for cell in cells:
        if cell.pair not in campaign.pairs:
            raise ValueError(f"cells: {cell.id} is of no pair of the run")
    wrong = implausible((campaign.inventory, cells))
    if wrong:
        raise ValueError(wrong)
