"""The search for culprits in a run: the cells that it runs, and the report of its findings."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pytest
from pydantic import TypeAdapter

from qualification.errors import LabError
from qualification.judge.culprit.cell_results import CellResults, Purpose
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings, Observation, merged
from qualification.judge.culprit.investigation import Investigation
from qualification.judge.evidence import Evidence
from qualification.judge.verdict import Verdict
from qualification.plan.cells import Cell
from qualification.plan.features import FeatureSpace
from qualification.plan.flows import Direction, Flow
from qualification.results.run_files import CostEntry, CulpritEntry, Entry, ProofEntry, dump_entry

from .cell_runner import CellRunner

FINDINGS, PROOFS, COST = "vxqual_findings", "vxqual_proofs", "vxqual_cost"
"""Attributes of a test report; xdist sends them from worker to controller."""

_FINDINGS = TypeAdapter(CulpritFindings)
_COST = TypeAdapter(CostTurns)

_LOG = logging.getLogger("vxqual.run")


@dataclass(frozen=True)
class Step:
    """One cell that was run for a search or a proof.

    Attributes:
        id: The cell's id with the purpose and a number, "…/tcp#off-3": no cell has such an id.
        observation: Its result.
        evidence: The evidence for that; None if the lab failed.
        reason: The reason, in a sentence.
    """

    id: str
    observation: Observation
    evidence: Evidence | None
    reason: str


@dataclass(frozen=True)
class CulpritSearch:
    """A search on a pair.

    Attributes:
        findings: What it found.
        steps: The cells that were run for it.
        stored: Whether it was made, and stored, before the run was continued.
        cost: What its mitigation was measured to cost; None if there is none, or it failed.
    """

    findings: CulpritFindings
    steps: tuple[Step, ...]
    stored: bool = False
    cost: CostTurns | None = None

    @property
    def unproved(self) -> str:
        """The reason that some failing cells have no culprit; empty if all have one."""
        unknown = [finding for finding in self.findings.findings if not finding.off]
        reasons = [f"failing cells: {len(one.cells)}, {one.reason}" for one in unknown]
        if reasons:  # with the errors of the lab, which are reported nowhere else
            reasons += dict.fromkeys(step.reason for step in self.steps if step.evidence is None)
        return "; ".join(reasons)


def bulk_counterparts(seen: Iterable[Observation]) -> dict[str, str]:
    """Maps failing cells of few frames to the failing bulk cell of the same kind, by their ids.

    Cells of few frames are those of crafted packet sets and of traffic under load. The bulk cell
    has the same culprit, and enough frames to prove it.
    """
    seen = tuple(one for one in seen if one.failing and not one.cell.flow.state)
    bulk = {_kind(one.cell): one.cell.id for one in seen if not _special(one.cell)}
    return {
        one.cell.id: bulk[_kind(one.cell)]
        for one in seen
        if _special(one.cell) and _kind(one.cell) in bulk
    }


def _special(cell: Cell) -> bool:
    return bool(cell.flow.packet_set or cell.flow.load)


def _kind(cell: Cell) -> tuple[object, ...]:
    flow = cell.flow
    kind = flow.tunnel, flow.outer, flow.outer_checksum, flow.inner, flow.l4
    return cell.set_id, flow.direction, *kind, flow.vlan


def search(pair: str, runner: CellRunner) -> CulpritSearch:
    """Finds and proves the culprits of a pair's failing cells; runs nothing if none failed.

    Nor does it in a run that was continued, where no cell of the pair has run since the search.

    A cell that ends in an error of the lab counts as not judged.
    """
    found_before = runner.findings(pair)
    if found_before is not None:
        return CulpritSearch(found_before, (), stored=True, cost=runner.kept_cost(pair))
    steps: list[Step] = []

    def run(cell: Cell, purpose: Purpose) -> Observation:
        made = f"{cell.id}#{purpose}-{len(steps) + 1}"
        try:
            outcome = runner.rerun(cell)
        except LabError as error:
            observation = Observation(cell, Verdict.ERROR, None, 0, 0)
            steps.append(Step(made, observation, None, str(error)))
            return observation
        reason = outcome.judgement.reason
        steps.append(Step(made, outcome.observation, outcome.evidence, reason))
        return outcome.observation

    campaign, observed = runner.campaign, runner.observed(pair)
    counterparts = bulk_counterparts(observed)
    # Flows in a state are left out too: the history before a second run would not be the same.
    seen = [one for one in observed if one.cell.id not in counterparts and not one.cell.flow.state]

    def investigate(
        space: FeatureSpace, flows: Sequence[Flow], direction: Direction
    ) -> CulpritFindings:
        some = (one for one in seen if one.cell.flow.direction == direction)
        cell_results = CellResults(pair, space, some, flows, run)
        return Investigation(cell_results, campaign.demand.confidence).conclude()

    found = merged(
        investigate(campaign.space(pair), campaign.flows(pair), "send"),
        investigate(campaign.receive_space(pair), campaign.received(pair), "receive"),
    )
    culprits = found.culprits
    inherited = {id_: culprits[cell] for id_, cell in counterparts.items() if cell in culprits}
    everything = replace(found, culprits={**culprits, **inherited})
    return CulpritSearch(everything, tuple(steps), cost=_cost(found, runner))


def _cost(found: CulpritFindings, runner: CellRunner) -> CostTurns | None:
    """Measures what a mitigation costs; an error of the lab takes nothing from the findings."""
    if found.mitigation is None or not found.mitigation.off:
        return None
    try:
        return runner.cost(found.pair, found.mitigation.off)
    except LabError as error:
        _LOG.warning("pair %s: what its mitigation costs is not known: %s", found.pair, error)
        return None


def conclude(searched: CulpritSearch) -> None:
    """Ends the running test: passed if every failing cell has its culprit, skipped if not."""
    if searched.unproved:
        pytest.skip(searched.unproved)


def attach_search(report: pytest.TestReport, searched: CulpritSearch) -> None:
    """Puts the findings, and the evidence of the cells that were run, on the report."""
    setattr(report, FINDINGS, _FINDINGS.dump_python(searched.findings, mode="json"))
    entries: list[Entry] = [
        ProofEntry(step.id, step.evidence) for step in searched.steps if step.evidence
    ]
    if searched.cost is not None:
        setattr(report, COST, _COST.dump_python(searched.cost, mode="json"))
        entries += [] if searched.stored else [CostEntry(searched.cost)]
    if not searched.stored:
        entries.append(CulpritEntry(searched.findings))  # last: with it, the search is complete
    setattr(report, PROOFS, [dump_entry(entry) for entry in entries])


def cost_of(report: pytest.TestReport) -> CostTurns | None:
    """Returns what a mitigation was measured to cost, by a report; None if it says nothing."""
    data = getattr(report, COST, None)
    return None if data is None else _COST.validate_python(data)


def findings_of(report: pytest.TestReport) -> CulpritFindings | None:
    """Returns the findings that a report carries; None if it carries none."""
    data = getattr(report, FINDINGS, None)
    return None if data is None else _FINDINGS.validate_python(data)
