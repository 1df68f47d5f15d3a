"""Runs the cells of a worker: the session of one pair is open at a time, its controls run once."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from qualification.campaign import Campaign
from qualification.errors import LabError
from qualification.inventory import Ends, Role
from qualification.judge.controls import ControlResult, first_untrusted, pace_of, reference_of
from qualification.judge.culprit.findings import CulpritFindings, Observation
from qualification.judge.evidence import Evidence
from qualification.judge.known.matching import expect
from qualification.judge.outcome import Outcome, decide, distrust, untrusted
from qualification.judge.symptom import Runs
from qualification.plan.cells import Cell
from qualification.remote.agent_client import AgentClient
from qualification.remote.closing import close_all
from qualification.remote.host import open_host
from qualification.remote.pair.controls import run_controls
from qualification.remote.pair.session import PairSession
from qualification.remote.pair.symptom import run_symptom

from .ending.left_changed import LeftChanged
from .resume.kept import Kept
from .wire_check import recorder

T = TypeVar("T")

_LOG = logging.getLogger("vxqual.run")
_MOST_FAILURES = 3
"""Errors of the lab on one pair, after which the rest of its cells is not tried."""


class CellRunner:
    """Runs controls and cells of a campaign.

    Args:
        campaign: The run.
        kept: What it has found before, if it is continued.

    Attributes:
        campaign: The run.
        left_changed: What it has left changed on the hosts.
    """

    def __init__(self, campaign: Campaign, kept: Kept | None = None) -> None:
        self.campaign = campaign
        self._kept = kept or Kept()
        self._ran: set[str] = set()
        self._session: PairSession | None = None
        self._controls: dict[str, dict[str, ControlResult]] = {}
        self._unreported: dict[str, dict[str, ControlResult]] = {}
        self._observed: dict[str, list[Observation]] = {}
        self._failures: dict[str, int] = {}
        self._distrust: dict[str, dict[str, ControlResult]] = {}
        self.left_changed = LeftChanged()
        self._broken = {pair: LabError(why) for pair, why in campaign.unready.items()}

    def ends(self, pair: str) -> Ends:
        """Returns the NICs of a pair."""
        return self.campaign.ends(pair)

    def controls(self, pair: str) -> dict[str, ControlResult]:
        """Returns the controls of a pair; the first call runs them."""
        if pair not in self._controls:
            start = time.monotonic()
            self._controls[pair] = self._unreported[pair] = self._with_session(pair, run_controls)
            _log_controls(pair, self._controls[pair], time.monotonic() - start)
        return self._controls[pair]

    def control(self, pair: str, name: str) -> ControlResult:
        """Returns one control of a pair; one that was not run, for others failed, says so."""
        controls = self.controls(pair)
        if name in controls:
            return controls[name]
        failed = first_untrusted(controls)
        why = f": control {failed.name} failed" if failed else ""
        return ControlResult(name, False, f"it was not run{why}")

    def unreported(self, pair: str) -> dict[str, ControlResult]:
        """Returns the controls of a pair once, after they were run; nothing in later calls."""
        return self._unreported.pop(pair, {})

    def run(self, cell: Cell) -> Outcome:
        """Runs and judges a cell of the plan; a failure that is expected of its NIC is KNOWN."""
        campaign = self.campaign
        start = time.monotonic()
        outcome = self._judged(cell, anew=False)
        self._distrust.setdefault(cell.pair, {}).update(distrust(outcome))
        self._observed.setdefault(cell.pair, []).append(outcome.observation)
        dut = campaign.ends(cell.pair).dut
        expected = expect(outcome, dut, campaign.expectations, campaign.day)
        _log_cell("cell", expected, time.monotonic() - start)
        return expected

    def stored(self, outcome: Outcome) -> bool:
        """Returns whether the evidence for an outcome was stored before the run was continued."""
        return outcome.evidence is not None and outcome.evidence is self._kept.cell(outcome.cell.id)

    def findings(self, pair: str) -> CulpritFindings | None:
        """Returns what was found on a pair before; None if it has to be searched now."""
        if pair in self.campaign.unready:
            return self._kept.findings(pair)
        trusted = first_untrusted(self._kept.controls(pair, self._controls.get(pair, {}))) is None
        return self._kept.findings(pair) if trusted and pair not in self._ran else None

    def rerun(self, cell: Cell) -> Outcome:
        """Runs and judges any cell, also if it was run before."""
        start = time.monotonic()
        outcome = self._judged(cell, anew=True)
        _log_cell("culprit search, cell", outcome, time.monotonic() - start)
        return outcome

    def begin(self, seed: int) -> None:
        """Starts again with another seed and forgets what cells have shown.

        The results of controls stay: they are about the path and the peer.
        """
        self.campaign = replace(self.campaign, seed=seed)
        self._observed.clear()
        self._distrust.clear()
        if self._session is not None:
            self._session.begin(seed)

    def observed(self, pair: str) -> tuple[Observation, ...]:
        """Returns the results of those cells of a pair that have been run."""
        return tuple(self._observed.get(pair, ()))

    def _judged(self, cell: Cell, *, anew: bool) -> Outcome:
        demand = self.campaign.demand
        if cell.unsupported:
            return decide(cell, Evidence(effective={}), {}, demand)
        kept = None if anew else self._kept.cell(cell.id)
        # What is kept of a pair that is not ready now rests on the controls of its own part.
        alone = kept is not None and cell.pair in self.campaign.unready
        now = {} if alone else self.controls(cell.pair)
        controls = self._kept.controls(cell.pair, now, None if kept is None else cell.id)
        controls |= self._distrust.get(cell.pair, {})
        forbidden = untrusted(cell, controls)
        if forbidden is not None:
            return forbidden
        if kept is not None:
            return decide(cell, kept, controls, demand)
        self._ran.add(cell.pair)
        reference = reference_of(cell, controls)
        evidence = self._with_session(
            cell.pair, lambda session: session.evidence(cell, reference, anew=anew)
        )
        return decide(cell, evidence, controls, demand)

    def symptom(self, pair: str) -> Runs | None:
        """Makes the calls of a pair's symptom; returns None if a control has failed."""
        if pair in self.campaign.unready and self._kept.calls(pair) is not None:
            return self._kept.calls(pair)
        if first_untrusted(self._kept.controls(pair, self.controls(pair))) is not None:
            return None
        return self._kept.calls(pair) or self._with_session(pair, run_symptom)

    def close(self) -> None:
        """Puts the hosts of the open pair back; `left_changed` has what could not be."""
        session, self._session = self._session, None
        if session is not None:
            self.left_changed.closing(session.name, session.close)

    def _with_session(self, pair: str, act: Callable[[PairSession], T]) -> T:
        """Does something with a pair, over a new session if the previous one has died.

        A pair that cannot be opened, or whose sessions keep dying, is not tried for every cell.
        """
        forbidden = self.left_changed.forbids(pair) or self._broken.get(pair)
        if forbidden is not None:
            raise forbidden
        try:
            return act(self._open(pair))
        except LabError as error:
            self._failures[pair] = self._failures.get(pair, 0) + 1
            _LOG.error(
                "pair %s: error %d of at most %d: %s",
                pair, self._failures[pair], _MOST_FAILURES, error,
            )  # fmt: skip
            if self._session is None or self._failures[pair] >= _MOST_FAILURES:
                self._broken[pair] = error
                _LOG.error("pair %s: the rest of its cells is not tried", pair)
            else:
                _LOG.warning("pair %s: its next cell opens a new session", pair)
            self.close()
            raise

    def _open(self, pair: str) -> PairSession:
        """Returns the session of a pair; closes that of another pair first."""
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
        start = time.monotonic()
        with contextlib.ExitStack() as undo:
            undo.callback(self.left_changed.closing, pair, lambda: close_all(hosts.values()))
            for role, nic in nics.items():
                hosts[role] = open_host(topology, topology.host_of(nic))
            session = PairSession(
                pair,
                self.campaign.ends(pair),
                self.campaign.flows(pair),
                hosts,
                self.campaign.demand,
                self.campaign.seed,
                {role: topology.nic(nic).allow_management for role, nic in nics.items()},
                recorder(*self.campaign.wires[pair]) if self.campaign.wires else None,
            )
            known = pace_of(self._controls.get(pair, {}))
            if known is not None:  # the session before has found it
                session.endpoints.orders.keep(known)
            for line in session.open():
                text = f"put back what an agent that died had left changed: {line}"
                _LOG.warning("pair %s: %s", pair, text)
                warnings.warn(text, stacklevel=2)
            undo.pop_all()
        self.left_changed.put_back(pair)
        _LOG.info("pair %s: its session is open after %.1f s", pair, time.monotonic() - start)
        return session


def _log_controls(pair: str, controls: dict[str, ControlResult], seconds: float) -> None:
    for name, result in controls.items():
        outcome = "passed" if result.trusted else "blocked" if result.blocked else "FAILED"
        level = logging.INFO if result.trusted or result.blocked else logging.WARNING
        _LOG.log(level, "control %s/%s %s: %s", pair, name, outcome, result.reason)
    pace = pace_of(controls)
    if pace is not None:
        _LOG.info("pair %s: the pace of its bursts is %s", pair, pace)
    _LOG.info("pair %s: its controls are complete after %.1f s", pair, seconds)


def _log_cell(what: str, outcome: Outcome, seconds: float) -> None:
    judgement = outcome.judgement
    _LOG.info(
        "%s %s: %s in %.2f s: %s",
        what, outcome.cell.id, judgement.verdict, seconds, judgement.reason,
    )  # fmt: skip
