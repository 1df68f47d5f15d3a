"""One screen for people, and the run before that it compares with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from qualification.errors import UsageError
from qualification.judge.culprit.cost import Cost, Spread
from qualification.judge.culprit.findings import CulpritFindings, CulpritGroup, Mitigation, Proof
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.plan.features import CSUM, TNL_CSUM
from qualification.results.comparison.compare import compare
from qualification.results.conclusion import RunOutcome
from qualification.results.index.database import Database, url_of
from qualification.results.index.writing import index
from qualification.results.matrix import Matrix, write
from qualification.results.nightly import summary
from qualification.results.nightly.previous import previous, since

from ..comparison.conftest import FLOWS, Night, cell, matrix, night
from ..conftest import Make, campaign

__all__ = ["campaign", "night"]
ONE = "x710/all-on/outer4-csum/inner4/tcp"
NOISE = "noise, outer L4: the values look random; explains 210 of 210 wrong frames"
FOUND = CulpritFindings(
    "x710",
    {ONE: (TNL_CSUM,)},
    (
        CulpritGroup(
            (TNL_CSUM,),
            "nic",
            (ONE, "b"),
            2,
            Proof(ONE, 7245, 7131, 213, 1e-60),
            "none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on",
        ),
    ),
    Mitigation((TNL_CSUM,), (CSUM,), 2, 2),
    2,
)
SPREAD = Spread(1.0, 0.9, 1.1)
COST = Cost("x710", (TNL_CSUM,), FLOWS[0].id, 3, SPREAD, SPREAD, SPREAD, SPREAD, 12.0, 40.0)


def flows(failing: int) -> list[CellRow]:
    """Eight flows, of which the first ones fail as in the incident."""
    return [
        replace(
            cell(
                210 if n < failing else 0,
                flow=flow,
                signature=NOISE if n < failing else None,
                culprit=[TNL_CSUM] if n < failing else None,
            ),
            reason="210 of 7,000 frames are wrong (3 %): outer L4 (210)" if n < failing else "fine",
        )
        for n, flow in enumerate(FLOWS)
    ]


def incident(night: Night, failing: int = 2, **run: object) -> Matrix:
    made = night(flows(failing), "8.30", mitigation={"x710": [TNL_CSUM]}, **run)
    return replace(made, costs=(COST,))


def told(lines: list[str]) -> str:
    return "\n".join(lines)


def test_the_incident_after_a_good_night(night: Night) -> None:
    before = night(flows(0), "9.20", id="20260101-030405-000000")
    now = incident(night)
    said = told(summary.page(now, compare(before, now), [FOUND], "out/latest"))
    assert said == (
        "# NOT QUALIFIED: x710 (i40e, firmware 8.30). 8 cells: 6 pass, 2 FAIL\n\n"
        "run 20260102-030405-6 of lab.yaml, plan quick, 2026-01-02T03:04:05+00:00, vxqual 0.1.0\n\n"
        "## Why\n\n"
        f"- FAIL {ONE} and 1 more: 210 of 7,000 frames are wrong (3 %): outer L4 (210); {NOISE}\n\n"
        "## Since run 20260101-030405-000000\n\n"
        "REGRESSED: x710 (i40e, firmware 9.20 → 8.30). 8 cells: 2 regressed, 6 unchanged\n\n"
        "- regressed: `all-on/outer4-csum/inner4/tcp` and 1 more: "
        "PASS before, FAIL now: 0 of 7,000 frames wrong before, 210 of 7,000 now (3 %); "
        f"{NOISE}; culprit `tx-udp_tnl-csum-segmentation`.\n"
        "- the peer has another firmware, too: 9.20 before, 8.30 now\n\n"
        "## What to do\n\n"
        "- culprit on x710: tx-udp\\_tnl-csum-segmentation: 2 failing cells of 2 flows; proof: "
        "none of 7,245 frames is wrong with it off, 213 of 7,131 with it back on\n"
        "- heals on x710-dut, with 1 of 2 features left on: "
        "`ethtool -K p0 tx-udp_tnl-csum-segmentation off`, costs 12 % of throughput, 1.4 times the "
        "CPU per byte (outer4-csum/inner4/tcp, 3 turns)\n"
        "- x710-peer has the same driver and firmware, and needs it, too: "
        "`ethtool -K p0 tx-udp_tnl-csum-segmentation off`\n"
        "- what the vendor is handed: `vxqual bundle out/latest`"
    )


def test_by_the_results_alone_the_command_and_its_cost_are_told(night: Night) -> None:
    said = told(summary.page(incident(night), "no store"))
    assert "mitigation on x710-dut: ethtool -K p0 tx-udp\\_tnl-csum-segmentation off, " in said
    assert "which costs 12 % of throughput" in said
    assert "## Since the last run\n\nno store\n" in said


def test_a_good_night_is_short_and_has_nothing_to_do(night: Night) -> None:
    before, now = night(flows(0), id="20260101-030405-000000"), night(flows(0))
    said = summary.page(now, compare(before, now))
    assert said[0] == "# QUALIFIED. 8 cells: 8 pass"
    assert said[-1] == "NO REGRESSION: x710 (i40e, firmware 8.30). 8 cells: 8 unchanged"
    assert "## What to do" not in said


@pytest.mark.parametrize(
    ("outcome", "verdict", "step"),
    [
        (RunOutcome.NOT_JUDGED, Verdict.ERROR, "vxqual run --resume 20260102-030405-6"),
        (RunOutcome.INTERRUPTED, Verdict.ERROR, "vxqual run --resume 20260102-030405-6"),
        (RunOutcome.PARTIAL, Verdict.PASS, "vxqual run lab.yaml"),
        (RunOutcome.NOT_EXERCISED, Verdict.NOT_EXERCISED, "vxqual page 20260102-030405-6"),
    ],
)
def test_what_to_do_with_a_run_that_qualifies_nothing(
    night: Night, outcome: RunOutcome, verdict: Verdict, step: str
) -> None:
    made = night([cell(verdict=verdict)])
    made = replace(made, run=replace(made.run, outcome=outcome))
    assert summary.page(made, "")[-1].endswith(f"`{step}`")


HOSTILE = st.text(st.sampled_from("a<b>`|*_[](#)!&\\\n\x1b-"), max_size=12)


@given(
    pairs=st.integers(1, 30),
    faults=st.integers(0, 8),
    healed=st.integers(0, 8),
    text=HOSTILE,
    culprits=st.booleans(),
)
def test_it_is_one_screen_whatever_there_is_and_has_no_markup_of_others(
    pairs: int, faults: int, healed: int, text: str, culprits: bool
) -> None:
    make: Make = campaign.__wrapped__()  # type: ignore[attr-defined]
    named = {f"p{n}": ("i40e", f"8{text}") for n in range(pairs)}

    def cells(bad: int) -> list[CellRow]:
        return [
            replace(
                cell(210 if n < bad else 0, flow=flow, pair=pair),
                signature=f"{n}{text}: why",
                reason=f"{text}{n}",
                culprit=[f"tx-{n}"],
            )
            for pair in named
            for n, flow in enumerate(FLOWS)
        ]

    off = {"mitigation": {pair: [TNL_CSUM] for pair in named}}
    old, new = (
        matrix(make(**named), cells(bad), **off, id=f"2026010{n}-030405-000000", topology=text)
        for n, bad in ((1, healed), (2, faults))
    )
    found = [replace(FOUND, pair=pair) for pair in named] if culprits else []
    lines = summary.page(new, compare(old, new), found, text)
    assert len(lines) <= summary.MOST_LINES
    assert all(line.isprintable() for line in lines), "so each is one line"
    tokens = [
        inside
        for token in MarkdownIt("commonmark").parse(told(lines))
        for inside in (token, *(token.children or ()))
    ]
    kinds = {token.type for token in tokens}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "em_open", "fence"}
    assert sum(token.type == "heading_open" for token in tokens) <= 4


# The run before


@pytest.fixture
def stored(tmp_path: Path) -> Database:
    return Database(url_of(tmp_path))


def store(database: Database, made: Matrix, day: str) -> None:
    assert database.path is not None
    run = replace(made.run, id=f"{day}-000000-1", started=f"{day[:4]}-{day[4:6]}-{day[6:]}T00:00Z")
    run = replace(run, started=run.started.replace("Z", ":00+00:00"))
    place = database.path.parent / run.id
    place.mkdir()
    write(replace(made, run=run), place / "matrix.json")
    index(database, replace(made, run=run), place)


def test_the_run_before_is_the_last_one_that_judged_the_nic(stored: Database, night: Night) -> None:
    now = night(flows(2))
    assert since(None, now) == "There is no store that knows an earlier run"
    assert "there is no store" in str(since(stored, now))
    store(stored, night(flows(0), "9.20"), "20251228")
    store(stored, night(flows(0), "9.20"), "20251229")
    store(stored, night([cell(verdict=Verdict.ERROR)]), "20251230")  # the lab was down
    store(stored, night(flows(0), plan="full"), "20251231")
    store(stored, night([replace(one, pair="y") for one in flows(0)], pair="y"), "20260101")
    store(stored, night(flows(0)), "20260103")  # later
    assert previous(stored, now).run.id == "20251229-000000-1"
    found = since(stored, now)
    assert not isinstance(found, str)
    assert (found.old.id, str(found.answer)) == ("20251229-000000-1", "REGRESSED")


def test_where_no_run_is_before_the_next_step_is_told(stored: Database, night: Night) -> None:
    store(stored, night(flows(0)), "20260102")
    now = night(flows(0))
    now = replace(now, run=replace(now.run, id="20260102-000000-1"))
    with pytest.raises(UsageError, match="no earlier run of plan quick") as error:
        previous(stored, now)
    assert "vxqual compare OLD NEW" in str(error.value)
