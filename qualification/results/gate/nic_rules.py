"""The rules of a policy about one NIC: its cells, its features, its versions, its mitigation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase

from qualification.judge.culprit.cost import Cost
from qualification.judge.culprit.findings import CulpritFindings, Mitigation
from qualification.judge.culprit.used_features import used
from qualification.judge.known.versions import within
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.plan.features import RECEIVING
from qualification.results.matrix import NicRow, RunRow
from qualification.results.terminal.culprit_lines import command
from qualification.results.terminal.explanations import faults

from .answer import Answer, AnswerKind, answer, not_asked
from .policy import NicRules, Policy, Versions

FAILING = (Verdict.FAIL, Verdict.LOSS)
_LAB = (Verdict.UNTRUSTED, Verdict.ERROR)


@dataclass(frozen=True)
class Dut:
    """What a run shows of one NIC.

    Attributes:
        nic: The NIC.
        cells: Its cells.
        findings: What the search for culprits found; None if there was none.
        cost: What its mitigation costs; None if that was not measured.
    """

    nic: NicRow
    cells: Sequence[CellRow]
    findings: CulpritFindings | None = None
    cost: Cost | None = None


@dataclass(frozen=True)
class RequiredMitigation:
    """A mitigation as a NIC needs it.

    Attributes:
        off: Features to turn off, by kernel name.
        left_on: Features that stay on.
        command: The command that does it on the host of the NIC.
        cost: What it costs; None if that was not measured.
    """

    off: tuple[str, ...]
    left_on: tuple[str, ...]
    command: str
    cost: Cost | None


def answers(
    policy: Policy, run: RunRow, dut: Dut, troubles: Sequence[str], today: date
) -> tuple[tuple[Answer, ...], RequiredMitigation | None]:
    """Returns the answer to each rule about a NIC, and the mitigation if it needs one.

    Args:
        policy: What is demanded.
        run: The run.
        dut: The NIC.
        troubles: Errors of the lab in the run that belong to no cell.
        today: The day by which the policy's last days are judged.
    """
    failing = [cell for cell in dut.cells if cell.verdict in FAILING]
    unexcused = [cell for cell in failing if cell.verdict not in policy.nic.verdicts]
    mitigation, remedy = _mitigation(policy, dut, unexcused)
    healed = mitigation.kind is AnswerKind.MET
    return (
        _essential(run, dut),
        _lab(dut, troubles),
        _verdicts(policy.nic, dut, unexcused if not healed else []),
        _known(policy, dut, today),
        _features(policy.nic, dut, remedy.off if remedy else ()),
        _allowed(policy.nic.allowed, dut.nic),
        _refused(policy.nic.refused, dut.nic),
        mitigation,
        *_cost(policy, remedy),
    ), remedy


def _essential(run: RunRow, dut: Dut) -> Answer:
    done = run.completeness
    idle = dut.nic.pair in done.idle
    doubtful = any(cell.verdict in (Verdict.INCONCLUSIVE, *_LAB) for cell in dut.cells)
    reason = "the NIC had its part in all of them"
    if idle and done.selected < done.planned:
        reason = "some of these cells were not selected"
    elif idle and doubtful:
        reason = "some of these cells could not be judged"
    elif idle:
        reason = "the NIC had no part in some of these cells, or offers no feature of sending"
    demanded = "bulk traffic with every offload on exercised the NIC"
    lab = doubtful and done.selected == done.planned
    return answer("essential", demanded, reason, met=not idle, undecided=lab)


def _lab(dut: Dut, troubles: Sequence[str]) -> Answer:
    count = _counted(cell for cell in dut.cells if cell.verdict in _LAB)
    first = next((cell.reason for cell in dut.cells if cell.verdict in _LAB), "")
    reasons = [f"{count}: {first}"] if count else []
    reasons += [f"error of the lab: {text}" for text in troubles]
    return answer(
        "lab",
        "the controls passed, and the lab had no error",
        "; ".join(reasons) or "they passed, and it had none",
        met=not reasons,
        undecided=True,
    )


def _verdicts(rules: NicRules, dut: Dut, failing: Sequence[CellRow]) -> Answer:
    allowed = {*rules.verdicts, *(str(v) for v in (*FAILING, *_LAB, Verdict.KNOWN))}
    doubtful = [cell for cell in dut.cells if cell.verdict not in allowed]
    wrong = [*failing, *doubtful]
    reason = _counted(dut.cells) or "no cell ran"
    if wrong:
        more = f" and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
        reason += f"; {wrong[0].verdict} {wrong[0].id}{more}: {wrong[0].reason}"
    return answer(
        "nic.verdicts",
        f"no verdict but {', '.join(rules.verdicts)}",
        reason,
        met=not wrong and bool(dut.cells),
        undecided=all(cell.verdict is Verdict.INCONCLUSIVE for cell in wrong),
    )


def _known(policy: Policy, dut: Dut, today: date) -> Answer:
    known = [cell for cell in dut.cells if cell.verdict is Verdict.KNOWN]
    until = policy.known.until if policy.known else None
    demanded = f"KNOWN until {until}" if until else "no cell is KNOWN"
    if not known:
        return not_asked("known.until", demanded, "no cell is KNOWN")
    names = ", ".join(sorted({cell.expectation for cell in known if cell.expectation}))
    met = until is not None and today <= until
    reason = f"{len(known):,} KNOWN, by {names}; it is {today}"
    return answer("known.until", demanded, reason, met=met)


def _features(rules: NicRules, dut: Dut, off: Collection[str]) -> Answer:
    demanded = f"on and exercised: {', '.join(rules.features)}"
    if not rules.features:
        return not_asked("nic.features", "no feature in particular", "none is demanded")
    passed = [cell for cell in dut.cells if cell.verdict is Verdict.PASS]
    exercised = frozenset[str]().union(*(_exercised(cell, dut.nic.driver) for cell in passed))
    there = {name for cell in dut.cells for name, on in cell.effective.items() if on}
    missing = []
    for name in rules.features:
        if name in off:
            missing.append(f"{name} is what the mitigation turns off")
        elif name not in there:
            missing.append(f"{name} was on in no cell: the NIC lacks it, or has it fixed off")
        elif name not in exercised:
            missing.append(f"{name} was used in no cell that passes")
    return answer("nic.features", demanded, "; ".join(missing) or "so they were", met=not missing)


def _exercised(cell: CellRow, driver: str) -> frozenset[str]:
    if cell.flow.direction == "receive":
        return frozenset(name for name in RECEIVING if cell.effective.get(name))
    return used(cell, driver)


def _allowed(allowed: Sequence[Versions], nic: NicRow) -> Answer:
    if not allowed:
        return not_asked("nic.allowed", "any driver and firmware", _named(nic))
    met = any(_matches(entry, nic) for entry in allowed)
    demanded = "one of: " + "; ".join(map(_said, allowed))
    return answer("nic.allowed", demanded, _named(nic), met=met)


def _refused(refused: Sequence[Versions], nic: NicRow) -> Answer:
    if not refused:
        return not_asked("nic.refused", "no driver or firmware is refused", _named(nic))
    hit = next((entry for entry in refused if _matches(entry, nic)), None)
    why = f": {hit.reason}" if hit and hit.reason else ""
    reason = f"{_named(nic)}{f', which is {_said(hit)}{why}' if hit else ''}"
    demanded = "none of: " + "; ".join(map(_said, refused))
    return answer("nic.refused", demanded, reason, met=hit is None)


def _mitigation(
    policy: Policy, dut: Dut, failing: Sequence[CellRow]
) -> tuple[Answer, RequiredMitigation | None]:
    demanded = f"a mitigation is {'allowed' if policy.mitigation.allowed else 'not allowed'}"
    rule = "mitigation.allowed"
    if not failing:
        return not_asked(rule, demanded, "the NIC needs none"), None
    found = dut.findings.mitigation if dut.findings else None
    if found is None or not found.off:
        return answer(rule, demanded, "none is known: no feature heals it", met=False), None
    left = _left(failing, found)
    remedy = RequiredMitigation(found.off, found.on, command(dut.nic.interface, found), dut.cost)
    heals = f"with {', '.join(found.off)} off {found.healed} of {found.failing} failing flows heal"
    if left:
        first = f"{left[0].id}: {left[0].reason}"
        reason = f"{heals}, but {len(left):,} failing cells are not known to: {first}"
        return answer(rule, demanded, reason, met=False), None
    if found.healed < found.failing:
        return answer(rule, demanded, f"{heals}, and the others do not", met=False), None
    if not policy.mitigation.allowed:
        return answer(rule, demanded, heals, met=False), None
    return answer(rule, demanded, heals, met=True), remedy


def _left(failing: Sequence[CellRow], found: Mitigation) -> list[CellRow]:
    """Returns the failing cells of which it is not known that a mitigation heals them.

    It heals a cell whose culprit it turns off. Cells of crafted packets, under load and in a state
    may have none, because no search is made for them: it heals those that show the same fault.
    """
    off = set(found.off)
    left = []
    for same in faults(failing):
        first = same[0]
        heals = bool(first.culprit) and off.issuperset(first.culprit or ())
        for cell in same:
            flow = cell.flow
            unsearched = bool(flow.state or flow.packet_set or flow.load)
            kin = heals and unsearched and flow.direction == first.flow.direction
            if not (off.issuperset(cell.culprit) if cell.culprit else kin):
                left.append(cell)
    return left


def _cost(policy: Policy, remedy: RequiredMitigation | None) -> tuple[Answer, Answer]:
    cost = remedy.cost if remedy else None
    rules = policy.mitigation
    return (
        _price(
            "mitigation.throughput_loss",
            "of throughput",
            rules.throughput_loss,
            remedy,
            cost.throughput_loss if cost else None,
        ),
        _price(
            "mitigation.cpu_increase",
            "more CPU per byte",
            rules.cpu_increase,
            remedy,
            cost.cpu_increase if cost else None,
        ),
    )


def _price(
    rule: str,
    of_what: str,
    limit: float | None,
    remedy: RequiredMitigation | None,
    percent: float | None,
) -> Answer:
    demanded = "any cost" if limit is None else f"it costs at most {limit:g} % {of_what}"
    if remedy is None:
        return not_asked(rule, demanded, "there is no mitigation to pay for")
    if percent is None:
        reason = "what the mitigation costs was not measured"
        if limit is None:
            return not_asked(rule, demanded, reason)
        return answer(rule, demanded, reason, met=False, undecided=True)
    met = limit is None or percent <= limit
    return answer(rule, demanded, f"it costs {percent:.1f} % {of_what}", met=met)


def _matches(entry: Versions, nic: NicRow) -> bool:
    return (
        fnmatchcase(nic.driver, entry.driver)
        and within(nic.firmware, entry.firmware)
        and within(nic.kernel, entry.kernel)
    )


def _named(nic: NicRow) -> str:
    return f"it is {nic.driver}, firmware {nic.firmware}, kernel {nic.kernel}"


def _said(entry: Versions) -> str:
    firmware = "" if entry.firmware == "*" else f" firmware {entry.firmware}"
    kernel = "" if entry.kernel == "*" else f" kernel {entry.kernel}"
    return f"{entry.driver}{firmware}{kernel}"


def _counted(cells: Iterable[CellRow]) -> str:
    count = Counter(cell.verdict for cell in cells)
    return ", ".join(f"{count[v]:,} {v}" for v in Verdict if count[v])
