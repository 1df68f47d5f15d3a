"""What is known of a pair's cells, and the runs that add to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from qualification.plan.cells import Cell
from qualification.plan.features import FeatureSpace, OffloadSet
from qualification.plan.flows import Flow

from .findings import Observation
from .search import Knowledge, Settled

Purpose = Literal["search", "off", "on"]
"""Why a cell is run: to know, or to prove, with the culprit off or back on."""

Run = Callable[[Cell, Purpose], Observation]

_MOST_SEARCHED, _MOST_PROVING = 40, 80
"""Cells that are run on one pair, at most, to know and to prove."""


class UnprovedError(Exception):
    """It cannot be shown, for the reason that this says."""


class CellResults:
    """Keeps what was seen of each flow under each set, and runs what was not.

    Args:
        pair: Name of the pair.
        space: What its DUT lets us vary.
        seen: How its cells came out.
        flows: What may be sent on it.
        run: Runs a cell anew.

    Attributes:
        pair: As given.
        space: As given.
        runs: Cells that were run, by purpose.
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
        self._known: dict[Flow, dict[Settled, bool | None]] = {flow: {} for flow in self._seen}
        for one in seen:
            self._note(one)

    @property
    def exhausted(self) -> bool:
        """Whether no more cells may be run to know."""
        return self.runs["search"] >= _MOST_SEARCHED

    def failing(self) -> dict[Flow, list[Settled]]:
        """The sets that each failing flow fails under, the largest first."""
        sets = {
            flow: sorted((on for on, one in some.items() if one.failing), key=len, reverse=True)
            for flow, some in self._seen.items()
        }
        return {flow: some for flow, some in sets.items() if some}

    def has(self, flow: Flow) -> bool:
        """Whether a flow may be sent on the pair."""
        return flow in self._seen

    def seen(self, flow: Flow, on: Settled) -> Observation | None:
        """How a flow came out under a set."""
        return self._seen[flow].get(on)

    def verdict(self, flow: Flow, on: Settled) -> bool | None:
        """Whether a flow was seen to fail under a set; None where that is not known."""
        return self._known[flow].get(on)

    def contrary(self, flow: Flow) -> bool:
        """Whether a flow was clean with more on than it failed with: its parts prove nothing."""
        known = self._known[flow].items()
        return any(part < on for on, fails in known if fails is False for part, bad in known if bad)

    def cell(self, flow: Flow, on: Settled) -> Cell:
        """The cell of a flow under a settled set."""
        return Cell(self.pair, OffloadSet(on & self.space.switchable, self.space), flow)

    def knowledge(self, flow: Flow) -> Knowledge:
        """For searches: what is known of a flow, and the runs it may take to know more."""

        def ask(offloads: OffloadSet) -> bool | None:
            if self.exhausted:
                return None
            return self._rerun(flow, self.space.settle(offloads.on), "search").failing

        return Knowledge(self.space, self._known[flow], ask)

    def prove(self, flow: Flow, on: Settled, purpose: Purpose) -> Observation:
        """Runs a cell anew.

        Raises:
            UnprovedError: It could not be judged, or there have been too many runs.
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
        """Remembers how a cell came out; what has failed once is not clean for passing later."""
        flow, on = one.cell.flow, self.space.settle(one.cell.offloads.on)
        if one.cell.unsupported or self._known.setdefault(flow, {}).get(on):
            return
        self._known[flow][on] = one.failing
        self._seen.setdefault(flow, {})[on] = one
