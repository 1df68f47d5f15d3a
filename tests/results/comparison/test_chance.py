"""What statistics say of two runs: a change, or chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.errors import EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED
from qualification.judge.result_row import CellRow
from qualification.judge.statistics import holm
from qualification.judge.verdict import Verdict
from qualification.results.comparison.chance import changes
from qualification.results.comparison.compare import compare
from qualification.results.comparison.counts import Both
from qualification.results.comparison.model import Answer, CellChange, Change

from .conftest import FLOWS, SETS, Night, cell, crafted

SEED_LEFT = "seed-left, inner L4: the field holds the pseudo-header sum; explains 9 of 9"


def said(old: Iterable[CellRow], new: Iterable[CellRow]) -> list[Change]:
    return [one.change for one in told(old, new)]


def told(old: Iterable[CellRow], new: Iterable[CellRow]) -> list[CellChange]:
    return changes([Both(0, a, b) for a, b in zip(old, new, strict=True)])


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        (0, 0, Change.UNCHANGED),
        (0, 210, Change.REGRESSED),
        (210, 0, Change.HEALED),
        (210, 70, Change.RATE_CHANGED),
        (70, 210, Change.RATE_CHANGED),
        (210, 214, Change.UNCHANGED),
        (0, 1, Change.WITHIN_CHANCE),
        (1, 0, Change.WITHIN_CHANCE),
        (0, 7, Change.WITHIN_CHANCE),
        (0, 15, Change.WITHIN_CHANCE),
        (0, 30, Change.REGRESSED),
    ],
)
def test_a_cell_of_7000_frames(before: int, now: int, change: Change) -> None:
    assert said([cell(before)], [cell(now)]) == [change]


def test_a_single_wrong_frame_is_told_with_its_chance() -> None:
    (one,) = told([cell()], [cell(1)])
    assert one.reason == (
        "PASS before, FAIL now: 0 of 7,000 frames wrong before, 1 of 7,000 now (0.0143 %), which "
        "chance explains (p = 1)"
    )


def test_a_fault_of_one_frame_in_forty_shows_in_many_cells_together() -> None:
    """A NIC that sends 0 for 0xffff does so in one frame of the set, in each flow and run."""
    before = [cell(0, 40, flow=crafted("zero", flow)) for flow in FLOWS for _ in range(2)]
    now = [cell(1, 40, flow=crafted("zero", flow)) for flow in FLOWS for _ in range(2)]
    assert set(said(before, now)) == {Change.REGRESSED}
    assert set(said(now, before)) == {Change.HEALED}
    assert said(before[:1], now[:1]) == [Change.WITHIN_CHANCE], "that may be a flake"


def test_other_cells_do_not_hide_or_share_what_one_cell_shows() -> None:
    before = [cell(flow=flow) for flow in FLOWS]
    now = [cell(200 if flow is FLOWS[3] else 0, flow=flow) for flow in FLOWS]
    found = said(before, now)
    assert found.pop(3) is Change.REGRESSED
    assert set(found) == {Change.UNCHANGED}


def run_of(chance: random.Random, p: float) -> Iterator[CellRow]:
    """A run of a NIC that corrupts a share of what it segments, at random: bulk and crafted."""
    for offloads in SETS:
        for flow in FLOWS:
            frames = chance.choice((6905, 7252, 7100))
            bad = sum(chance.random() < p for _ in range(frames)) if flow.outer_checksum else 0
            yield cell(bad, frames, flow=flow, offloads=offloads)
    for name, frames in (("boundaries", 416), ("zero", 40), ("lengths", 90)):
        for flow in FLOWS:
            bad = sum(chance.random() < p for _ in range(frames)) if flow.outer_checksum else 0
            yield cell(bad, frames, flow=crafted(name, flow))


@pytest.mark.parametrize("p", [0.0, 2e-4, 0.03], ids=["good", "rare", "3 %"])
def test_runs_of_the_same_firmware_never_regress(p: float) -> None:
    """In all pairs of 20 runs; the rare fault makes cells pass in one run and fail in the next."""
    chance = random.Random(16)
    runs = [list(run_of(chance, p)) for _ in range(20)]
    if p == 2e-4:
        verdicts = [tuple(one.verdict for one in run) for run in runs]
        assert len(set(verdicts)) == 20, "there is something to be mistaken about"
    for old, new in combinations(runs, 2):  # the other way round is the opposite, see below
        found = set(said(old, new))
        assert not found & {Change.REGRESSED, Change.HEALED, Change.RATE_CHANGED}


def test_three_percent_and_one_percent_are_another_rate() -> None:
    chance = random.Random(5)
    three, one = list(run_of(chance, 0.03)), list(run_of(chance, 0.01))
    for old, new in ((three, one), (one, three)):
        found = Counter(said(old, new))
        bulk = [c.change for c in told(old, new) if "/" not in c.cell.partition("tcp")[2]]
        assert bulk.count(Change.RATE_CHANGED) == 16, "every cell that fails"
        assert not found[Change.REGRESSED]
        assert not found[Change.HEALED]


def test_a_rate_that_rises_from_none_is_a_regression_whatever_fails_elsewhere() -> None:
    """A second fault: what failed before goes on failing, and is not to blame for it."""
    before = [cell(210, flow=FLOWS[0]), *[cell(flow=flow) for flow in FLOWS[1:]]]
    now = [cell(205, flow=FLOWS[0]), *[cell(90, flow=flow) for flow in FLOWS[1:]]]
    assert said(before, now) == [Change.UNCHANGED, *[Change.REGRESSED] * 7]


def moving(chance: random.Random) -> list[CellRow]:
    """A run of a NIC with a fault on one of four queues: whole cells fail, others each time."""
    return [
        cell(
            7000 if chance.random() < 0.25 else 0,
            flow=flow,
            offloads=offloads,
            signature=SEED_LEFT,
        )
        for offloads in SETS
        for flow in FLOWS
    ]


def test_a_fault_that_moves_from_run_to_run_has_not_regressed() -> None:
    chance = random.Random(3)
    runs = [moving(chance) for _ in range(12)]
    for old, new in combinations(runs, 2):
        assert set(said(old, new)) <= {Change.UNCHANGED, Change.WITHIN_CHANCE}


def scattered(chance: random.Random, queues: int) -> list[CellRow]:
    """A run in which each cell has a few streams, of which some are hashed to a broken queue."""
    cells = []
    for offloads in SETS:
        for flow in FLOWS:
            hit = sum(chance.random() < queues / 4 for _ in range(6))
            bad = hit * 7000 // 6
            cells.append(cell(bad, flow=flow, offloads=offloads, signature=SEED_LEFT))
    return cells


def test_a_rate_that_scatters_from_run_to_run_has_not_changed() -> None:
    chance = random.Random(9)
    runs = [scattered(chance, 1) for _ in range(12)]
    assert any(row.verdict is Verdict.PASS for row in runs[0]), "some cells are missed by chance"
    for old, new in combinations(runs, 2):
        assert set(said(old, new)) <= {Change.UNCHANGED, Change.WITHIN_CHANCE}


def test_a_scattered_rate_that_rose_in_all_cells_has_changed() -> None:
    chance = random.Random(9)
    found = Counter(said(scattered(chance, 1), scattered(chance, 3)))
    assert found[Change.RATE_CHANGED] > 16
    assert not found[Change.HEALED]


def test_a_fault_that_has_spread_is_told_by_its_frames() -> None:
    """The same signature in one more cell, at a rate that does not scatter."""
    before = [cell(210 if n < 5 else 0, flow=f, signature=SEED_LEFT) for n, f in enumerate(FLOWS)]
    now = [cell(205 if n < 6 else 0, flow=f, signature=SEED_LEFT) for n, f in enumerate(FLOWS)]
    assert said(before, now)[5] is Change.REGRESSED


def test_a_fault_that_has_come_to_other_flows_for_good_has_regressed() -> None:
    """As where the firmware heals IPv4 and breaks IPv6 in the same way."""

    def failing(outer: int) -> list[CellRow]:
        return [
            cell(7000 if flow.outer == outer else 0, flow=flow, offloads=o, signature=SEED_LEFT)
            for flow in FLOWS
            for o in SETS
        ]

    found = Counter(said(failing(4), failing(6)))
    assert found == {Change.REGRESSED: 16, Change.HEALED: 16}


def test_lost_frames_are_compared_where_cells_fail_by_them() -> None:
    fine, losing = cell(lost=2), cell(0, 6500, Verdict.LOSS, lost=500)
    assert said([fine], [losing]) == [Change.REGRESSED]
    assert said([losing], [fine]) == [Change.HEALED]
    barely = cell(0, 6998, Verdict.LOSS, lost=3)
    assert said([fine], [barely]) == [Change.WITHIN_CHANCE]
    assert said([fine], [cell(lost=700)]) == [Change.UNCHANGED], "no verdict blames the NIC"


def test_a_fault_that_is_not_of_single_frames_is_told_by_the_verdict() -> None:
    (one,) = told([cell()], [cell(0, 7000, Verdict.FAIL)])
    assert one.change is Change.REGRESSED
    assert one.reason == "PASS before, FAIL now; no count of frames says how often"
    assert said([cell(0, 7000, Verdict.FAIL)], [cell()]) == [Change.HEALED]


def test_a_known_failure_is_one() -> None:
    known = cell(210, verdict=Verdict.KNOWN)
    assert said([known], [cell(205)]) == [Change.UNCHANGED]
    assert said([cell()], [known]) == [Change.REGRESSED]


COUNTS = st.tuples(st.integers(0, 60), st.integers(60, 400))
OPPOSITE = {Change.REGRESSED: Change.HEALED, Change.HEALED: Change.REGRESSED}


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=8))
def test_the_other_way_round_is_the_opposite(some: list[tuple[tuple[int, int], ...]]) -> None:
    before = [cell(*one, flow=flow) for (one, _), flow in zip(some, FLOWS, strict=False)]
    now = [cell(*one, flow=flow) for (_, one), flow in zip(some, FLOWS, strict=False)]
    forth, back = said(before, now), said(now, before)
    assert [OPPOSITE.get(one, one) for one in forth] == back


@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_rejects_no_less_than_bonferroni_and_nothing_above_the_level(
    some: list[float],
) -> None:
    values = dict(enumerate(some))
    rejected = holm(values, 0.05)
    assert {name for name, p in values.items() if p <= 0.05 / len(values)} <= rejected
    assert all(values[name] <= 0.05 for name in rejected)
    if rejected:
        assert max(values[n] for n in rejected) <= min(
            (values[n] for n in values.keys() - rejected), default=1.0
        )


def test_holm_by_its_own_example() -> None:
    """Worked by hand: 0.01 <= 0.05/4, 0.015 <= 0.05/3, 0.03 > 0.05/2."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.015}, 0.05) == {"a", "d"}


