"""Matrices of two runs, made from counts of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import pytest

from qualification.campaign import Campaign
from qualification.judge.result_row import CellRow, row
from qualification.judge.statistics import rate
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow
from qualification.results.conclusion import Completeness, Conclusion, RunEnd, RunOutcome, Selection
from qualification.results.matrix import Matrix, build

SPACE = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, CSUM}))
EFFECTIVE = dict.fromkeys((TNL_CSUM, TNL, TSO, CSUM), True)
FLOWS = tuple(
    Flow(outer, checksum, inner, "tcp", True)
    for outer in (4, 6)
    for checksum in (True, False)
    for inner in (4, 6)
)
SETS = tuple(
    OffloadSet(frozenset(on), SPACE)
    for on in (SPACE.switchable, SPACE.switchable - {TSO}, SPACE.switchable - {TNL}, {CSUM, TSO})
)


def cell(
    bad: int = 0,
    frames: int = 7000,
    verdict: Verdict | None = None,
    *,
    flow: Flow = FLOWS[0],
    offloads: OffloadSet = SETS[0],
    pair: str = "x710",
    lost: int = 0,
    effective: Mapping[str, bool] | None = None,
    signature: str | None = None,
    culprit: list[str] | None = None,
) -> CellRow:
    """A row of a cell with so many wrong frames; it fails if there are any."""
    verdict = verdict or (Verdict.FAIL if bad else Verdict.PASS)
    judgement = Judgement(verdict, "a reason", frames, bad, lost, rate(bad, frames, 0.999))
    made = row(Cell(pair, offloads, flow), judgement)
    return replace(
        made,
        effective=dict(EFFECTIVE if effective is None else effective),
        signature=signature,
        culprit=culprit,
    )


def crafted(name: str, flow: Flow = FLOWS[0]) -> Flow:
    return replace(flow, packet_set=name)


def matrix(campaign: Campaign, cells: Iterable[CellRow], **run: object) -> Matrix:
    """A run with these cells; `run` changes what it says of itself, "mitigation" its mitigation."""
    rows = list(cells)
    mitigation = run.pop("mitigation", {})
    failing = any(row.verdict in (Verdict.FAIL, Verdict.LOSS) for row in rows)
    outcome = RunOutcome.NOT_QUALIFIED if failing else RunOutcome.QUALIFIED
    done = Completeness(len(rows), len(rows), len(rows), 1, 1, ())
    end = RunEnd("2026-01-02T03:14:05+00:00")
    made = build(campaign, rows, Conclusion(outcome, done, Selection(), end), (), mitigation)  # type: ignore[arg-type]
    return replace(made, run=replace(made.run, **run))  # type: ignore[arg-type]


Night = Callable[..., Matrix]


@pytest.fixture
def night(campaign: Callable[..., Campaign]) -> Night:
    """`night(cells, firmware="8.30", plan="full")`: a run of the pair x710."""

    def make(
        cells: Iterable[CellRow] | CellRow,
        firmware: str = "8.30",
        driver: str = "i40e",
        pair: str = "x710",
        **run: object,
    ) -> Matrix:
        some = [cells] if isinstance(cells, CellRow) else list(cells)
        return matrix(campaign(**{pair: (driver, firmware)}), some, **run)

    return make
