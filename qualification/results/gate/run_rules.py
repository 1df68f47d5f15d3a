"""The rules of a policy that a run meets or not, whatever its cells show."""

from __future__ import annotations

from datetime import datetime, timedelta

from qualification.plan.cells import PLANS
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import RunRow

from .answer import Answer, answer, not_asked
from .policy import RunRules

_SLACK = timedelta(hours=1)
"""How far the clocks of the machine of the run and of this one may be apart."""


def answers(rules: RunRules, run: RunRow, now: datetime) -> tuple[Answer, ...]:
    """Returns the answer to each rule about the run.

    Args:
        rules: What is demanded.
        run: The run.
        now: The time, with a zone.
    """
    return _plan(rules, run), _complete(rules, run), *_demand(rules, run), _age(rules, run, now)


def _plan(rules: RunRules, run: RunRow) -> Answer:
    order = list(PLANS)
    demanded = f"plan {rules.plan}" if rules.plan == order[-1] else f"plan {rules.plan} or more"
    met = order.index(run.plan) >= order.index(rules.plan)
    todo = "" if met else f"; run it again with --plan {rules.plan}"
    return answer("run.plan", demanded, f"the run had the plan {run.plan}{todo}", met=met)


def _complete(rules: RunRules, run: RunRow) -> Answer:
    done = run.completeness
    interrupted = run.outcome is RunOutcome.INTERRUPTED
    whole = not interrupted and done.run >= done.planned > 0
    reason = f"{done.run:,} of {done.planned:,} cells of the plan ran"
    if interrupted:
        reason += "; the run was interrupted: go on with it by vxqual run --resume"
    elif done.selected < done.planned:
        chosen = [
            f"{option} {text!r}"
            for option, text in (("-k", run.selection.keyword), ("-m", run.selection.marks))
            if text
        ]
        reason += f"; the run was narrowed{' by ' if chosen else ''}{' and '.join(chosen)}"
    if not rules.complete:
        met = not interrupted and done.run > 0
        return answer("run.complete", "a run that came to its end", reason, met=met)
    return answer("run.complete", "every cell of the plan ran", reason, met=whole)


def _demand(rules: RunRules, run: RunRow) -> tuple[Answer, Answer]:
    rate, confidence = run.demand.rate, run.demand.confidence
    return (
        answer(
            "run.rate",
            f"a PASS excludes a rate of {rules.rate:g} or less",
            f"in the run it excludes {rate:g}",
            met=rate <= rules.rate,
        ),
        answer(
            "run.confidence",
            f"with a confidence of {rules.confidence:g} or more",
            f"in the run it does so with {confidence:g}",
            met=confidence >= rules.confidence,
        ),
    )


def _age(rules: RunRules, run: RunRow, now: datetime) -> Answer:
    began = datetime.fromisoformat(run.started)
    age = now - began
    days = age / timedelta(days=1)
    reason = f"the run began on {began:%Y-%m-%d}, {days:.1f} days ago"
    if age < -_SLACK:
        reason = f"the run began at {run.started}, which is in the future: look at the clocks"
        return answer("run.age_days", "a run of the past", reason, met=False)
    if rules.age_days is None:
        return not_asked("run.age_days", "any age", reason)
    demanded = f"a run of the last {rules.age_days:g} days"
    return answer("run.age_days", demanded, reason, met=days <= rules.age_days)
