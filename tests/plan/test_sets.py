"""Offload sets: over whatever a NIC may let us vary, and over NICs that there are."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qualification.plan.cells import PLANS, PlanName, offload_sets
from qualification.plan.features import (
    CSUM,
    CSUM4,
    CSUM6,
    PARTIAL,
    RULES,
    TNL,
    TNL_CSUM,
    TSO,
    TSO6,
    USO,
    VARIED,
    FeatureSpace,
    OffloadSet,
)

NAMES = [rule.name for rule in VARIED]
ALL_PLANS: tuple[PlanName, ...] = ("quick", "standard", "full")


@st.composite
def spaces(draw: st.DrawFn) -> FeatureSpace:
    """Any features switchable, any others fixed on, tun or not."""
    kinds = draw(st.lists(st.sampled_from("sssfx"), min_size=len(NAMES), max_size=len(NAMES)))
    chosen = {
        kind: frozenset(name for name, k in zip(NAMES, kinds, strict=True) if k == kind)
        for kind in "sf"
    }
    return FeatureSpace(chosen["s"], chosen["f"], draw(st.sampled_from(["", "tun", "i40e"])))


def subsets(space: FeatureSpace) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(NAMES))


def effects(space: FeatureSpace) -> set[frozenset[str]]:
    """Every set that is what it settles to, found by trying all: the plans have to find theirs."""
    names = sorted(space.switchable)
    found = set()
    for values in product((False, True), repeat=len(names)):
        on = frozenset(name for name, value in zip(names, values, strict=True) if value)
        if settled_by_hand(on, space):
            found.add(on)
    return found


def settled_by_hand(on: frozenset[str], space: FeatureSpace) -> bool:
    """Whether nothing in a set lacks what it needs, by the table alone."""
    there = space.switchable | space.fixed_on
    active = on | space.fixed_on
    # A fixed feature that lacks something has no effect, and others must not lean on it.
    while True:
        lame = {
            name
            for name in active
            for group in (*RULES[name].needs, *RULES[name].needs_on.get(space.driver, ()))
            if there & set(group) and not active & set(group)
        }
        if lame & on:
            return False
        if not lame:
            return True
        active -= lame


@given(spaces(), st.data())
def test_settle(space: FeatureSpace, data: st.DataObject) -> None:
    on = data.draw(subsets(space))
    settled = space.settle(on)
    assert space.settle(settled) == settled
    assert settled <= (on & space.switchable) | space.fixed_on
    for name in settled:
        assert all(settled & set(group) for group in space.needs(name))
    more = space.settle(on | data.draw(subsets(space)))
    assert settled <= more  # to ask for more never leaves less
    assert settled_by_hand(settled & space.switchable, space)


@given(spaces(), st.data())
def test_close(space: FeatureSpace, data: st.DataObject) -> None:
    on = data.draw(subsets(space)) & space.switchable
    closed = space.close(on)
    assert on <= closed <= space.switchable
    assert space.close(closed) == closed
    # All of it has effect, unless what is fixed on and leant on is itself without what it needs.
    if space.settle(space.fixed_on) == space.fixed_on:
        assert space.settle(closed) == closed | space.fixed_on


@given(spaces())
def test_every_plan(space: FeatureSpace) -> None:
    found = {plan: offload_sets(space, plan) for plan in ALL_PLANS}
    for sets in found.values():
        assert len({s.id for s in sets}) == len(sets)
        assert len({s.on for s in sets}) == len(sets)
        assert sets[0].on == frozenset()
        assert sets[0].id == "all-off"
        for s in sets:
            assert s.on <= space.switchable
            assert space.settle(s.on) & space.switchable == s.on
            assert s.requested == {name: name in s.on for name in NAMES if name in space.switchable}
        if len(sets) > 1:
            assert sets[1].on == space.settle(space.switchable) & space.switchable
    quick, standard, full = ({s.on for s in found[plan]} for plan in ALL_PLANS)
    assert quick <= standard <= full
    assert full == effects(space)
    assert [s.on for s in found["standard"][: len(quick)]] == [s.on for s in found["quick"]]


@given(spaces())
def test_all_on_is_everything_that_can_be_switched(space: FeatureSpace) -> None:
    assume(space.switchable)
    assume(space.settle(space.switchable | space.fixed_on) >= space.switchable)
    second = offload_sets(space, "quick")[1]
    assert (second.on, second.id) == (space.switchable, "all-on")


@given(spaces())
def test_standard_has_every_pair_of_values_that_can_be(space: FeatureSpace) -> None:
    possible = effects(space)
    chosen = {s.on for s in offload_sets(space, "standard")}
    for one, other in combinations(sorted(space.switchable), 2):
        for values in product((False, True), repeat=2):

            def has(on: frozenset[str], pair=(one, other), values=values) -> bool:
                return tuple(name in on for name in pair) == values

            if any(map(has, possible)):
                assert any(map(has, chosen)), (one, other, values)


@given(spaces())
def test_quick_has_each_feature_off_alone_and_on_alone(space: FeatureSpace) -> None:
    chosen = {s.on for s in offload_sets(space, "quick")}
    everything = space.settle(space.switchable) & space.switchable
    for name in everything:
        assert space.settle(everything - {name}) & space.switchable in chosen
        assert any(name in on for on in chosen)


@given(spaces())
@settings(max_examples=20)
def test_a_plan_is_the_same_every_time(space: FeatureSpace) -> None:
    again = FeatureSpace(
        frozenset(sorted(space.switchable, reverse=True)), space.fixed_on, space.driver
    )
    for plan in ALL_PLANS:
        assert [s.id for s in offload_sets(space, plan)] == [
            s.id for s in offload_sets(again, plan)
        ]


TUN = FeatureSpace(frozenset({CSUM, TSO, TSO6, USO, TNL, TNL_CSUM}), driver="tun")
IGB = FeatureSpace(frozenset({CSUM, TSO, TSO6, USO, TNL, TNL_CSUM, PARTIAL}), driver="igb")
I40E = FeatureSpace(
    frozenset({CSUM4, CSUM6, TSO, TSO6, USO, TNL, TNL_CSUM, PARTIAL}), driver="i40e"
)
E1000 = FeatureSpace(frozenset({CSUM, TSO}), driver="e1000")

# What stored results and Allure's history go by: changed on purpose, or not at all.
GOLDEN = {
    "tun": (
        TUN,
        [
            "all-off",
            "all-on",
            "all-but-tnl-csum-seg",
            "all-but-tnl-csum-seg+tnl-seg",
            "all-but-tso",
            "all-but-tso6",
            "all-but-uso",
            "tso",
            "tso6",
            "uso",
            "csum",
        ],
    ),
    "igb": (
        IGB,
        [
            "all-off",
            "all-on",
            "all-but-tnl-csum-seg",
            "all-but-tnl-seg",
            "all-but-tso",
            "all-but-tso6",
            "all-but-uso",
            "all-but-gso-partial",
            "all-but-tnl-seg+gso-partial",
            "all-but-tnl-csum-seg+gso-partial",
            "tso",
            "tso6",
            "uso",
            "csum",
        ],
    ),
    "i40e": (
        I40E,
        [
            "all-off",
            "all-on",
            "all-but-tnl-csum-seg",
            "all-but-tnl-seg",
            "all-but-tso",
            "all-but-tso6",
            "all-but-uso",
            "all-but-gso-partial",
            "all-but-tso+csum4",
            "all-but-tso6+csum6",
            "all-but-tnl-seg+gso-partial",
            "all-but-tnl-csum-seg+gso-partial",
            "tso",
            "tso6",
            "uso+csum4+csum6",
            "csum4",
            "csum6",
        ],
    ),
    "e1000": (
        E1000,
        [
            "all-off",
            "all-on",
            "csum",
        ],
    ),
}


@pytest.mark.parametrize("nic", GOLDEN)
def test_ids_do_not_change(nic: str) -> None:
    space, ids = GOLDEN[nic]
    assert [s.id for s in offload_sets(space, "standard")] == ids


@pytest.mark.parametrize(
    ("space", "on", "name"),
    [
        (TUN, set(), "all-off"),
        (TUN, {CSUM, TSO, TSO6, USO, TNL, TNL_CSUM}, "all-on"),
        (TUN, {CSUM, TSO, TSO6, USO, TNL}, "all-but-tnl-csum-seg"),
        (TUN, {CSUM, TSO, TNL, TNL_CSUM}, "tnl-csum-seg+tso"),  # tnl-seg and csum go without saying
        (IGB, {CSUM, TSO, TNL_CSUM}, "tnl-csum-seg+tso"),
        (TUN, {CSUM}, "csum"),
        (TUN, {CSUM, USO}, "uso"),
        (I40E, {CSUM4, CSUM6}, "csum4+csum6"),
        (I40E, {CSUM4, TSO}, "tso"),
        (I40E, {CSUM6, USO}, "uso+csum6"),
        (FeatureSpace(frozenset()), set(), "all-off"),
    ],
)  # fmt: skip
def test_ids(space: FeatureSpace, on: set[str], name: str) -> None:
    assert OffloadSet(frozenset(on), space).id == name


def test_sizes_of_plans_on_known_nics() -> None:
    sizes = {plan: len(offload_sets(I40E, plan)) for plan in PLANS}
    assert sizes["quick"] <= sizes["standard"] < sizes["full"]
    assert sizes["standard"] <= 2 * sizes["quick"]  # that is what covering arrays are for


# Dependencies that were learnt

IGB = FeatureSpace(
    frozenset({CSUM, TSO, TSO6, USO, TNL, TNL_CSUM, PARTIAL}),
    driver="igb",
    learned=frozenset(
        {(TNL, PARTIAL), (TNL_CSUM, PARTIAL), (TSO, CSUM), (TSO6, CSUM), (USO, CSUM)}
    ),
)


def test_without_partial_gso_a_driver_loses_its_tunnel_features() -> None:
    without = IGB.switchable - {PARTIAL}
    assert IGB.settle(without) == without - {TNL, TNL_CSUM}
    assert IGB.settle(IGB.switchable) == IGB.switchable
    assert PARTIAL in IGB.close({TNL})


def test_sets_that_settle_to_the_same_are_run_once() -> None:
    sets = offload_sets(IGB, "quick")
    settled = [IGB.settle(one.on) for one in sets]
    assert len(set(settled)) == len(settled) == len({one.id for one in sets})
    names = [one.id for one in sets]
    assert "tso+tso6+uso" in names  # all but gso-partial, and what goes with it
    assert "all-but-gso-partial" not in names


def test_of_features_that_need_each_other_one_names_the_set() -> None:
    both = FeatureSpace(
        frozenset({CSUM, TSO, TNL, PARTIAL}), learned=frozenset({(TNL, PARTIAL), (TSO, CSUM)})
    )
    assert OffloadSet(both.close({TNL}), both).id == "all-on"
    assert OffloadSet(frozenset({TNL, PARTIAL, TSO}), both).id == "tnl-seg"
    one = FeatureSpace(frozenset({TNL, PARTIAL, CSUM}), learned=frozenset({(TNL, PARTIAL)}))
    assert OffloadSet(frozenset({TNL, PARTIAL}), one).id == "tnl-seg"


@settings(max_examples=200)
@given(
    space=spaces(),
    learned=st.frozensets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=6),
    plan=st.sampled_from(["quick", "standard"]),
)
def test_whatever_was_learnt_sets_are_settled_and_have_names_of_their_own(
    space: FeatureSpace, learned: frozenset[tuple[str, str]], plan: PlanName
) -> None:
    pairs = frozenset((one, other) for one, other in learned if one != other)
    knowing = FeatureSpace(space.switchable, space.fixed_on, space.driver, pairs)
    sets = offload_sets(knowing, plan)
    assert all(knowing.settle(one.on) & knowing.switchable == one.on for one in sets)
    assert len({one.id for one in sets}) == len(sets)
