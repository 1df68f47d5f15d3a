"""What the gate says on the terminal: the outcome, each NIC, each rule with its answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from qualification.printable import printable
from qualification.results.matrix import RunRow
from qualification.results.terminal.report_line import ReportLine, wrapped

from .answer import Answer, AnswerKind
from .decision import Decision, GateOutcome, NicDecision

_TONES = {
    GateOutcome.QUALIFIED: "good",
    GateOutcome.WITH_MITIGATION: "doubt",
    GateOutcome.NOT_JUDGED: "doubt",
    GateOutcome.NOT_QUALIFIED: "bad",
}
_ANSWER_TONES = {AnswerKind.MET: "good", AnswerKind.NOT_MET: "bad", AnswerKind.NOT_APPLICABLE: ""}


def lines(
    decided: Decision, run: RunRow, width: int, *, every: bool = False
) -> Iterator[ReportLine]:
    """Yields the lines: what to do first, and of the rules those that are not met.

    Args:
        decided: What the gate says.
        run: The run.
        width: Columns of the terminal.
        every: Whether each rule is shown with its answer.
    """
    yield ReportLine(
        f"{decided.outcome} by policy {decided.policy.name}: run {run.id}", _TONES[decided.outcome]
    )
    yield ReportLine("")
    yield from _rules("the run", decided.answers, width, every=every)
    for nic in decided.nics:
        yield ReportLine("")
        yield ReportLine(headline(nic), _TONES[nic.outcome])
        if nic.remedy:
            yield ReportLine(f"  on {nic.nic.host}:")
            yield ReportLine(f"      {nic.remedy.command}")
            if nic.remedy.cost:
                yield ReportLine(f"  it {nic.remedy.cost}")
        yield from _rules(nic.nic.pair, nic.answers, width, every=every)


def headline(one: NicDecision) -> str:
    """Returns what the gate says of a NIC, in a line."""
    nic = one.nic
    named = f"{nic.host} {nic.interface} ({nic.driver}, firmware {nic.firmware})"
    return printable(f"{nic.pair}: {one.outcome}: {named}")


def _rules(
    about: str, answers: Sequence[Answer], width: int, *, every: bool
) -> Iterator[ReportLine]:
    count = Counter(one.kind for one in answers)
    said = ", ".join(f"{count[kind]} {kind}" for kind in AnswerKind if count[kind])
    yield ReportLine(f"  rules about {about}: {said}")
    for one in answers:
        if every or one.kind is AnswerKind.NOT_MET:
            text = f"{one.kind:<14}  {one.rule}: {one.demanded}: {one.reason}"
            yield from wrapped(printable(text), width, _ANSWER_TONES[one.kind])
