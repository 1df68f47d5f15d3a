"""From evidence and controls to the outcome of a cell, for a run and a stored run alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qualification.judge.culprit.findings import Observation, observation_of
from qualification.plan.cells import TAGGED, Cell

from .controls import ControlResult, distrusted
from .evidence import Evidence
from .receive import judge_received
from .verdict import SETTLED, Demand, Judgement, Verdict, judge
from .wire_check import confirm


@dataclass(frozen=True)
class Outcome:
    """How a cell ends.

    Attributes:
        cell: The cell.
        judgement: Its verdict.
        evidence: What the verdict rests on; None where the cell was never run.
        blames_nic: Whether the verdict blames the NIC, and not the lab.
        expectation: Name of the expectation that hides the failure, or did until it expired.
    """

    cell: Cell
    judgement: Judgement
    evidence: Evidence | None
    blames_nic: bool
    expectation: str | None = None

    @property
    def observation(self) -> Observation:
        """What a search for the culprit learns from it."""
        return observation_of(self.cell, self.judgement, self.evidence, blames_nic=self.blames_nic)

    @property
    def doubtful(self) -> bool:
        """Whether the cell was not decided: nor is the run then, unless it blames a NIC."""
        return not self.blames_nic and self.judgement.verdict not in SETTLED


def never_ran(cell: Cell) -> Outcome:
    """Returns the outcome of a cell without any result."""
    reason = "it never ran: its worker died, or the run was ended"
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
    judgement = (judge_received if receives else judge)(cell, evidence, demand)
    judgement = confirm(judgement, evidence)
    # Where the path loses frames with every offload off, the NIC is not blamed for losing more.
    # Frames that the DUT never received may have been lost anywhere: no capture has seen them on
    # its wire.
    lossy_path = receives or any(
        control.lost for name, control in controls.items() if name != TAGGED or cell.flow.vlan
    )
    blames_nic = judgement.verdict is Verdict.FAIL or (
        judgement.verdict is Verdict.LOSS and not lossy_path
    )
    return Outcome(cell, judgement, evidence, blames_nic)
