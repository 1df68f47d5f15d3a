"""Culprits in a run: the cells that a search takes, and what becomes of its findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pytest
from pydantic import TypeAdapter

from qualification.errors import LabError
from qualification.judge.culprit.cell_results import CellResults, Purpose
from qualification.judge.culprit.findings import CulpritFindings, Observation, merged
from qualification.judge.culprit.investigation import Investigation
from qualification.judge.evidence import Evidence
from qualification.judge.verdict import Verdict
from qualification.plan.cells import Cell
from qualification.plan.features import FeatureSpace
from qualification.plan.flows import Direction, Flow
from qualification.results import allure_report
from qualification.results.run_directory import CulpritEntry, Entry, ProofEntry, dump_entry

from .cell_runner import CellRunner

FINDINGS, PROOFS = "vxqual_findings", "vxqual_proofs"
"""Attributes of a test report; they travel from worker to controller with it."""

_FINDINGS = TypeAdapter(CulpritFindings)


@dataclass(frozen=True)
class Step:
    """One cell that was run for a search or a proof.

    Attributes:
        id: The cell's id with the purpose and a number, "…/tcp#off-3": no cell has such an id.
        observation: How it came out.
        evidence: What that rests on; None where the lab failed.
        why: Its sentence.
    """

    id: str
    observation: Observation
    evidence: Evidence | None
    why: str


@dataclass(frozen=True)
class Searched:
    """What came of a pair's failing cells, and how."""

    findings: CulpritFindings
    steps: tuple[Step, ...]

    @property
    def unproved(self) -> str:
        """Why some failing cells have no culprit; empty if all have."""
        unknown = [finding for finding in self.findings.findings if not finding.off]
        said = [f"failing cells: {len(one.cells)}, {one.reason}" for one in unknown]
        if said:  # the lab's errors, which are told nowhere else
            said += dict.fromkeys(step.why for step in self.steps if step.evidence is None)
        return "; ".join(said)


def beside(seen: Iterable[Observation]) -> dict[str, str]:
    """What fails beside the kernel's own traffic of its kind, and the cell of that.

    That are crafted packet sets, and traffic that is not alone. The other has the same culprit to tell, and
    frames enough to prove it.
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


def search(pair: str, runner: CellRunner) -> Searched:
    """Finds and proves the culprits of a pair's failing cells; runs nothing where none failed.

    An error of the lab is a cell that could not be judged.
    """
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
    told = beside(observed)
    # Nor flows in a state: one that is run again would not come after the same as before.
    seen = [one for one in observed if one.cell.id not in told and not one.cell.flow.state]

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
    inherited = {id_: culprits[cell] for id_, cell in told.items() if cell in culprits}
    return Searched(replace(found, culprits={**culprits, **inherited}), tuple(steps))


def conclude(searched: Searched, runner: CellRunner) -> None:
    """Ends the running test: passed when every failing cell has its culprit, skipped if not."""
    pair, found = searched.findings.pair, searched.findings
    names = sorted({" ".join(finding.off) for finding in found.findings if finding.off})
    reason = searched.unproved or (f"culprit: {', '.join(names)}" if names else "no cell failed")
    allure_report.label(runner.ends(pair), pair, None, reason)
    if searched.steps:
        allure_report.attach_search(
            _FINDINGS.dump_python(found, mode="json"),
            [
                {
                    "id": step.id,
                    "on": sorted(step.observation.cell.offloads.on),
                    "verdict": step.observation.verdict,
                    "wrong": step.observation.wrong,
                    "frames": step.observation.frames,
                    "reason": step.why,
                }
                for step in searched.steps
            ],
        )
    if searched.unproved:
        pytest.skip(searched.unproved)


def mark(report: pytest.TestReport, searched: Searched) -> None:
    """Puts findings and the evidence of the runs on the report."""
    setattr(report, FINDINGS, _FINDINGS.dump_python(searched.findings, mode="json"))
    entries: list[Entry] = [CulpritEntry(searched.findings)]
    entries += [ProofEntry(step.id, step.evidence) for step in searched.steps if step.evidence]
    setattr(report, PROOFS, [dump_entry(entry) for entry in entries])


def findings_of(report: pytest.TestReport) -> CulpritFindings | None:
    """The findings that a report carries, if it is a culprit's."""
    data = getattr(report, FINDINGS, None)
    return None if data is None else _FINDINGS.validate_python(data)
