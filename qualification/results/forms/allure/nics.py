"""What is known of a NIC beside its cells, as tests of Allure.

These are the controls of its pair, the search for culprits, the symptom and, last, its outcome: a
run in which no cell fails, and that qualifies nothing, is not taken for a good one.
"""

from __future__ import annotations

from collections.abc import Iterator

from allure_commons.model2 import Status
from pydantic import TypeAdapter

from qualification.judge.controls import ControlResult
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.evidence import Evidence, total
from qualification.judge.outcome import control_verdict
from qualification.judge.result_row import CellRow
from qualification.judge.symptom import Runs, Symptom
from qualification.judge.verdict import Verdict
from qualification.printable import markdown, printable
from qualification.results.conclusion import RunOutcome
from qualification.results.forms.metrics import worst_cell
from qualification.results.forms.mitigation import mitigation
from qualification.results.matrix import Matrix, NicRow
from qualification.results.run_directory import StoredRun
from qualification.results.terminal.explanations import faults
from qualification.results.terminal.overview import outcome

from .cells import sentence
from .model import OUTCOMES, STATUSES, AllureStep, AllureTest
from .parts import about, evidence_files, identity, json_file, labels

_FINDINGS = TypeAdapter(CulpritFindings)
_COST = TypeAdapter(CostTurns)
_SYMPTOM = TypeAdapter(Symptom)
_RUNS = TypeAdapter(Runs)


def nic_tests(matrix: Matrix, nic: NicRow, stored: StoredRun | None) -> Iterator[AllureTest]:
    """Yields the tests of a DUT that are no cells.

    Args:
        matrix: The results of the run.
        nic: The DUT.
        stored: The stored run; None where only its results are known.
    """
    cells = [cell for cell in matrix.cells if cell.pair == nic.pair]
    for number, part in enumerate(stored.parts if stored else (), 1):
        again = f" of part {number}" if number > 1 else ""
        for result in part.get(nic.pair, {}).values():
            yield _control(nic, result, again)
    if stored and nic.pair in stored.culprits:
        yield _culprit(nic, stored, stored.culprits[nic.pair])
    for symptom in matrix.symptoms:
        if symptom.pair == nic.pair:
            yield _symptom(nic, symptom, stored.symptoms.get(nic.pair) if stored else None)
    yield _outcome(matrix, nic, cells, stored.troubles if stored else ())


def _control(nic: NicRow, result: ControlResult, again: str) -> AllureTest:
    verdict = control_verdict(result)
    id_ = f"{nic.pair}/control/{result.name}{again}"
    return AllureTest(
        id=printable(id_),
        name=printable(f"{result.name}{again}"),
        status=STATUSES[verdict],
        message="" if result.trusted else printable(f"{verdict}: {result.reason}"),
        description=markdown(result.reason),
        labels=labels(nic, "controls", "control", str(verdict)),
        identity=identity(nic, control=f"{result.name}{again}"),
        about=about(nic),
        steps=(AllureStep(printable(result.reason), STATUSES[verdict]),),
        files=tuple(evidence_files(id_, result.evidence)),
        seconds=sum(burst.sent.seconds for burst in result.bursts.values()),
    )