@pytest.mark.parametrize(
    ("before", "now", "answer", "code"),
    [
        (210, 0, Answer.HEALED, EXIT_QUALIFIED),
        (0, 210, Answer.REGRESSED, EXIT_NOT_QUALIFIED),
        (210, 70, Answer.RATE_CHANGED, EXIT_QUALIFIED),
        (0, 0, Answer.NO_REGRESSION, EXIT_QUALIFIED),
        (0, 1, Answer.NO_REGRESSION, EXIT_QUALIFIED),
    ],
)
def test_the_answer_and_the_exit_code(
    night: Night, before: int, now: int, answer: Answer, code: int
) -> None:
    found = compare(night(cell(before)), night(cell(now), "9.20"))
    assert (found.answer, found.exit_code) == (answer, code)


def test_without_a_cell_to_compare_there_is_no_answer(night: Night) -> None:
    for verdict in (Verdict.ERROR, Verdict.INCONCLUSIVE, Verdict.UNTRUSTED, Verdict.UNSUPPORTED):
        found = compare(night(cell()), night(cell(verdict=verdict)))
        assert (found.answer, found.exit_code) == (Answer.NOTHING_COMPARED, EXIT_LAB), verdict
    idle = night(cell(verdict=Verdict.NOT_EXERCISED))
    assert compare(idle, idle).exit_code == EXIT_LAB
