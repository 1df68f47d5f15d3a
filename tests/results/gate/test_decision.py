"""The gate by hand-made runs: which rule fails, and what the outcome is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.campaign import Campaign
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Demand, Verdict
from qualification.plan.cells import Cell
from qualification.plan.features import TNL_CSUM, TSO
from qualification.results.conclusion import RunOutcome, Selection
from qualification.results.gate.answer import Answer, AnswerKind
from qualification.results.gate.decision import Decision, GateOutcome, _outcome, decide
from qualification.results.gate.lines import lines

from .conftest import NOW, MakeJudged, cost, policy, tcp_all_on

MITIGATION = {"mitigation": {"allowed": True}}


def failing_tcp(cell: object) -> Verdict:
    return Verdict.FAIL if tcp_all_on(cell) else Verdict.PASS  # type: ignore[arg-type]


def unmet(decided: Decision) -> list[str]:
    """The rules that are not met, of the run and of its only NIC."""
    (nic,) = decided.nics
    return [a.rule for a in (*decided.answers, *nic.answers) if a.kind is AnswerKind.NOT_MET]


def reason(decided: Decision, rule: str) -> str:
    (nic,) = decided.nics
    return next(a.reason for a in (*decided.answers, *nic.answers) if a.rule == rule)


def test_a_fine_run_is_qualified(judged: MakeJudged) -> None:
    decided = decide(judged(), policy(), NOW)
    assert not unmet(decided)
    assert decided.outcome is GateOutcome.QUALIFIED
    assert decided.exit_code() == 0
    assert decided.nics[0].run_outcome is RunOutcome.QUALIFIED


# What the run was


def test_a_plan_that_is_too_small(judged: MakeJudged) -> None:
    decided = decide(judged(), policy(run={"plan": "full"}), NOW)
    assert unmet(decided) == ["run.plan"]
    assert reason(decided, "run.plan") == (
        "the run had the plan quick; run it again with --plan full"
    )
    assert decided.exit_code() == 1


def test_a_larger_plan_will_do(judged: MakeJudged, run: Campaign) -> None:
    larger = judged(campaign=replace(run, plan="full"))
    assert not unmet(decide(larger, policy(run={"plan": "standard"}), NOW))


def test_a_selection_is_not_complete(judged: MakeJudged) -> None:
    some = judged(only=tcp_all_on, selection=Selection("all-on and tcp", "not crafted"))
    decided = decide(some, policy(), NOW)
    assert unmet(decided) == ["run.complete", "essential"]
    assert "narrowed by -k 'all-on and tcp' and -m 'not crafted'" in reason(decided, "run.complete")
    assert reason(decided, "essential") == "some of these cells were not selected"
    assert decided.nics[0].run_outcome is RunOutcome.PARTIAL
    lax = decide(some, policy(run={"plan": "quick", "complete": False}), NOW)
    assert unmet(lax) == ["essential"], "the NIC must have been exercised all the same"


def test_an_interrupted_run_never_qualifies(judged: MakeJudged) -> None:
    broken = judged(interrupted=True)
    for complete in (True, False):
        decided = decide(broken, policy(run={"plan": "quick", "complete": complete}), NOW)
        assert unmet(decided) == ["run.complete"]
        assert "vxqual run --resume" in reason(decided, "run.complete")


@pytest.mark.parametrize(
    ("demand", "rules"),
    [
        (Demand(1e-3, 0.999), []),
        (Demand(1e-4, 0.9999), []),
        (Demand(1e-2, 0.999), ["run.rate"]),
        (Demand(1e-3, 0.99), ["run.confidence"]),
        (Demand(0.05, 0.9), ["run.rate", "run.confidence"]),
    ],
)
def test_the_demand(judged: MakeJudged, run: Campaign, demand: Demand, rules: list[str]) -> None:
    assert unmet(decide(judged(campaign=replace(run, demand=demand)), policy(), NOW)) == rules


@pytest.mark.parametrize(
    ("most", "later", "met"), [(10, 0, True), (10, 60, False), (9.5, 0, False), (None, 1e9, True)]
)
def test_the_age(judged: MakeJudged, most: float | None, later: float, *, met: bool) -> None:
    decided = decide(
        judged(), policy(run={"plan": "quick", "age_days": most}), NOW + timedelta(seconds=later)
    )
    assert unmet(decided) == ([] if met else ["run.age_days"])
    assert "the run began on 2026-01-02" in reason(decided, "run.age_days")


def test_a_run_of_the_future_is_refused(judged: MakeJudged) -> None:
    decided = decide(judged(), policy(), NOW - timedelta(days=11))
    assert unmet(decided) == ["run.age_days"]


# What the cells show


def test_a_failing_cell(judged: MakeJudged) -> None:
    decided = decide(judged(failing_tcp), policy(**MITIGATION), NOW)
    assert unmet(decided) == ["nic.verdicts", "mitigation.allowed"]
    assert "1 FAIL; FAIL x710/all-on/outer4-csum/inner4/tcp: a reason" in reason(
        decided, "nic.verdicts"
    )
    assert decided.exit_code() == 1


@pytest.mark.parametrize(
    ("verdict", "rule", "outcome"),
    [
        (Verdict.LOSS, "nic.verdicts", GateOutcome.NOT_QUALIFIED),
        (Verdict.INCONCLUSIVE, "nic.verdicts", GateOutcome.NOT_JUDGED),
        (Verdict.UNTRUSTED, "lab", GateOutcome.NOT_JUDGED),
        (Verdict.ERROR, "lab", GateOutcome.NOT_JUDGED),
    ],
)
def test_cells_that_are_not_fine(
    judged: MakeJudged, verdict: Verdict, rule: str, outcome: GateOutcome
) -> None:
    # Of UDP behind IPv6, so that the essential cells are as they were.
    decided = decide(
        judged(lambda cell: verdict if cell.set_id == "all-off" else Verdict.PASS), policy(), NOW
    )
    assert rule in unmet(decided)
    assert decided.outcome is outcome
    assert decided.exit_code() == {"NOT QUALIFIED": 1, "NOT JUDGED": 10}[outcome]


def test_verdicts_that_a_site_allows(judged: MakeJudged) -> None:
    lossy = judged(lambda cell: Verdict.LOSS if cell.set_id == "all-off" else Verdict.PASS)
    assert not unmet(decide(lossy, policy(nic={"verdicts": ["PASS", "LOSS"]}), NOW))
    idle = judged(lambda c: Verdict.NOT_EXERCISED if c.set_id == "all-off" else Verdict.PASS)
    decided = decide(idle, policy(nic={"verdicts": ["PASS"]}), NOW)
    assert (unmet(decided), decided.outcome) == (["nic.verdicts"], GateOutcome.NOT_QUALIFIED)


def test_a_nic_that_had_nothing_to_do(judged: MakeJudged) -> None:
    idle = judged(lambda c: Verdict.NOT_EXERCISED if c.essential else Verdict.PASS)
    assert unmet(decide(idle, policy(), NOW)) == ["essential"]


def test_essential_cells_that_could_not_be_judged_are_the_labs(judged: MakeJudged) -> None:
    vague = judged(lambda c: Verdict.INCONCLUSIVE if c.essential else Verdict.PASS)
    decided = decide(vague, policy(), NOW)
    assert unmet(decided) == ["essential", "nic.verdicts"]
    assert reason(decided, "essential") == "some of these cells could not be judged"
    assert decided.exit_code() == 10


def test_an_error_of_the_lab_is_not_the_nics(judged: MakeJudged) -> None:
    decided = decide(judged(troubles=("alpha could not be put back",)), policy(), NOW)
    assert (unmet(decided), decided.exit_code()) == (["lab"], 10)


@pytest.mark.parametrize(
    ("until", "met"), [("2026-01-12", True), ("2026-01-11", False), (None, False)]
)
def test_known_failures(judged: MakeJudged, until: str | None, *, met: bool) -> None:
    known = judged(lambda cell: Verdict.KNOWN if tcp_all_on(cell) else Verdict.PASS)
    decided = decide(known, policy(**({"known": {"until": until}} if until else {})), NOW)
    assert unmet(decided) == ([] if met else ["known.until"])
    assert reason(decided, "known.until") == "1 KNOWN, by slow; it is 2026-01-12"


# What the NIC is


def test_features(judged: MakeJudged) -> None:
    assert not unmet(decide(judged(), policy(nic={"features": [TNL_CSUM, TSO]}), NOW))
    decided = decide(judged(), policy(nic={"features": [TSO, "tx-udp-segmentation"]}), NOW)
    assert unmet(decided) == ["nic.features"]
    assert reason(decided, "nic.features") == (
        "tx-udp-segmentation was on in no cell: the NIC lacks it, or has it fixed off"
    )
    idle = judged(
        lambda cell: Verdict.NOT_EXERCISED if TNL_CSUM in cell.offloads.on else Verdict.PASS
    )
    decided = decide(idle, policy(nic={"features": [TNL_CSUM]}), NOW)
    assert f"{TNL_CSUM} was used in no cell that passes" in reason(decided, "nic.features")


@pytest.mark.parametrize(
    ("nic", "rules"),
    [
        ({"allowed": [{"driver": "i40e", "firmware": ">=8.0"}]}, []),
        ({"allowed": [{"driver": "mlx5*"}, {"driver": "i40*"}]}, []),
        ({"allowed": [{"driver": "mlx5*"}]}, ["nic.allowed"]),
        ({"allowed": [{"driver": "i40e", "kernel": ">=6.2"}]}, ["nic.allowed"]),
        ({"refused": [{"driver": "i40e", "firmware": "<8.0"}]}, []),
        (
            {"refused": [{"driver": "i40e", "firmware": "<9.20", "reason": "bug 7"}]},
            ["nic.refused"],
        ),
    ],
)
def test_drivers_and_firmware(judged: MakeJudged, nic: dict[str, object], rules: list[str]) -> None:
    decided = decide(judged(), policy(nic=nic), NOW)
    assert unmet(decided) == rules
    if rules == ["nic.refused"]:
        assert reason(decided, "nic.refused") == (
            "it is i40e, firmware 8.30 0x8000af86, kernel 6.1.0-28, which is i40e firmware <9.20: "
            "bug 7"
        )


# The mitigation


def test_a_mitigation_that_is_allowed(judged: MakeJudged) -> None:
    decided = decide(judged(failing_tcp, culprit=[TNL_CSUM]), policy(**MITIGATION), NOW)
    assert not unmet(decided)
    assert decided.outcome is GateOutcome.WITH_MITIGATION
    assert (decided.exit_code(), decided.exit_code(mitigation_ok=True)) == (13, 0)
    remedy = decided.nics[0].remedy
    assert remedy is not None
    assert remedy.command == f"ethtool -K p0 {TNL_CSUM} off"
    shown = [line.text.strip() for line in lines(decided, judged().matrix.run, 100)]
    assert shown[0] == "QUALIFIED WITH MITIGATION by policy a site: run 20260102-030405-6"
    assert remedy.command in shown


def test_a_mitigation_that_is_not_allowed(judged: MakeJudged) -> None:
    decided = decide(judged(failing_tcp, culprit=[TNL_CSUM]), policy(), NOW)
    assert unmet(decided) == ["nic.verdicts", "mitigation.allowed"]
    assert decided.nics[0].remedy is None
    assert decided.exit_code(mitigation_ok=True) == 1


def test_a_mitigation_that_leaves_a_cell_failing(judged: MakeJudged) -> None:
    one_more = judged(
        lambda c: Verdict.LOSS if c.set_id == "all-off" else failing_tcp(c), culprit=[TNL_CSUM]
    )
    decided = decide(one_more, policy(**MITIGATION), NOW)
    assert unmet(decided) == ["nic.verdicts", "mitigation.allowed"]
    assert "failing cells are not known to: x710/all-off/" in reason(decided, "mitigation.allowed")


def test_a_mitigation_that_leaves_a_flow_failing(judged: MakeJudged) -> None:
    some = judged(failing_tcp, culprit=[TNL_CSUM], healed=0)
    decided = decide(some, policy(**MITIGATION), NOW)
    assert unmet(decided) == ["nic.verdicts", "mitigation.allowed"]
    assert "0 of 1 failing flows heal, and the others do not" in reason(
        decided, "mitigation.allowed"
    )


@pytest.mark.parametrize(
    ("flow", "healed"),
    [
        ("outer4-csum/inner4/tcp/boundaries@two-ports", True),
        ("outer4-csum/inner6/tcp", False),
        ("receive", False),
    ],
)
def test_cells_without_a_culprit_of_their_own(
    judged: MakeJudged, flow: str, *, healed: bool
) -> None:
    """For cells of few frames no search is made; a bulk cell has a culprit, or none is known."""

    def fails(cell: Cell) -> Verdict:
        same = cell.set_id == "all-on" and cell.flow.id.endswith(flow)
        received = flow == "receive" and cell.flow.direction == "receive"
        return Verdict.FAIL if same or received else failing_tcp(cell)

    made = judged(fails, culprit=[TNL_CSUM])
    rows = [row if tcp_row(row) else replace(row, culprit=None) for row in made.matrix.cells]
    others = [row for row in rows if row.verdict is Verdict.FAIL and not tcp_row(row)]
    assert others
    made = replace(made, matrix=replace(made.matrix, cells=tuple(rows)))
    decided = decide(made, policy(**MITIGATION), NOW)
    assert (decided.exit_code() == 13) is healed


def tcp_row(row: CellRow) -> bool:
    return row.id == "x710/all-on/outer4-csum/inner4/tcp"


def test_a_feature_that_the_mitigation_turns_off(judged: MakeJudged) -> None:
    decided = decide(
        judged(failing_tcp, culprit=[TNL_CSUM]),
        policy(nic={"features": [TNL_CSUM]}, **MITIGATION),
        NOW,
    )
    assert unmet(decided) == ["nic.features"]
    assert reason(decided, "nic.features") == f"{TNL_CSUM} is what the mitigation turns off"


@pytest.mark.parametrize(
    ("limits", "rules"),
    [
        ({"throughput_loss": 12.5, "cpu_increase": 40}, []),
        ({"throughput_loss": 12}, ["mitigation.throughput_loss"]),
        ({"cpu_increase": 39.9}, ["mitigation.cpu_increase"]),
    ],
)
def test_its_highest_cost(judged: MakeJudged, limits: dict[str, float], rules: list[str]) -> None:
    paid = judged(failing_tcp, culprit=[TNL_CSUM], cost=cost(12.5, 40.0))
    decided = decide(paid, policy(mitigation={"allowed": True, **limits}), NOW)
    assert unmet(decided) == rules
    assert decided.exit_code() == (1 if rules else 13)


def test_a_cost_that_was_not_measured(judged: MakeJudged) -> None:
    free = judged(failing_tcp, culprit=[TNL_CSUM])
    decided = decide(free, policy(mitigation={"allowed": True, "cpu_increase": 40}), NOW)
    assert (unmet(decided), decided.exit_code()) == (["mitigation.cpu_increase"], 10)


# Several


def test_the_worst_nic_counts(judged: MakeJudged, campaign: Callable[..., Campaign]) -> None:
    two = campaign(x710=("i40e", "8.30"), e810=("ice", "4.0"))
    decided = decide(judged(campaign=two), policy(nic={"refused": [{"driver": "ice"}]}), NOW)
    assert [nic.outcome for nic in decided.nics] == ["QUALIFIED", "NOT QUALIFIED"]
    assert decided.outcome is GateOutcome.NOT_QUALIFIED


KINDS = st.sampled_from(list(AnswerKind))


@given(st.lists(st.tuples(KINDS, st.booleans())))
def test_nothing_but_answers_that_are_met_qualifies(some: list[tuple[AnswerKind, bool]]) -> None:
    answers = [Answer("a", "b", kind, "c", undecided) for kind, undecided in some]
    blamed = any(kind is AnswerKind.NOT_MET and not undecided for kind, undecided in some)
    doubted = any(kind is AnswerKind.NOT_MET for kind, _ in some)
    expected = (
        GateOutcome.NOT_QUALIFIED
        if blamed
        else GateOutcome.NOT_JUDGED
        if doubted
        else GateOutcome.QUALIFIED
    )
    assert _outcome(answers, None) is expected
