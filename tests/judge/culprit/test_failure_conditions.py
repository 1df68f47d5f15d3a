"""What failing cells have in common, and what a pair excludes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from qualification.judge.aggregate import excludes
from qualification.judge.culprit.failure_conditions import describe
from qualification.judge.culprit.used_features import used
from qualification.judge.evidence import Evidence
from qualification.judge.result_row import CellRow, row
from qualification.judge.sequential import still_wanted
from qualification.judge.statistics import rate, rate_after
from qualification.judge.verdict import Demand, Judgement, Verdict
from qualification.plan.cells import Cell, offload_sets
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, TSO6, USO, FeatureSpace
from qualification.plan.flows import bulk_flows

SPACE = FeatureSpace(frozenset({CSUM, TSO, TSO6, USO, TNL, TNL_CSUM}), driver="tun")
V = Verdict


def matrix(verdict: Callable[[CellRow], Verdict]) -> list[CellRow]:
    """A quick plan on all flows, each cell with the verdict that the function gives it."""
    rows = []
    for offloads in offload_sets(SPACE, "quick"):
        for flow in bulk_flows(frozenset({4, 6}), 4789):
            cell = Cell("p", offloads, flow)
            on = SPACE.settle(offloads.on)
            evidence = Evidence({name: name in on for name in SPACE.switchable})
            blank = row(cell, Judgement(V.PASS, "", 7000, 0, 0, rate(0, 7000, 0.999)), evidence)
            found = verdict(blank)
            rows.append(row(cell, Judgement(found, "", 7000), evidence))
    return rows


PLANTED: dict[str, tuple[Callable[[CellRow], bool], str]] = {
    "incident": (lambda r: TNL_CSUM in used(r, "tun"), f"where the NIC uses {TNL_CSUM}"),
    "inner IPv6 summed": (
        lambda r: CSUM in used(r, "tun") and r.flow.inner == 6,
        f"where the NIC uses {CSUM} and the inner header is IPv6",
    ),
    "three": (
        lambda r: (
            bool({TNL, TNL_CSUM} & used(r, "tun")) and r.flow.outer == 6 and r.flow.l4 == "udp"
        ),
        f"where the NIC uses {USO} and the outer header is IPv6",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("kind", [V.FAIL, V.LOSS])
def test_what_was_planted_is_found(name: str, kind: Verdict) -> None:
    wrong, said = PLANTED[name]
    found = describe(matrix(lambda r: kind if wrong(r) else V.PASS), "tun")
    assert found is not None
    assert found.startswith("it fails exactly where")
    assert said in found


def test_nearly() -> None:
    def verdict(r: CellRow) -> Verdict:
        spared = r.flow.inner == 4 and r.flow.outer == 4 and "all-but-uso" in r.id
        return V.FAIL if TNL_CSUM in used(r, "tun") and not spared else V.PASS

    found = describe(matrix(verdict), "tun")
    assert found is not None
    assert found.startswith(f"nearly where the NIC uses {TNL_CSUM}: ")
    assert "1 that pass" in found


def test_chance_is_given_no_reason() -> None:
    rng = random.Random(1)
    for share in (0.03, 0.1, 0.5) * 4:
        rows = matrix(lambda _, p=share: V.FAIL if rng.random() < p else V.PASS)
        assert describe(rows, "tun") is None


def test_few_cells_tell_nothing() -> None:
    rows = matrix(lambda r: V.FAIL if TNL_CSUM in used(r, "tun") else V.PASS)
    assert describe([r for r in rows if "/all-on/outer4" in r.id][:6], "tun") is None
    assert describe([], "tun") is None
    assert describe(matrix(lambda _: V.FAIL), "tun") is None
    unexercised = [r for r in rows if r.verdict is V.FAIL]
    assert describe(unexercised, "tun") is None


def test_what_a_pair_excludes() -> None:
    rows = matrix(lambda _: V.PASS)
    cells = sum(bool(used(r, "tun")) for r in rows)
    assert 0 < cells < len(rows)
    said = excludes(rows, "tun", 0.999) or ""
    assert f"no wrong frame in {7000 * cells:,} " in said
    assert f"any single one of {cells} cells" in said
    assert excludes(rows + rows, "tun", 0.999) == said  # the same evidence counts once
    assert excludes(matrix(lambda r: V.LOSS if r.flow.inner == 6 else V.PASS), "tun", 0.999) is None
    assert excludes([], "tun", 0.999) is None


def test_a_clean_cell_stops_at_its_demand() -> None:
    demand = Demand()
    assert still_wanted(0, 0, 0, demand) == demand.frames
    assert still_wanted(demand.frames - 1, 0, 3, demand) == 1
    assert still_wanted(demand.frames, 0, 9, demand) == 0


def test_a_bad_frame_is_followed_up_and_not_for_ever() -> None:
    demand = Demand()
    assert still_wanted(7000, 1, 1, demand) == 2 * demand.frames - 7000
    assert still_wanted(7000, 210, 1, demand) == 0
    assert still_wanted(40, 40, 1, demand) == 0  # all of it is wrong
    assert still_wanted(2 * demand.frames, 1, 3, demand) == 0
    assert 0 < still_wanted(100, 30, 1, demand) <= 1000


def test_the_interval_holds_whenever_one_stops() -> None:
    """Stopping as the rule says, at many rates: the interval misses no more often than it may."""
    from numpy.random import default_rng  # noqa: PLC0415

    rng = default_rng(7)
    demand = Demand(0.02, 0.9)
    for p in (0.01, 0.05, 0.2):
        missed = runs = 0
        for _ in range(300):
            done = bad = looks = 0
            while wanted := still_wanted(done, bad, looks, demand):
                size = min(wanted, 40)
                bad += int(rng.binomial(size, p))
                done += size
                looks += 1
            if bad:
                runs += 1
                found = rate_after(bad, done, demand.confidence, looks)
                missed += not found.low <= p <= found.high
        assert runs
        assert missed <= 0.1 * 300


def test_looking_costs_only_where_frames_are_bad() -> None:
    assert rate_after(0, 7000, 0.999, 5) == rate(0, 7000, 0.999)
    widths = [(r := rate_after(9, 7000, 0.999, k)).high - r.low for k in (1, 2, 5, 20)]
    assert widths == sorted(widths)
