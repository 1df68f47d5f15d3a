"""Runs made by hand, as the gate gets them: judged, with everything fine but what a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from qualification.campaign import Campaign
from qualification.judge.culprit.cost import Cost, Spread
from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation
from qualification.judge.evidence import Evidence
from qualification.judge.result_row import CellRow, row
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.plan.features import TNL_CSUM
from qualification.results import matrix
from qualification.results.conclusion import RunEnd, Selection, conclude
from qualification.results.gate.policy import Policy
from qualification.results.rejudge import Judged

NOW = datetime(2026, 1, 12, 3, 4, 5, tzinfo=UTC)
"""Ten days after the runs of the fixture `campaign` begin."""

MakeJudged = Callable[..., Judged]


def policy(**keys: object) -> Policy:
    """A policy that a fine run of plan quick meets, with other keys."""
    return Policy.model_validate(
        {"version": 1, "name": "a site", "run": {"plan": "quick"}} | keys, strict=False
    )


def tcp_all_on(cell: Cell) -> bool:
    return cell.set_id == "all-on" and cell.flow.id.endswith("outer4-csum/inner4/tcp")


@pytest.fixture
def run(campaign: Callable[..., Campaign]) -> Campaign:
    return campaign(x710=("i40e", "8.30 0x8000af86"))


@pytest.fixture
def judged(run: Campaign) -> MakeJudged:
    """`judged(verdict=…, only=…, interrupted=…)`: that run with these verdicts and cells."""

    def make(
        verdict: Callable[[Cell], Verdict] = lambda _: Verdict.PASS,
        only: Callable[[Cell], bool] = lambda _: True,
        *,
        campaign: Campaign = run,
        interrupted: bool = False,
        selection: Selection = Selection(),  # noqa: B008  (frozen)
        troubles: tuple[str, ...] = (),
        culprit: list[str] | None = None,
        healed: int = 1,
        cost: Cost | None = None,
    ) -> Judged:
        rows: list[CellRow] = []
        for pair in campaign.pairs:
            for cell in filter(only, campaign.cells(pair)):
                how = verdict(cell)
                judgement = Judgement(how, "a reason", 100, 3 if how is Verdict.FAIL else 0)
                made = row(cell, judgement, Evidence(cell.offloads.requested), "slow")
                if how is Verdict.FAIL and culprit:
                    made = replace(made, culprit=culprit)
                rows.append(made)
        bad = [one.id for one in rows if one.verdict in (Verdict.FAIL, Verdict.LOSS)]
        doubted = bool(troubles) or any(
            one.verdict in (Verdict.ERROR, Verdict.UNTRUSTED, Verdict.INCONCLUSIVE) for one in rows
        )
        concluded = conclude(
            campaign,
            rows,
            [one.id for one in rows],
            selection,
            RunEnd("2026-01-02T03:14:05+00:00", interrupted),
            blamed=bool(bad),
            doubted=doubted,
        )
        found = (
            CulpritFindings(
                campaign.pairs[0],
                {},
                (CulpritGroup(tuple(culprit), "nic", tuple(bad), 1, None, "a proof"),),
                Mitigation(tuple(culprit), ("tx-tcp-segmentation",), healed, 1),
                4,
            )
            if culprit
            else None
        )
        made_matrix = matrix.build(
            campaign,
            rows,
            concluded,
            costs=[cost] if cost else [],
        )
        return Judged(made_matrix, concluded, troubles, (), (), (found,) if found else ())

    return make


def cost(loss: float, cpu: float) -> Cost:
    """What a mitigation costs, in percent."""
    one = Spread(1.0, 0.9, 1.1)
    return Cost("x710", (TNL_CSUM,), "outer4-csum/inner4/tcp", 3, one, one, one, one, loss, cpu)
