"""The conclusion: what a run has to have done for its exit code to be 0, row by row of the docs."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from qualification import errors
from qualification.campaign import Campaign
from qualification.inventory import Inventory
from qualification.judge.evidence import Evidence
from qualification.judge.outcome import NEVER_RAN
from qualification.judge.result_row import CellRow, row
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell
from qualification.results import conclusion, matrix
from qualification.results.conclusion import RunEnd, RunOutcome, Selection
from qualification.results.terminal.report import headline

from .conftest import Make

DOCUMENT = Path(__file__, "../../../docs/results.md").resolve()
WHOLE, SOME = Selection(), Selection("all-on and tcp", "not crafted")
DONE, BROKEN_OFF = RunEnd(), RunEnd(interrupted=True)


@pytest.fixture
def run(campaign: Make) -> Campaign:
    return campaign(x710=("i40e", "8.30"))


def bare(run: Campaign) -> Campaign:
    """The same run with DUTs that offer no feature."""
    nics = {
        name: replace(nic, facts=replace(nic.facts, features={}))
        for name, nic in run.inventory.nics.items()
    }
    return replace(run, inventory=Inventory(nics))


def rows(
    run: Campaign,
    verdict: Callable[[Cell], Verdict] = lambda _: Verdict.PASS,
    only: Callable[[Cell], bool] = lambda _: True,
    effective: Callable[[Cell], dict[str, bool]] = lambda cell: cell.offloads.requested,
) -> list[CellRow]:
    return [
        row(cell, Judgement(verdict(cell), _reason(verdict(cell))), Evidence(effective(cell)))
        for pair in run.pairs
        for cell in run.cells(pair)
        if only(cell)
    ]


def _reason(verdict: Verdict) -> str:
    return NEVER_RAN if verdict is Verdict.ERROR else "a reason"


def end(
    run: Campaign,
    cells: list[CellRow],
    *,
    ran: Collection[str] | None = None,
    selection: Selection = WHOLE,
    how: RunEnd = DONE,
    blamed: bool = False,
    doubted: bool = False,
) -> tuple[conclusion.Conclusion, str]:
    """The conclusion, and its headline."""
    done = [cell.id for cell in cells] if ran is None else ran
    made = conclusion.conclude(run, cells, done, selection, how, blamed=blamed, doubted=doubted)
    return made, headline(matrix.build(run, cells, made)).text


def tcp_all_on(cell: Cell) -> bool:
    return cell.set_id == "all-on" and cell.flow.id.endswith("/tcp")


def idle_essential(cell: Cell) -> Verdict:
    return Verdict.NOT_EXERCISED if cell.essential else Verdict.PASS


SCENARIOS: dict[str, Callable[[Campaign], tuple[conclusion.Conclusion, str]]] = {
    "every cell passed": lambda run: end(run, rows(run)),
    "a failure is known": lambda run: end(
        run, rows(run, lambda cell: Verdict.KNOWN if tcp_all_on(cell) else Verdict.PASS)
    ),
    "a cell failed": lambda run: end(
        run,
        rows(run, lambda cell: Verdict.FAIL if tcp_all_on(cell) else Verdict.PASS),
        blamed=True,
    ),
    "a cell of a selection failed": lambda run: end(
        run, rows(run, lambda _: Verdict.FAIL, tcp_all_on), selection=SOME, blamed=True
    ),
    "it was ended early": lambda run: end(
        run,
        rows(run, lambda cell: Verdict.PASS if cell.set_id == "all-off" else Verdict.ERROR),
        ran=[cell.id for cell in rows(run, only=lambda cell: cell.set_id == "all-off")],
        how=BROKEN_OFF,
        doubted=True,
    ),
    "no cell": lambda run: end(run, []),
    "the lab could not decide": lambda run: end(
        run, rows(run, lambda _: Verdict.INCONCLUSIVE), doubted=True
    ),
    "a selection passed": lambda run: end(run, rows(run, only=tcp_all_on), selection=SOME),
    "a selection passed, and --partial-ok": lambda run: end(
        run, rows(run, only=tcp_all_on), selection=replace(SOME, partial_ok=True)
    ),
    "essential cells had nothing to do": lambda run: end(run, rows(run, idle_essential)),
    "the NIC offers nothing": lambda run: end(bare(run), rows(bare(run))),
    "a selection had nothing to do": lambda run: end(
        run, rows(run, lambda _: Verdict.NOT_EXERCISED, tcp_all_on), selection=SOME
    ),
}
"""Each row of the table that a conclusion can make, in its order."""


def table() -> list[list[str]]:
    """The rows of the table of outcomes: outcome, exit code, headline, when."""
    section = DOCUMENT.read_text().split("## Outcomes and exit codes")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def shape(text: str) -> str:
    """A headline without its numbers and names."""
    text = re.sub(r"\w+ \(\w+, firmware [^)]+\)", "NIC", text.strip("`"))
    return re.sub(r"\d[\d,]*", "N", text)


CONCLUDED = [cells for cells in table() if cells[0] in set(RunOutcome)]


def test_there_is_a_row_for_each_scenario() -> None:
    assert len(CONCLUDED) == len(SCENARIOS)
    assert {cells[0] for cells in CONCLUDED} == set(RunOutcome)
    others = {cells[1] for cells in table() if cells[0] not in set(RunOutcome)}
    assert others == {"3", str(errors.EXIT_USAGE), str(errors.EXIT_MITIGATION)}


@pytest.mark.parametrize(
    ("documented", "scenario"), list(zip(CONCLUDED, SCENARIOS.values(), strict=True)), ids=SCENARIOS
)
def test_a_row_of_the_table_is_true(
    run: Campaign,
    documented: list[str],
    scenario: Callable[[Campaign], tuple[conclusion.Conclusion, str]],
) -> None:
    made, said = scenario(run)
    outcome, code, example, when = documented
    assert (made.outcome, str(made.exit_code)) == (outcome, code)
    assert shape(said).startswith(shape(example)), said
    assert when


def test_the_exit_codes_are_those_of_the_help_and_of_the_errors() -> None:
    from qualification.cli.root import ALL_EXIT_CODES  # noqa: PLC0415

    codes = {int(cells[1]) for cells in table()}
    assert set(map(int, re.findall(r"^  (\d+) ", ALL_EXIT_CODES, re.MULTILINE))) == codes
    assert errors.__doc__
    assert set(map(int, re.findall(r"^    (\d+) ", errors.__doc__, re.MULTILINE))) == codes


def test_a_selection_says_how_many_cells_of_how_many(run: Campaign) -> None:
    made, said = end(run, rows(run, only=tcp_all_on), selection=SOME)
    planned = len(run.cells("x710"))
    assert said == f"PARTIAL: 4 of {planned} cells: 4 pass"
    done = made.completeness
    assert (done.planned, done.selected, done.run) == (planned, 4, 4)


def test_an_interrupted_run_says_how_far_it_came(run: Campaign) -> None:
    _, said = SCENARIOS["it was ended early"](run)
    off = len(rows(run, only=lambda cell: cell.set_id == "all-off"))
    assert said == f"INTERRUPTED, {off} of {len(run.cells('x710'))} done: {off} pass"


def test_partial_is_ok_only_where_nothing_failed(run: Campaign) -> None:
    some = replace(SOME, partial_ok=True)
    cells = rows(run, only=tcp_all_on)
    assert end(run, cells, selection=some, blamed=True)[0].exit_code == 1
    assert end(run, cells, selection=some, doubted=True)[0].exit_code == 10
    idle = rows(run, lambda _: Verdict.NOT_EXERCISED, tcp_all_on)
    assert end(run, idle, selection=some)[0].exit_code == 12
    assert end(run, cells, selection=some, how=BROKEN_OFF)[0].exit_code == 2


def test_the_pairs_that_were_asked_for_are_a_plan_of_their_own(campaign: Make) -> None:
    both = campaign(x710=("i40e", "8.30"), e810=("ice", "4.40"))
    one = replace(both, pairs=("e810",))
    assert end(one, rows(one))[0].outcome is RunOutcome.QUALIFIED
    assert end(both, rows(one))[0].outcome is RunOutcome.PARTIAL


@pytest.mark.parametrize("flow", ["outer4-csum/inner4/tcp", "outer4-nocsum/inner6/udp"])
def test_a_single_essential_cell_that_had_nothing_to_do_is_enough(run: Campaign, flow: str) -> None:
    silent = f"x710/all-on/{flow}"
    cells = rows(run, lambda c: Verdict.NOT_EXERCISED if c.id == silent else Verdict.PASS)
    made, said = end(run, cells)
    assert made.outcome is RunOutcome.NOT_EXERCISED
    assert said.startswith(
        "NOT EXERCISED: x710 (i40e, firmware 8.30); 11 of 12 essential cells exercised the NIC. "
    )


def test_a_pass_with_nothing_in_effect_exercises_nothing(run: Campaign) -> None:
    """The driver took the request, and switched nothing on."""
    cells = rows(run, effective=lambda cell: dict.fromkeys(cell.offloads.requested, False))
    assert end(run, cells)[0].outcome is RunOutcome.NOT_EXERCISED


def test_one_nic_that_offers_nothing_among_others(campaign: Make) -> None:
    both = campaign(x710=("i40e", "8.30"), plain=("8139too", "1"))
    nics = dict(both.inventory.nics)
    dut = both.topology.pairs["plain"].dut
    nics[dut] = replace(nics[dut], facts=replace(nics[dut].facts, features={}))
    both = replace(both, inventory=Inventory(nics))
    made, said = end(both, rows(both))
    assert made.outcome is RunOutcome.NOT_EXERCISED
    assert made.completeness.idle == ("plain",)
    assert said.startswith("NOT EXERCISED: plain (8139too, firmware 1); 12 of 12 essential cells")


def test_crafted_packets_receive_tests_and_states_are_not_essential(run: Campaign) -> None:
    essential = [cell for cell in run.cells("x710") if cell.essential]
    assert {cell.flow for cell in essential} == set(run.flows("x710"))
    assert {cell.set_id for cell in essential} == {"all-on"}
