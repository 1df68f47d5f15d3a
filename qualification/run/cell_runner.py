"""Where a worker runs its cells: one pair's session open at a time, its controls run once."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from qualification.campaign import Campaign
from qualification.errors import LabError
from qualification.inventory import Ends, Role
from qualification.judge.controls import ControlResult, first_untrusted
from qualification.judge.culprit.findings import Observation
from qualification.judge.evidence import Evidence
from qualification.judge.known.matching import expect
from qualification.judge.outcome import Outcome, decide, untrusted
from qualification.judge.symptom import Runs
from qualification.plan.cells import Cell
from qualification.remote.agent_client import AgentClient
from qualification.remote.host import open_host
from qualification.remote.pair.controls import run_controls
from qualification.remote.pair.session import PairSession
from qualification.remote.pair.symptom import run_symptom

T = TypeVar("T")

_MOST_FAILURES = 3
"""Errors of the lab on one pair, after which the rest of its cells is not tried."""


class CellRunner:
    """Runs controls and cells of a campaign.

    Args:
        campaign: The run.
    """

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self._session: PairSession | None = None
        self._controls: dict[str, dict[str, ControlResult]] = {}
        self._unreported: dict[str, dict[str, ControlResult]] = {}
        self._observed: dict[str, list[Observation]] = {}
        self._failures: dict[str, int] = {}
        self._broken: dict[str, LabError] = {}

    def ends(self, pair: str) -> Ends:
        """The NICs of a pair."""
        return self.campaign.ends(pair)

    def controls(self, pair: str) -> dict[str, ControlResult]:
        """The pair's controls, run when first asked for."""
        if pair not in self._controls:
            self._controls[pair] = self._unreported[pair] = self._on(pair, run_controls)
        return self._controls[pair]

    def unreported(self, pair: str) -> dict[str, ControlResult]:
        """The pair's controls, if they were run and nobody has asked for them this way yet."""
        return self._unreported.pop(pair, {})

    def run(self, cell: Cell) -> Outcome:
        """Runs and judges one cell of the plan, in the light of what is known of its NIC."""
        campaign = self.campaign
        outcome = self._judged(cell, anew=False)
        self._observed.setdefault(cell.pair, []).append(outcome.observation)
        dut = campaign.ends(cell.pair).dut
        return expect(outcome, dut, campaign.expectations, campaign.day)

    def rerun(self, cell: Cell) -> Outcome:
        """Runs and judges any cell, whatever was run before."""
        return self._judged(cell, anew=True)

    def begin(self, seed: int) -> None:
        """Begins anew with another seed: of what cells have shown, nothing is known any more.

        What controls have shown stays: it is of the path and the peer.
        """
        self.campaign = replace(self.campaign, seed=seed)
        self._observed.clear()
        if self._session is not None:
            self._session.begin(seed)

    def observed(self, pair: str) -> tuple[Observation, ...]:
        """How those cells of a pair came out that have been run."""
        return tuple(self._observed.get(pair, ()))

    def _judged(self, cell: Cell, *, anew: bool) -> Outcome:
        demand = self.campaign.demand
        if cell.unsupported:
            return decide(cell, Evidence(effective={}), {}, demand)
        controls = self.controls(cell.pair)
        forbidden = untrusted(cell, controls)
        if forbidden is not None:
            return forbidden
        evidence = self._on(cell.pair, lambda session: session.evidence(cell, anew=anew))
        return decide(cell, evidence, controls, demand)

    def symptom(self, pair: str) -> Runs | None:
        """Makes the calls of a pair's symptom; None where its controls forbid it."""
        if first_untrusted(self.controls(pair)) is not None:
            return None
        return self._on(pair, run_symptom)

    def close(self) -> None:
        """Puts the hosts of the open pair back."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _on(self, pair: str, act: Callable[[PairSession], T]) -> T:
        """Does something with a pair, over a new session where the old one has died.

        A pair that cannot be opened, or whose sessions keep dying, is not tried for every cell.
        """
        if pair in self._broken:
            raise self._broken[pair]
        try:
            return act(self._open(pair))
        except LabError as error:
            self._failures[pair] = self._failures.get(pair, 0) + 1
            if self._session is None or self._failures[pair] >= _MOST_FAILURES:
                self._broken[pair] = error
            with contextlib.suppress(LabError):  # what happened first matters most
                self.close()
            raise

    def _open(self, pair: str) -> PairSession:
        """The pair's session; opening another pair's closes the one before."""
        if self._session is not None and self._session.name != pair:
            self.close()
        if self._session is None:
            self._session = self._start(pair)
        return self._session

    def _start(self, pair: str) -> PairSession:
        topology = self.campaign.topology
        named = topology.pairs[pair]
        nics: dict[Role, str] = {"dut": named.dut, "peer": named.peer}
        hosts: dict[Role, AgentClient] = {}
        with contextlib.ExitStack() as undo:
            for role, nic in nics.items():
                hosts[role] = open_host(topology, topology.host_of(nic))
                undo.callback(hosts[role].close)
            session = PairSession(
                pair,
                self.campaign.ends(pair),
                self.campaign.flows(pair),
                hosts,
                self.campaign.demand,
                self.campaign.seed,
                {role: topology.nic(nic).allow_management for role, nic in nics.items()},
            )
            for line in session.open():
                warnings.warn(f"put back what a dead agent had left: {line}", stacklevel=2)
            undo.pop_all()
        return session
