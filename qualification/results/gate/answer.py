"""One rule of a policy and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AnswerKind(StrEnum):
    """Whether a rule is met."""

    MET = "met"
    NOT_MET = "not met"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Answer:
    """The answer to one rule.

    Attributes:
        rule: The rule by its key path in the policy; "essential" and "lab" are always asked.
        demanded: What it demands, in words.
        kind: Whether it is met.
        reason: Why, in a sentence for people.
        undecided: Of a rule that is not met, whether the lab could not decide it: nothing speaks
            against the NIC.
    """

    rule: str
    demanded: str
    kind: AnswerKind
    reason: str
    undecided: bool = False


def answer(rule: str, demanded: str, reason: str, *, met: bool, undecided: bool = False) -> Answer:
    """Returns the answer to a rule that applies."""
    kind = AnswerKind.MET if met else AnswerKind.NOT_MET
    return Answer(rule, demanded, kind, reason, undecided and not met)


def not_asked(rule: str, demanded: str, reason: str) -> Answer:
    """Returns the answer to a rule that does not apply."""
    return Answer(rule, demanded, AnswerKind.NOT_APPLICABLE, reason)


def failing(answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """Returns the answers that are not met."""
    return tuple(one for one in answers if one.kind is AnswerKind.NOT_MET)
