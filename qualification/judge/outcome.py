"""From evidence and controls to the outcome of a cell, for a run and a stored run alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qualification.judge.culprit.findings import Observation, observation_of
from qualification.judge.receive.verdict import judge_received
from qualification.plan.cells import Cell

from .controls import ALL_OFF_CELL, ControlResult, distrusted, reference_of
from .evidence import Evidence, first_wrong, left_to_nic, total
from .exercised import evidence_on
from .verdict import SETTLED, Demand, Judgement, Verdict, judge
from .wire_check import confirm

NEVER_RAN = "it never ran: its worker died, or the run was ended"
"""The reason of a cell without any result."""

TRIED_AGAIN = "it was tried twice, the second time with new agents; the first time: "
"""The beginning of the note on a cell of which an agent, its sshd or a link went away."""


@dataclass(frozen=True)
class Outcome:
    """How a cell ends.

    Attributes:
        cell: The cell.
        judgement: Its verdict.
        evidence: What the verdict rests on; None where the cell was never run.
        blames_nic: Whether the verdict blames the NIC, and not the lab.
        expectation: Name of the expectation that hides the failure, or did until it expired.
        note: What else is to be said of how it ran; empty for nothing.
    """

    cell: Cell
    judgement: Judgement
    evidence: Evidence | None
    blames_nic: bool
    expectation: str | None = None
    note: str = ""

    @property
    def observation(self) -> Observation:
        """What a search for the culprit learns from it."""
        return observation_of(self.cell, self.judgement, self.evidence, blames_nic=self.blames_nic)

    @property
    def doubtful(self) -> bool:
        """Whether the cell was not decided: nor is the run then, unless it blames a NIC."""
        return not self.blames_nic and self.judgement.verdict not in SETTLED


def control_verdict(result: ControlResult) -> Verdict:
    """Returns the verdict that a control amounts to."""
    if result.trusted:
        return Verdict.PASS
    return Verdict.UNSUPPORTED if result.blocked else Verdict.UNTRUSTED


def never_ran(cell: Cell, unready: Mapping[str, str]) -> Outcome:
    """Returns the outcome of a cell without any result.

    Args:
        cell: The cell.
        unready: Why pairs cannot be judged, by name (`Campaign.unready`).
    """
    reason = unready.get(cell.pair, NEVER_RAN)
    return Outcome(cell, Judgement(Verdict.ERROR, reason), None, False)


def untrusted(cell: Cell, controls: Mapping[str, ControlResult]) -> Outcome | None:
    """Returns the outcome of a cell whose pair cannot be trusted; None if it can.

    Args:
        cell: The cell.
        controls: The controls of its pair, by name.
    """
    failed = None if cell.unsupported else distrusted(cell, controls)
    if failed is None:
        return None
    if failed.blocked:
        reason = f"no tagged frame gets through with every offload off: {failed.reason}"
        return Outcome(cell, Judgement(Verdict.UNSUPPORTED, reason), None, False)
    reason = f"control {failed.name} failed: {failed.reason}"
    return Outcome(cell, Judgement(Verdict.UNTRUSTED, reason), None, False)


def decide(
    cell: Cell, evidence: Evidence, controls: Mapping[str, ControlResult], demand: Demand
) -> Outcome:
    """Returns the outcome of a cell that was run, or could not be for lack of a feature.

    Args:
        cell: The cell.
        evidence: Its evidence.
        controls: The controls of its pair, by name; a cell that is not run rests on none.
        demand: What a PASS has to exclude.
    """
    forbidden = untrusted(cell, controls)
    if forbidden is not None:
        return forbidden
    receives = cell.flow.direction == "receive"
    judgement = (
        judge_received(cell, evidence, demand)
        if receives
        else judge(cell, evidence, demand, reference_of(cell, controls))
    )
    judgement = confirm(judgement, evidence)
    if judgement.verdict is Verdict.FAIL and not receives and _without_offloads(cell, evidence):
        reason = (
            f"with every offload off {judgement.reason}: the path or the peer corrupts them, or "
            f"the NIC does although its offloads are off{first_wrong(evidence.bursts)}"
        )
        return Outcome(
            cell, replace(judgement, verdict=Verdict.UNTRUSTED, reason=reason), evidence, False
        )
    return Outcome(cell, judgement, evidence, judgement.verdict in (Verdict.FAIL, Verdict.LOSS))


def _without_offloads(cell: Cell, evidence: Evidence) -> bool:
    """Returns whether the NIC had no part in any wrong frame of a cell, as the tx tap shows."""
    if evidence_on(cell, evidence) or any(evidence.effective.values()):
        return False
    sums = total(evidence.bursts)
    if not sums.bad:  # a wrong payload, or an outer checksum that nobody asked for
        return not sums.csum_partial and not sums.segments
    dirty = [burst for burst in evidence.bursts if burst.received.captured.bad]
    return not all(map(left_to_nic, dirty))


def distrust(outcome: Outcome) -> dict[str, ControlResult]:
    """Returns what an outcome adds to the controls that the next cells of its pair rest on.

    That is nothing, unless frames of it were wrong with every offload off.

    Args:
        outcome: The outcome of a cell of the plan.
    """
    judgement = outcome.judgement
    if judgement.verdict is not Verdict.UNTRUSTED or outcome.evidence is None:
        return {}
    reason = f"in {outcome.cell.id} {judgement.reason}"
    return {ALL_OFF_CELL: ControlResult(ALL_OFF_CELL, False, reason)}
