"""The decision of the gate: from the answers to the outcome of each NIC, and of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from qualification import errors
from qualification.results.conclusion import RunOutcome, pair_outcome
from qualification.results.matrix import NicRow
from qualification.results.rejudge import Judged

from . import nic_rules, run_rules
from .answer import Answer, failing
from .nic_rules import Dut, RequiredMitigation
from .policy import Policy


class GateOutcome(StrEnum):
    """Whether a NIC may enter production, by a policy."""

    QUALIFIED = "QUALIFIED"
    WITH_MITIGATION = "QUALIFIED WITH MITIGATION"
    NOT_JUDGED = "NOT JUDGED"
    NOT_QUALIFIED = "NOT QUALIFIED"


_WORST_LAST = list(GateOutcome)
EXIT_CODES: Mapping[GateOutcome, int] = {
    GateOutcome.QUALIFIED: errors.EXIT_QUALIFIED,
    GateOutcome.WITH_MITIGATION: errors.EXIT_MITIGATION,
    GateOutcome.NOT_JUDGED: errors.EXIT_LAB,
    GateOutcome.NOT_QUALIFIED: errors.EXIT_NOT_QUALIFIED,
}


@dataclass(frozen=True)
class NicDecision:
    """What the gate says of one NIC.

    Attributes:
        nic: The NIC.
        peer: The NIC that watched it.
        outcome: Whether it may enter production.
        run_outcome: How the run ended for it, before any policy.
        answers: The answer to each rule about it.
        remedy: The mitigation that it needs; None if it needs none, or none will do.
    """

    nic: NicRow
    peer: NicRow
    outcome: GateOutcome
    run_outcome: RunOutcome
    answers: tuple[Answer, ...]
    remedy: RequiredMitigation | None


@dataclass(frozen=True)
class Decision:
    """What the gate says of a run.

    Attributes:
        policy: What was demanded.
        decided: When (with zone).
        answers: The answer to each rule about the run, which hold for all of its NICs.
        nics: What it says of each NIC.
    """

    policy: Policy
    decided: datetime
    answers: tuple[Answer, ...]
    nics: tuple[NicDecision, ...]

    @property
    def outcome(self) -> GateOutcome:
        """The outcome of the run: that of its worst NIC."""
        outcomes = [nic.outcome for nic in self.nics]
        return max(outcomes, key=_WORST_LAST.index, default=GateOutcome.NOT_JUDGED)

    def exit_code(self, *, mitigation_ok: bool = False) -> int:
        """Returns the exit code.

        Args:
            mitigation_ok: Whether QUALIFIED WITH MITIGATION is as good as QUALIFIED.
        """
        if mitigation_ok and self.outcome is GateOutcome.WITH_MITIGATION:
            return errors.EXIT_QUALIFIED
        return EXIT_CODES[self.outcome]


def decide(judged: Judged, policy: Policy, now: datetime) -> Decision:
    """Returns what a policy says of a run.

    Args:
        judged: The run, judged by its stored evidence.
        policy: What is demanded.
        now: The time, with a zone: the age of the run and last days count by it.
    """
    matrix = judged.matrix
    about_run = run_rules.answers(policy.run, matrix.run, now)
    found = {one.pair: one for one in judged.culprits}
    costs = {cost.pair: cost for cost in matrix.costs}
    nics = []
    for nic in matrix.nics:
        if nic.role != "dut":
            continue
        pair = nic.pair
        cells = [cell for cell in matrix.cells if cell.pair == pair]
        peer = next(n for n in matrix.nics if n.pair == pair and n.role == "peer")
        answers, remedy = nic_rules.answers(
            policy,
            matrix.run,
            Dut(nic, cells, found.get(pair), costs.get(pair)),
            judged.troubles,
            now.date(),
        )
        ended = pair_outcome(matrix.run.outcome, matrix.run.completeness, pair, cells)
        outcome = _outcome((*about_run, *answers), remedy)
        nics.append(NicDecision(nic, peer, outcome, ended, answers, remedy))
    return Decision(policy, now, about_run, tuple(nics))


def _outcome(answers: Sequence[Answer], remedy: RequiredMitigation | None) -> GateOutcome:
    wrong = failing(tuple(answers))
    if any(not one.undecided for one in wrong):
        return GateOutcome.NOT_QUALIFIED
    if wrong:
        return GateOutcome.NOT_JUDGED
    return GateOutcome.WITH_MITIGATION if remedy else GateOutcome.QUALIFIED
