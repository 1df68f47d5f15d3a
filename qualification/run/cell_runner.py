"""Runs the cells of a worker: the session of one pair is open at a time, its controls run once."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from qualification.campaign import Campaign
from qualification.inventory import Ends
from qualification.judge.controls import ControlResult, first_untrusted, pace_of, reference_of
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings, Observation
from qualification.judge.evidence import Evidence
from qualification.judge.known.matching import expect
from qualification.judge.outcome import TRIED_AGAIN, Outcome, decide, distrust, untrusted
from qualification.judge.symptom import Runs
from qualification.plan.cells import Cell
from qualification.remote.pair.beside.cost import measure_cost
from qualification.remote.pair.beside.symptom import run_symptom
from qualification.remote.pair.controls import run_controls

from .hosts.sessions import Sessions
from .resume.kept import Kept

_LOG = logging.getLogger("vxqual.run")


class CellRunner:
    """Runs controls and cells of a campaign.

    Args:
        campaign: The run.
        kept: What it has found before, if it is continued.
        selected: The cells of each pair that a selection leaves, for which alone controls are run;
            a pair that is not named has all controls.

    Attributes:
        campaign: The run.
        left_changed: What it has left changed on the hosts.
    """

    def __init__(
        self,
        campaign: Campaign,
        kept: Kept | None = None,
        selected: Mapping[str, Collection[Cell]] | None = None,
    ) -> None:
        self.campaign = campaign
        self._selected = selected or {}
        self._kept = kept or Kept()
        self._ran: set[str] = set()
        self._controls: dict[str, dict[str, ControlResult]] = {}
        self._unreported: dict[str, dict[str, ControlResult]] = {}
        self._observed: dict[str, list[Observation]] = {}
        self._distrust: dict[str, dict[str, ControlResult]] = {}
        self._sessions = Sessions(campaign, lambda pair: pace_of(self._controls.get(pair, {})))
        self.left_changed = self._sessions.left_changed

    def ends(self, pair: str) -> Ends:
        """Returns the NICs of a pair."""
        return self.campaign.ends(pair)

    def controls(self, pair: str) -> dict[str, ControlResult]:
        """Returns the controls of a pair; the first call runs them."""
        if pair not in self._controls:
            start = time.monotonic()
            run = partial(run_controls, cells=self._selected.get(pair))
            self._controls[pair] = self._unreported[pair] = self._sessions.use(pair, run)
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
        self._sessions.begin(self.campaign)

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
            return replace(decide(cell, kept, controls, demand), note=self._kept.note(cell.id))
        self._ran.add(cell.pair)
        reference = reference_of(cell, controls)
        evidence = self._sessions.use(
            cell.pair, lambda session: session.evidence(cell, reference, anew=anew)
        )
        outcome = decide(cell, evidence, controls, demand)
        first = self._sessions.first_try
        return replace(outcome, note=f"{TRIED_AGAIN}{first}") if first else outcome

    def symptom(self, pair: str) -> Runs | None:
        """Makes the calls of a pair's symptom; returns None if a control has failed."""
        if pair in self.campaign.unready and self._kept.calls(pair) is not None:
            return self._kept.calls(pair)
        if first_untrusted(self._kept.controls(pair, self.controls(pair))) is not None:
            return None
        return self._kept.calls(pair) or self._sessions.use(pair, run_symptom)

    def cost(self, pair: str, off: Sequence[str]) -> CostTurns:
        """Measures what a mitigation of a pair costs.

        Args:
            pair: The pair.
            off: The features that it turns off.

        Raises:
            LabError: The lab failed.
        """
        return self._sessions.use(pair, lambda session: measure_cost(session, off))

    def kept_cost(self, pair: str) -> CostTurns | None:
        """Returns what was measured on a pair before the run was continued; None if nothing was."""
        return self._kept.cost(pair)

    def close(self) -> None:
        """Puts the hosts of the open pair back; `left_changed` has what could not be."""
        self._sessions.end()


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