def _culprit(nic: NicRow, stored: StoredRun, found: CulpritFindings) -> AllureTest:
    """Returns the search for culprits, which is skipped where some cells have none that is known.

    It never fails: the cells do.
    """
    id_ = f"{nic.pair}/culprit"
    unknown = [group for group in found.findings if not group.off]
    names = sorted({" + ".join(group.off) for group in found.findings if group.off})
    told = [f"culprit: {', '.join(names)}"] if names else []
    told += [f"failing cells without a culprit: {len(one.cells)}, {one.reason}" for one in unknown]
    steps = [
        AllureStep(
            printable(f"{' + '.join(group.off) or 'unknown'}: {len(group.cells)} failing cells"),
            Status.PASSED if group.off else Status.SKIPPED,
            (AllureStep(printable(group.reason)),),
        )
        for group in found.findings
    ]
    ran = {name: one for name, one in stored.proofs.items() if name.startswith(f"{nic.pair}/")}
    if ran:
        runs = tuple(AllureStep(printable(f"{name}: {_wrong(one)}")) for name, one in ran.items())
        steps.append(AllureStep(f"cells that were run for it: {len(ran)}", steps=runs))
    files = [json_file(f"{nic.pair}.culprits", _FINDINGS.dump_python(found, mode="json"))]
    cost = stored.costs.get(nic.pair)
    if cost is not None:
        files.append(json_file(f"{nic.pair}.cost", _COST.dump_python(cost, mode="json")))
    return AllureTest(
        id=printable(id_),
        name="culprit",
        status=Status.SKIPPED if unknown else Status.PASSED,
        message=printable("; ".join(told)) if unknown else "",
        description=markdown("; ".join(told) or "no cell failed"),
        labels=labels(nic, "culprit", "culprit", ""),
        identity=identity(nic, test="culprit"),
        about=about(nic),
        steps=tuple(steps),
        files=tuple(files),
    )


def _wrong(evidence: Evidence) -> str:
    sums = total(evidence.bursts)
    return f"{sums.bad:,} of {sums.frames:,} frames wrong"


def _symptom(nic: NicRow, symptom: Symptom, runs: Runs | None) -> AllureTest:
    document = {"symptom": _SYMPTOM.dump_python(symptom, mode="json")}
    if runs is not None:
        document["runs"] = _RUNS.dump_python(runs, mode="json")
    return AllureTest(
        id=printable(f"{nic.pair}/symptom"),
        name="symptom",
        status=Status.PASSED,
        description=f"{markdown(symptom.errors)}\n\n{markdown(symptom.pace)}",
        labels=labels(nic, "symptom", "symptom", ""),
        identity=identity(nic, test="symptom"),
        about=about(nic),
        steps=(AllureStep(printable(symptom.errors)), AllureStep(printable(symptom.pace))),
        files=(json_file(f"{nic.pair}.symptom", document),),
    )


def _outcome(
    matrix: Matrix, nic: NicRow, cells: list[CellRow], troubles: tuple[str, ...]
) -> AllureTest:
    """Returns how a DUT ended: each fault by its most telling cell, and what mitigates it."""
    ended = outcome(matrix, nic.pair)
    status = OUTCOMES.get(ended, Status.BROKEN)
    done = matrix.run.completeness
    about_run = f"{done.run:,} of {done.planned:,} cells of the plan came to a result"
    steps = []
    for same in faults(cells):
        cell = worst_cell(same) or same[0]
        told = f"{sentence(cell)} ({cell.id}{_more(same)})"
        steps.append(AllureStep(printable(told), STATUSES[Verdict.FAIL]))
    heals = mitigation(matrix, nic)
    steps += [AllureStep(printable(heals))] if heals else []
    steps += [AllureStep(printable(f"lab error: {text}"), Status.BROKEN) for text in troubles]
    headline = f"{ended}: {nic.driver}, firmware {nic.firmware}, on {nic.host} {nic.interface}"
    paragraphs = [f"**{ended}**: {markdown(headline.partition(': ')[2])}", about_run]
    paragraphs += [markdown(step.text) for step in steps]
    failed = ended is RunOutcome.NOT_QUALIFIED
    return AllureTest(
        id=printable(f"{nic.pair}/outcome"),
        name="outcome",
        status=status,
        message="" if ended is RunOutcome.QUALIFIED else printable(headline),
        details="\n".join([about_run, *(step.text for step in steps)]),
        description="\n\n".join(paragraphs),
        labels=labels(nic, "outcome", "outcome", str(ended)),
        identity=identity(nic, test="outcome"),
        about=about(nic),
        steps=tuple(steps) or (AllureStep(about_run, status),),
        files=(),
        known=not failed and any(cell.verdict is Verdict.KNOWN for cell in cells),
    )


def _more(cells: list[CellRow]) -> str:
    return f" and {len(cells) - 1} more" if len(cells) > 1 else ""
