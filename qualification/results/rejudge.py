"""Judges a stored run again: other demands, the same evidence, no host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from qualification.errors import UsageError
from qualification.judge.controls import ControlResult, combined, judge_again, pace_of
from qualification.judge.culprit.cost import costs
from qualification.judge.culprit.findings import CulpritFindings, explained, mitigations
from qualification.judge.known.matching import ExpectationNote, expect, findings
from qualification.judge.outcome import Outcome, decide, distrust, never_ran, untrusted
from qualification.judge.result_row import CellRow, row
from qualification.judge.symptom import summarise
from qualification.judge.verdict import Demand, Judgement, Verdict
from qualification.plan.cells import Cell

from . import matrix
from .conclusion import Conclusion, conclude
from .run_directory import StoredRun
from .run_files import MATRIX, CellEntry


@dataclass(frozen=True)
class Judged:
    """The results of judging a stored run again.

    Attributes:
        matrix: The results.
        conclusion: The outcome and the exit code of a run with these results.
        troubles: Errors of the lab in that run that belong to no cell.
        notes: What is worth saying of its files.
        findings: What the results say about the expectations.
        culprits: What the run found of cells of which some still fail.
    """

    matrix: matrix.Matrix
    conclusion: Conclusion
    troubles: tuple[str, ...]
    notes: tuple[str, ...]
    findings: tuple[ExpectationNote, ...]
    culprits: tuple[CulpritFindings, ...]

    @property
    def exit_code(self) -> int:
        """The exit code of a run with these results."""
        return self.conclusion.exit_code


def judge(
    run: StoredRun, today: date, rate: float | None = None, confidence: float | None = None
) -> Judged:
    """Judges every control and every cell of a stored run.

    A demand that is stricter than that of the run leaves cells with too few frames, which end as
    INCONCLUSIVE. It does not make a clean control a failed one: controls had as many frames as the
    run asked for, and are judged by that.

    Args:
        run: The stored run.
        today: The date that decides which expectations have expired.
        rate: The corruption rate that a PASS excludes; that of the run if None.
        confidence: The confidence with which it is excluded; that of the run if None.
    """
    asked = run.campaign.demand
    demand = Demand(
        asked.rate if rate is None else rate,
        asked.confidence if confidence is None else confidence,
    )
    campaign = replace(run.campaign, demand=demand)
    least = min(asked, demand, key=lambda one: one.frames)
    parts = [
        {
            pair: {
                name: judge_again(result, least, campaign.ends(pair).port)
                for name, result in results.items()
            }
            for pair, results in part.items()
        }
        for part in run.parts
    ]
    outcomes = [
        expect(outcome, campaign.ends(outcome.cell.pair).dut, campaign.expectations, today)
        for outcome in _outcomes(run, parts, demand)
    ]
    distrust = [
        control
        for part in parts
        for results in part.values()
        for control in results.values()
        if not (control.trusted or control.blocked)
    ]
    rows = [
        _with_culprit(row(o.cell, o.judgement, o.evidence, o.expectation, o.note), run)
        for o in outcomes
    ]
    conclusion = conclude(
        campaign,
        rows,
        [id_ for id_, entry in run.entries.items() if not _not_tried(entry, run)],
        run.selection,
        run.end,
        blamed=any(outcome.blames_nic for outcome in outcomes),
        doubted=bool(distrust or run.troubles or any(outcome.doubtful for outcome in outcomes)),
    )
    return Judged(
        matrix.build(
            campaign,
            rows,
            conclusion,
            [summarise(pair, runs) for pair, runs in run.symptoms.items()],
            mitigations(run.culprits.values()),
            {pair: pace for part in parts for pair, of in part.items() if (pace := pace_of(of))},
            run.resumed,
            costs(run.culprits.values(), run.costs),
        ),
        conclusion,
        run.troubles,
        run.notes,
        findings(campaign.expectations, rows, campaign.duts, today),
        tuple(found for found in run.culprits.values() if _still_fails(found, rows)),
    )


def _still_fails(found: CulpritFindings, rows: Sequence[CellRow]) -> bool:
    failing = {row.id for row in rows if row.verdict in (Verdict.FAIL, Verdict.LOSS)}
    return any(failing & set(group.cells) for group in found.findings)


def _with_culprit(made: CellRow, run: StoredRun) -> CellRow:
    """Adds the culprit that was found; no search was made for cells that fail only now."""
    failing = made.verdict in (Verdict.FAIL, Verdict.LOSS, Verdict.KNOWN)
    return explained(made, run.culprits.get(made.pair) if failing else None)


def _outcomes(
    run: StoredRun, parts: Sequence[Mapping[str, dict[str, ControlResult]]], demand: Demand
) -> Iterator[Outcome]:
    """Yields the outcomes in the order of the plan: one may distrust those that follow."""
    rests_on: dict[tuple[str, int], dict[str, ControlResult]] = {}
    distrusted: dict[str, dict[str, ControlResult]] = {}
    for cell in run.cells:
        key = cell.pair, run.part_of.get(cell.id, 0)
        if key not in rests_on:
            of_pair = [part.get(cell.pair, {}) for part in parts]
            rests_on[key] = combined(of_pair.pop(key[1]), of_pair)
        controls = rests_on[key] | distrusted.setdefault(cell.pair, {})
        outcome = _outcome(cell, run, controls, demand)
        distrusted[cell.pair].update(distrust(outcome))
        yield outcome


def _outcome(
    cell: Cell, run: StoredRun, controls: Mapping[str, ControlResult], demand: Demand
) -> Outcome:
    entry = run.entries.get(cell.id)
    if entry is None or _not_tried(entry, run):
        return never_ran(cell, run.campaign.unready)
    if entry.evidence is not None:
        return replace(decide(cell, entry.evidence, controls, demand), note=entry.note)
    never = entry.verdict in (Verdict.UNTRUSTED, Verdict.UNSUPPORTED)
    forbidden = untrusted(cell, controls) if never else None
    stays = Judgement(entry.verdict or Verdict.ERROR, entry.reason)
    return forbidden or Outcome(cell, stays, None, False)


def _not_tried(entry: CellEntry, run: StoredRun) -> bool:
    """Returns whether an entry is an error of an earlier part of a run whose last part had no pair.

    The hosts of the pair were not ready then, and its cells were not tried.
    """
    pair = entry.id.partition("/")[0]
    return entry.verdict is Verdict.ERROR and pair in run.campaign.unready


def write(made: matrix.Matrix, directory: Path) -> Path:
    """Writes `matrix.json` into a directory, which is created if needed; returns the file.

    Raises:
        UsageError: It cannot be written.
    """
    path = directory / MATRIX
    try:
        directory.mkdir(parents=True, exist_ok=True)
        matrix.write(made, path)
    except OSError as error:
        raise UsageError(
            f"results cannot be written to {directory}: {error.strerror}",
            hint="give a directory that you can write to, or one that can be created",
        ) from None
    return path
