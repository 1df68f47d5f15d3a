"""Keeps the results of a pair's cells, and runs the cells that a search needs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from qualification.plan.cells import Cell
from qualification.plan.features import FeatureSpace, OffloadSet
from qualification.plan.flows import Flow

from .findings import Observation
from .search import Knowledge, Settled

Purpose = Literal["search", "off", "on"]
"""Why a cell is run: for a search, or for a proof with the culprit off or on again."""

Run = Callable[[Cell, Purpose], Observation]

_MOST_SEARCHED, _MOST_PROVING = 40, 80
"""Most cells that are run on one pair for searches and for proofs."""


class UnprovedError(Exception):
    """A culprit cannot be proved, for the reason that the message gives."""


class CellResults:
    """Keeps what was observed of each flow under each set, and runs cells that are missing.

    Args:
        pair: Name of the pair.
        space: The features of its DUT that can be varied.
        seen: What was observed of its cells.
        flows: Flows that may be sent on it.
        run: Runs a cell again.

    Attributes:
        pair: Name of the pair.
        space: The features of its DUT that can be varied.
        runs: Number of cells that were run, by purpose.
    """

    def __init__(
        self,
        pair: str,
        space: FeatureSpace,
        seen: Iterable[Observation],
        flows: Iterable[Flow],
        run: Run,
    ) -> None:
        self.pair, self.space = pair, space
        self.runs: dict[Purpose, int] = {"search": 0, "off": 0, "on": 0}
        self._run = run
        self._seen: dict[Flow, dict[Settled, Observation]] = {flow: {} for flow in flows}
        self._failing: dict[Flow, dict[Settled, bool | None]] = {flow: {} for flow in self._seen}
        for one in seen:
            self._note(one)

    @property
    def exhausted(self) -> bool:
        """Whether searches may run no more cells."""
        return self.runs["search"] >= _MOST_SEARCHED

    def failing_sets(self) -> dict[Flow, list[Settled]]:
        """Returns the sets that each failing flow fails under, the largest first."""
        sets = {
            flow: sorted((on for on, one in cells.items() if one.failing), key=len, reverse=True)
            for flow, cells in self._seen.items()
        }
        return {flow: failing for flow, failing in sets.items() if failing}

    def has(self, flow: Flow) -> bool:
        """Returns whether a flow may be sent on the pair."""
        return flow in self._seen

    def seen(self, flow: Flow, on: Settled) -> Observation | None:
        """Returns what was observed of a flow under a set; None if it was not run."""
        return self._seen[flow].get(on)

    def failing(self, flow: Flow, on: Settled) -> bool | None:
        """Returns whether a flow failed under a set; None where that is not known."""
        return self._failing[flow].get(on)

    def contradictory(self, flow: Flow) -> bool:
        """Returns whether a flow passed with a larger set than one it failed with.

        Then nothing follows for the parts of its sets.
        """
        known = self._failing[flow].items()
        return any(part < on for on, fails in known if fails is False for part, bad in known if bad)

    def cell(self, flow: Flow, on: Settled) -> Cell:
        """Returns the cell of a flow under a settled set."""
        return Cell(self.pair, OffloadSet(on & self.space.switchable, self.space), flow)

    def knowledge(self, flow: Flow) -> Knowledge:
        """Returns what is known of a flow; asked for more, it runs cells within the limit."""

        def ask(offloads: OffloadSet) -> bool | None:
            if self.exhausted:
                return None
            return self._rerun(flow, self.space.settle(offloads.on), "search").failing

        return Knowledge(self.space, self._failing[flow], ask)

    def prove(self, flow: Flow, on: Settled, purpose: Purpose) -> Observation:
        """Runs a cell again for a proof.

        Raises:
            UnprovedError: The cell could not be judged, or too many cells were run.
        """
        if self.runs["off"] + self.runs["on"] >= _MOST_PROVING:
            raise UnprovedError(f"{_MOST_PROVING} runs were spent on others")
        one = self._rerun(flow, on, purpose)
        if one.failing is None:
            raise UnprovedError(f"{one.cell.id} came out {one.verdict}")
        return one

    def _rerun(self, flow: Flow, on: Settled, purpose: Purpose) -> Observation:
        self.runs[purpose] += 1
        one = self._run(self.cell(flow, on), purpose)
        self._note(one)
        return one

    def _note(self, one: Observation) -> None:
        """Keeps an observation; a cell that failed once does not count as clean later."""
        flow, on = one.cell.flow, self.space.settle(one.cell.offloads.on)
        if one.cell.unsupported or self._failing.setdefault(flow, {}).get(on):
            return
        self._failing[flow][on] = one.failing
        self._seen.setdefault(flow, {})[on] = one
