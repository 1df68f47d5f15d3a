"""What is compared with what, what cannot be compared and why, and what people are shown."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from qualification.errors import EXIT_NOT_QUALIFIED, EXIT_QUALIFIED, UsageError
from qualification.judge.culprit.cost import Cost, Spread
from qualification.judge.verdict import Demand, Verdict
from qualification.plan.features import CSUM, TNL_CSUM
from qualification.results import matrix as matrix_file
from qualification.results.comparison import document, markdown, pairs, text
from qualification.results.comparison.compare import compare
from qualification.results.comparison.model import Answer, Change, Comparison
from qualification.results.comparison.summary import headline
from qualification.results.conclusion import Selection

from .conftest import EFFECTIVE, FLOWS, Night, cell, matrix

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "reports/comparison.schema.json"
NOISE = "noise, outer L4: the values look random; explains 210 of 210 wrong frames"


def only(comparison: Comparison) -> tuple[Change, str]:
    (one,) = comparison.cells
    return one.change, one.reason


@pytest.fixture
def healed(night: Night) -> Comparison:
    """The incident and its cure: eight flows, of which two fail in the old firmware."""
    before = [
        cell(210 if n < 2 else 0, flow=flow, signature=NOISE if n < 2 else None, culprit=[TNL_CSUM])
        for n, flow in enumerate(FLOWS)
    ]
    now = [cell(flow=flow) for flow in FLOWS]
    return compare(
        night(before, "8.30 0x8000af86", mitigation={"x710": [TNL_CSUM]}),
        night(now, "9.20 0x8000d8c5", id="20260103-030405-6"),
    )


# What cannot be compared


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.UNTRUSTED])
def test_what_blames_nobody_is_not_judged_and_counted_in_the_first_line(
    night: Night, verdict: Verdict
) -> None:
    fine = [cell(flow=flow) for flow in FLOWS]
    some = [cell(bad=3, verdict=verdict, flow=FLOWS[0]), *fine[1:]]
    for old, new, which in ((fine, some, "new"), (some, fine, "old")):
        found = compare(night(old), night(new))
        assert found.cells[0].change is Change.NOT_JUDGED
        assert found.cells[0].reason == f"{verdict} in the {which} run: a reason"
        assert found.exit_code == EXIT_QUALIFIED
        assert headline(found).endswith("8 cells: 7 unchanged, 1 not judged")


def test_cells_in_which_the_nic_had_other_work_are_not_compared(night: Night) -> None:
    without = dict(EFFECTIVE) | {TNL_CSUM: False}
    found = compare(night(cell()), night(cell(210, effective=without)))
    assert only(found) == (
        Change.CANNOT_BE_COMPARED,
        f"the effective sets differ: {TNL_CSUM} was on and is off",
    )
    assert "1 cannot be compared (1 of them FAIL now)" in headline(found)


def test_features_without_a_part_in_a_flow_may_differ(night: Night) -> None:
    """A plain flow uses no tunnel segmentation, nor does one without an outer checksum TNL_CSUM."""
    without = dict(EFFECTIVE) | {TNL_CSUM: False}
    no_checksum = next(flow for flow in FLOWS if not flow.outer_checksum)
    found = compare(
        night(cell(flow=no_checksum)), night(cell(210, flow=no_checksum, effective=without))
    )
    assert found.cells[0].change is Change.REGRESSED


def test_what_the_nic_is_asked_to_receive_is_compared_by_its_receive_features(night: Night) -> None:
    receiving = replace(FLOWS[0], direction="receive", packet_set="received")
    one = cell(flow=receiving, effective={"rx-checksum": True, CSUM: True})
    same = compare(night(one), night(replace(one, effective={"rx-checksum": True, CSUM: False})))
    assert same.cells[0].change is Change.UNCHANGED
    found = compare(night(one), night(replace(one, effective={"rx-checksum": False, CSUM: True})))
    assert "rx-checksum was on and is off" in only(found)[1]


@pytest.mark.parametrize("verdict", [Verdict.UNSUPPORTED, Verdict.NOT_EXERCISED])
def test_a_nic_without_a_part_in_it_is_no_pass(night: Night, verdict: Verdict) -> None:
    idle = cell(frames=0, verdict=verdict)
    for old, new in ((cell(), idle), (cell(210), idle), (idle, cell()), (idle, cell(210))):
        assert only(compare(night(old), night(new)))[0] is Change.CANNOT_BE_COMPARED
    assert only(compare(night(idle), night(idle)))[0] is Change.UNCHANGED


def test_right_frames_are_right_although_their_set_is_named_for_more(night: Night) -> None:
    """A set named for segmentation in which the NIC only summed, and did that right."""
    clean = cell(frames=7000, verdict=Verdict.NOT_EXERCISED)
    assert only(compare(night(clean), night(cell(210))))[0] is Change.REGRESSED
    assert only(compare(night(cell(210)), night(clean)))[0] is Change.HEALED
    assert only(compare(night(clean), night(cell())))[0] is Change.CANNOT_BE_COMPARED


def test_cells_of_one_run_alone(night: Night) -> None:
    some, all_ = night([cell(flow=FLOWS[0])]), night([cell(flow=flow) for flow in FLOWS[:2]])
    assert [one.change for one in compare(some, all_).cells] == [Change.UNCHANGED, Change.NEW]
    assert [one.change for one in compare(all_, some).cells] == [Change.UNCHANGED, Change.GONE]


def test_a_new_cell_that_fails_is_in_the_first_line(night: Night) -> None:
    found = compare(night(cell()), night([cell(), cell(210, flow=FLOWS[1])]))
    assert found.exit_code == EXIT_QUALIFIED, "nothing that was there has become worse"
    assert headline(found).endswith("1 unchanged, 1 new (1 of them FAIL now)")


def test_the_difference_between_two_plans_cannot_be_compared(night: Night) -> None:
    quick, full = (
        night(cell(), plan="quick"),
        night([cell(), cell(flow=FLOWS[1])], plan="full"),
    )
    for old, new, which in ((quick, full, "old"), (full, quick, "new")):
        found = compare(old, new)
        assert found.cells[1].change is Change.CANNOT_BE_COMPARED
        assert found.cells[1].reason == f"the {which} run has the plan quick, which lacks it"
        assert "the plans differ" in found.notes[0]


def test_what_a_selection_left_out_cannot_be_compared(night: Night) -> None:
    part = night(cell(), selection=Selection("all-on", "", False))
    whole = night([cell(), cell(flow=FLOWS[1])])
    found = compare(whole, part)
    assert found.cells[1].change is Change.CANNOT_BE_COMPARED
    assert found.cells[1].reason == "the new run was narrowed by -k 'all-on'"
    assert "the selections differ: all cells before, -k 'all-on' now" in found.notes


def test_a_run_that_excludes_less_does_not_show_that_nothing_changed(night: Night) -> None:
    weak = night(cell(frames=58), demand=Demand(0.05, 0.95))
    strong = night(cell())
    assert only(compare(strong, weak)) == (
        Change.CANNOT_BE_COMPARED,
        "the new run excludes only a rate of 0.05 at 0.95, the old one excluded a rate of 0.001 at "
        "0.999",
    )
    assert only(compare(weak, strong))[0] is Change.UNCHANGED
    failing = night(cell(20, 58), demand=Demand(0.05, 0.95))
    assert only(compare(strong, failing))[0] is Change.REGRESSED, "counts are compared all the same"


def test_what_else_differs_is_noted(night: Night) -> None:
    one, other = night(cell()), night(cell(), id="later", started="2026-01-01T00:00:00+00:00")
    dut, peer = other.nics
    other = replace(other, nics=(replace(dut, mtu=9000), replace(peer, kernel="6.12.1")))
    found = compare(one, other)
    assert found.pairs[0].notes == (
        "the peer has another kernel, too: 6.1.0-28 before, 6.12.1 now",
        "the MTUs differ: 1500 before, 9000 now, so that frames have other sizes",
    )
    assert any("the old run began after the new one" in note for note in found.notes)


# Pairs


def test_pairs_of_the_same_name_are_compared_whatever_is_in_them(night: Night) -> None:
    (pair,) = compare(night(cell()), night(cell(), driver="ice")).pairs
    assert (pair.old.dut.driver, pair.new.dut.driver) == ("i40e", "ice")


def test_pairs_of_other_names_are_matched_by_driver(campaign: object) -> None:
    def run(**duts: tuple[str, str]) -> matrix_file.Matrix:
        return matrix(campaign(**duts), [cell(pair=pair) for pair in duts])  # type: ignore[operator]

    old = run(x710=("i40e", "8.30"), e810=("ice", "4.40"), same=("mlx5_core", "14"))
    new = run(lab2=("ice", "4.50"), lab1=("i40e", "9.20"), same=("mlx5_core", "16"))
    found = {pair.old.pair: pair.new.pair for pair in compare(old, new).pairs}
    assert found == {"x710": "lab1", "e810": "lab2", "same": "same"}


def test_two_nics_of_a_driver_are_not_matched_by_guessing(campaign: object) -> None:
    def run(*names: str) -> matrix_file.Matrix:
        duts = dict.fromkeys(names, ("i40e", "8.30"))
        return matrix(campaign(**duts), [cell(pair=pair) for pair in duts])  # type: ignore[operator]

    found = compare(run("a", "b"), run("c", "d"))
    assert (found.pairs, found.only_old, found.only_new) == ((), ("a", "b"), ("c", "d"))
    assert headline(found) == "NOTHING COMPARED: the two runs have no pair in common"
    given = compare(run("a", "b"), run("c", "d"), {"a": "d"})
    assert [(pair.old.pair, pair.new.pair) for pair in given.pairs] == [("a", "d")]


def test_one_nic_against_another_in_one_run(campaign: object) -> None:
    both = matrix(
        campaign(faulty=("i40e", "8.30"), healthy=("i40e", "9.20")),  # type: ignore[operator]
        [cell(210, pair="faulty"), cell(pair="healthy")],
    )
    found = compare(both, both, {"healthy": "faulty"})
    assert found.answer is Answer.REGRESSED
    assert "healthy -> faulty (i40e, firmware 9.20 -> 8.30)" in headline(found)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["x710"], "names no two pairs"),
        (["x710="], "names no two pairs"),
        (["a=b", "a=c"], "given twice"),
        (["a=b", "c=b"], "given twice"),
    ],
)
def test_a_map_that_is_none_is_refused(given: list[str], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        pairs.parse(given)


def test_a_map_of_unknown_pairs_names_those_there_are(night: Night) -> None:
    run = night(cell())
    with pytest.raises(UsageError, match="the old run has no pair 'e810'; its pairs are: x710"):
        compare(run, run, {"e810": "x710"})
    with pytest.raises(UsageError, match="the new run has no pair 'e810'"):
        compare(run, run, {"x710": "e810"})


# What people and programs are shown


def test_the_first_line_is_the_answer(healed: Comparison) -> None:
    lines = [line.text for line in text.lines(healed)]
    assert lines[0] == (
        "HEALED: x710 (i40e, firmware 8.30 0x8000af86 -> 9.20 0x8000d8c5). 8 cells: 2 healed, "
        "6 unchanged"
    )
    shown = "\n".join(lines)
    assert "  firmware: 8.30 0x8000af86 -> 9.20 0x8000d8c5" in lines
    assert f"culprit: {TNL_CSUM}" in shown
    assert f"ethtool -K p0 {TNL_CSUM} off" in shown
    assert "healed before, and is needed no longer" in shown


def test_the_page_for_a_change_request(healed: Comparison) -> None:
    lines = list(markdown.page(healed))
    assert lines[0] == "# HEALED: VXLAN checksum offloads before and after"
    for row in (
        "| driver | i40e | i40e |",
        "| firmware | 8.30 0x8000af86 | 9.20 0x8000d8c5 |",
        "| kernel | 6.1.0-28 | 6.1.0-28 |",
        "| cells that fail | 2 of 8 | 0 of 8 |",
        f"| culprit | `{TNL_CSUM}` | none |",
        f"| mitigation | `ethtool -K p0 {TNL_CSUM} off` | none needed |",
    ):
        assert row in lines, row
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in tables} == {4}, "nothing breaks a table"


def test_names_cannot_break_the_page(night: Night) -> None:
    found = compare(night(cell(), "8|30 <b>*x*"), night(cell(210), "_9_"))
    lines = list(markdown.page(found))
    assert "| firmware | 8\\|30 &lt;b&gt;\\*x\\* | \\_9\\_ |" in lines


def test_what_a_mitigation_costs_is_told(night: Night) -> None:
    spread = Spread(1e9, 1e9, 1e9)
    cost = Cost("x710", (TNL_CSUM,), "f", 3, spread, spread, spread, spread, 12.0, 40.0)
    faulty = night(cell(210), mitigation={"x710": [TNL_CSUM]})
    found = compare(night(cell(), "9.20"), replace(faulty, costs=(cost,)))
    words = "costs 12 % of throughput, 1.4 times the CPU per byte"
    assert f"      {words}" in [line.text for line in text.lines(found)]
    row = f"| mitigation | none needed | `ethtool -K p0 {TNL_CSUM} off`, which {words} |"
    assert row in list(markdown.page(found))


def test_the_schema_is_in_step() -> None:
    module = "qualification.results.comparison.document"
    printed = subprocess.run(
        [sys.executable, "-m", module], capture_output=True, check=True, text=True
    ).stdout
    assert SCHEMA.read_text() == printed, f"python -m {module} > reports/comparison.schema.json"


def test_the_json_is_valid_and_has_all(healed: Comparison) -> None:
    found = json.loads(document.dump(healed))
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(found)] == []
    assert (found["answer"], found["exit_code"]) == ("HEALED", 0)
    assert found["headline"] == headline(healed)
    assert found["counts"]["healed"] == 2
    assert sum(found["counts"].values()) == len(healed.cells)
    (first, *_) = found["comparison"]["pairs"][0]["cells"]
    assert first["change"] == "healed"
    assert (first["old"]["bad"], first["new"]["bad"]) == (210, 0)
    del found["comparison"]["pairs"][0]["cells"][0]["change"]
    assert not validator.is_valid(found)


@pytest.mark.parametrize(
    ("form", "code", "begins"),
    [
        ([], EXIT_NOT_QUALIFIED, "REGRESSED: x710 (i40e, firmware 9.20 -> 8.30). 1 cell: "),
        (["--markdown"], EXIT_NOT_QUALIFIED, "# REGRESSED: "),
        (["--json"], EXIT_NOT_QUALIFIED, '{\n "schema": 1,\n "answer": "REGRESSED",'),
        (["--map", "x710=x710"], EXIT_NOT_QUALIFIED, "REGRESSED: "),
        (["--map", "x710=other"], 4, ""),
    ],
)
def test_the_command(night: Night, tmp_path: Path, form: list[str], code: int, begins: str) -> None:
    for name, made in (("before", night(cell(), "9.20")), ("after", night(cell(210)))):
        (tmp_path / name).mkdir()
        matrix_file.write(made, tmp_path / name / "matrix.json")
    vxqual = Path(sys.executable).with_name("vxqual")
    done = subprocess.run(
        [vxqual, "compare", "before", "after", *form],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stdout.startswith(begins)
    assert bool(done.stderr) == (code == 4)
