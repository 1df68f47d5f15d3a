"""The first screen of a run: what happened, where, what heals it; one sentence for each fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from qualification.campaign import Campaign
from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation, Proof
from qualification.judge.outcome import NEVER_RAN
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, OffloadSet
from qualification.results.conclusion import RunOutcome
from qualification.results.terminal.explanations import faults
from qualification.results.terminal.report import report

from .conftest import ALL_OFF, ALL_ON, OUTER6_TCP, SPACE, TCP, TCP6, UDP, UDP_SEG, Make, built, made

V = Verdict
ONE = "x710/all-on/outer4-csum/inner4/tcp"
NOISE = "noise, outer L4: the values look random; explains {0} of {0} wrong frames"


def failing(
    offloads: OffloadSet = ALL_ON,
    flow: object = TCP,
    *,
    signature: str | None = NOISE.format(64),
    culprit: Sequence[str] | None = (TNL_CSUM,),
    pair: str = "x710",
    verdict: Verdict = V.FAIL,
    reason: str = "213 of 7,131 frames are wrong",
) -> CellRow:
    row = made(offloads, flow, verdict, reason, pair=pair)  # type: ignore[arg-type]
    return replace(
        row,
        signature=signature,
        culprit=None if culprit is None else list(culprit),
        effective=offloads.requested,
    )


def found(pair: str, cells: Sequence[CellRow]) -> CulpritFindings:
    ids = tuple(cell.id for cell in cells)
    reason = "none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on"
    group = CulpritGroup((TNL_CSUM,), "nic", ids, 2, Proof(ids[0], 7245, 7131, 213, 0.0), reason)
    safe = Mitigation((TNL_CSUM,), (TNL, TSO, CSUM), 2, 2)
    return CulpritFindings(pair, dict.fromkeys(ids, (TNL_CSUM,)), (group,), safe, 2)


def text(
    run: Campaign, cells: Sequence[CellRow], outcome: RunOutcome, *culprits: CulpritFindings,
    every: bool = False,
) -> str:  # fmt: skip
    matrix = built(run, cells, outcome=outcome)
    return "\n".join(line.text for line in report(matrix, 100, (), culprits, every=every))


def test_what_to_do_comes_before_the_matrix_and_a_fault_is_explained_once(campaign: Make) -> None:
    but_tso = OffloadSet(SPACE.switchable - {TSO}, SPACE)
    lengths = replace(UDP, packet_set="lengths")
    bad = [
        failing(),
        failing(flow=TCP6, signature=NOISE.format(61), reason="200 of 7,249 frames are wrong"),
        failing(but_tso, UDP_SEG),
        failing(flow=lengths, signature="unexplained, outer L4: no hypothesis explains the 8"),
        failing(flow=replace(lengths, state="reset"), culprit=None),
    ]
    good = [made(ALL_OFF, flow) for flow in (TCP, TCP6, UDP, UDP_SEG)]
    said = text(
        campaign(x710=("i40e", "8.30")),
        [*good, *bad],
        RunOutcome.NOT_QUALIFIED,
        found("x710", bad[:3]),
    )
    in_order = [
        "NOT QUALIFIED: x710 (i40e, firmware 8.30). 9 cells: 4 pass, 5 FAIL",
        "culprits on x710, found by 2 more runs",
        "  tx-udp_tnl-csum-segmentation: 3 failing cells of 2 flows",
        "      proof: none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on",
        "      ethtool -K p0 tx-udp_tnl-csum-segmentation off",
        "  x710: x710-dut p0 -> x710-peer p0, kernel 6.1.0-28",
        "  all-on                 F      F",
        f"  FAIL {ONE} and 4 more: 213 of 7,131 frames are wrong; noise,",
        ". pass  F FAIL  t TCP  u UDP  s UDP segmented",
    ]
    at = [f"\n{said}\n".find(f"\n{line}\n") for line in in_order]
    assert -1 not in at, said
    assert at == sorted(at)
    assert said.count("FAIL x710/") == 1
    assert said.splitlines()[0] == in_order[0]


@pytest.mark.parametrize(
    "other",
    [
        {"signature": "seed-left, outer L4: the field holds the seed"},
        {"signature": "noise, inner L4: the values look random"},
        {"culprit": (TSO,)},
        {"verdict": V.LOSS, "signature": None, "culprit": (TNL_CSUM,)},
        # Nothing shows that it is the fault of a feature that was not in effect.
        {"offloads": ALL_OFF, "culprit": None},
        {"signature": None, "culprit": None, "reason": "3 payloads are not those sent"},
    ],
)
def test_another_fault_has_a_sentence_of_its_own(other: dict[str, object]) -> None:
    cells = [failing(), failing(flow=UDP_SEG, **other), failing(flow=TCP6)]  # type: ignore[arg-type]
    assert [[cell.flow.id for cell in fault] for fault in faults(cells)] in (
        [[TCP.id, TCP6.id], [UDP_SEG.id]],
    )


def test_like_reasons_of_doubt_are_one(campaign: Make) -> None:
    cells = [
        made(ALL_ON, flow, V.NOT_EXERCISED, f"it takes {names} as well; none wrong of {count}")
        for flow, names, count in (
            (TCP, "tx-udp_tnl-csum-segmentation", "7,280"),
            (UDP_SEG, "tx-udp_tnl-segmentation and tx-udp-segmentation", "7,272"),
            (TCP6, "tx-tcp6-segmentation", "45"),
        )
    ]
    said = text(campaign(x710=("i40e", "8.30")), cells, RunOutcome.NOT_EXERCISED)
    assert said.count("NOT EXERCISED x710/") == 1
    assert "  NOT EXERCISED x710/all-on/outer4-csum/inner4/tcp and 2 more: it takes" in said


EIGHT = {f"p{number}": ("i40e", "8.30") for number in range(1, 9)}


def eight(campaign: Make, *, every: bool = False) -> str:
    cells = [made(ALL_ON, flow, pair=pair) for pair in EIGHT for flow in (TCP, UDP, OUTER6_TCP)]
    bad = failing(pair="p5")
    cells = [bad if cell.id == bad.id else cell for cell in cells]
    broken = made(ALL_ON, TCP, V.ERROR, "p7-dut: the SSH connection is lost", pair="p7")
    cells = [broken if cell.id == broken.id else cell for cell in cells]
    return text(campaign(**EIGHT), cells, RunOutcome.NOT_QUALIFIED, found("p5", [bad]), every=every)


def test_of_many_pairs_each_has_a_line_and_those_that_fail_a_matrix(campaign: Make) -> None:
    shown = eight(campaign).splitlines()
    assert shown[0].startswith("NOT QUALIFIED: p5 (i40e, firmware 8.30). 24 cells: 22 pass, 1 FAIL")
    assert shown[1] == ""
    assert shown[2:10] == [
        f"  p{number}  {outcome:<13}  p{number}-dut p0 (i40e, 8.30)  {verdicts}"
        for number, (outcome, verdicts) in enumerate(
            [
                *[("QUALIFIED", "3 pass")] * 4,
                ("NOT QUALIFIED", "2 pass, 1 FAIL"),
                ("QUALIFIED", "3 pass"),
                ("NOT JUDGED", "2 pass, 1 lab error"),
                ("QUALIFIED", "3 pass"),
            ],
            start=1,
        )
    ]
    assert shown[11] == "culprits on p5, found by 2 more runs"
    grids = [line.split(":")[0].strip() for line in shown if ", kernel " in line]
    assert grids == ["p5", "p7"]
    assert shown[-1] == "  -v shows the matrix of 6 pairs as well"


def test_with_v_every_pair_has_its_matrix(campaign: Make) -> None:
    shown = eight(campaign, every=True).splitlines()
    assert [line.split(":")[0].strip() for line in shown if ", kernel " in line] == [*EIGHT]
    assert "-v shows" not in shown[-1]


def test_an_interrupted_run_shows_what_has_run(campaign: Make) -> None:
    cells = [made(ALL_OFF, TCP), made(ALL_ON, TCP, V.ERROR, NEVER_RAN)]
    cells += [replace(cells[1], id="e810/all-on/x", pair="e810")]
    both = campaign(x710=("i40e", "8.30"), e810=("ice", "4.40"))
    said = text(both, cells, RunOutcome.INTERRUPTED)
    assert "lab error" not in said
    assert "never ran" not in said
    assert "  x710  INTERRUPTED    x710-dut p0 (i40e, 8.30)  1 pass" in said
    assert "  e810  INTERRUPTED    e810-dut p0 (ice, 4.40)   no cell has run" in said
