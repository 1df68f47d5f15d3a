"""Delta debugging over the feature table, compared with brute force."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.culprit.search import (
    FeaturesOff,
    Knowledge,
    Settled,
    ddmin,
    largest,
    smallest,
)
from qualification.plan.features import (
    CSUM,
    CSUM4,
    CSUM6,
    PARTIAL,
    TNL,
    TNL_CSUM,
    TSO,
    TSO6,
    USO,
    VARIED,
    FeatureSpace,
    OffloadSet,
)

SOFT = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, TSO6, USO, CSUM}), driver="tun")
GENERIC = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, TSO6, USO, PARTIAL, CSUM}), driver="i40e")
FAMILIES = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, TSO6, CSUM4, CSUM6}), driver="be2net")
FIXED = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, USO}), frozenset({CSUM}), "vmxnet3")
SPACES = (SOFT, GENERIC, FAMILIES, FIXED)

Terms = tuple[frozenset[str], ...]


class Asked:
    """Fails where all features of any term are on; keeps the sets that it is asked about."""

    def __init__(self, space: FeatureSpace, terms: Terms) -> None:
        self.space, self.terms, self.sets = space, terms, list[Settled]()

    def failing(self, on: Settled) -> bool:
        return any(term <= on for term in self.terms)

    def __call__(self, offloads: OffloadSet) -> bool:
        on = self.space.settle(offloads.on)
        assert on not in self.sets, "asked twice"
        self.sets.append(on)
        return self.failing(on)


def search(
    asked: Asked, known: dict[Settled, bool | None] | None = None
) -> tuple[tuple[FeaturesOff, ...], list[Settled]]:
    space = asked.space
    top = space.settle(space.switchable)
    found = smallest(space, top, Knowledge(space, {top: True, **(known or {})}, asked))
    return found, asked.sets


def singles(space: FeatureSpace, asked: Asked) -> dict[Settled, bool | None]:
    """What the quick plan has shown."""
    top = space.settle(space.switchable)
    sets = [space.settle(())] + [space.settle(top - {name}) for name in top]
    return {on: asked.failing(on) for on in sets}


def everything_off(space: FeatureSpace) -> list[tuple[FeaturesOff, Settled]]:
    top = space.settle(space.switchable)
    names = [rule.name for rule in VARIED if rule.name in space.switchable]
    return [
        (off, space.settle(top - set(off)))
        for size in range(1, len(names) + 1)
        for off in combinations(names, size)
    ]


@st.composite
def monotone(draw: st.DrawFn) -> Asked:
    space = draw(st.sampled_from(SPACES))
    names = st.sampled_from(sorted(space.switchable))
    terms = draw(st.lists(st.frozensets(names, min_size=1, max_size=3), min_size=1, max_size=3))
    return Asked(space, tuple(space.close(term) for term in terms))


# Examples


@pytest.mark.parametrize(
    ("space", "term", "culprits"),
    [
        # Equals come in the table's order; tnl-seg would take tnl-csum-seg along on a soft NIC.
        (SOFT, {TNL_CSUM, TNL, TSO, CSUM}, ((TNL_CSUM,), (TSO,))),
        (GENERIC, {TNL_CSUM, TSO, CSUM}, ((TNL_CSUM,), (TSO,))),
        (SOFT, {TNL_CSUM, TNL}, ((TNL_CSUM,),)),
        (SOFT, {CSUM}, ((CSUM,),)),
        (FAMILIES, {CSUM6}, ((CSUM6,),)),
        (FIXED, {CSUM, USO}, ((USO,),)),
    ],
)
def test_one_feature(
    space: FeatureSpace, term: set[str], culprits: tuple[FeaturesOff, ...]
) -> None:
    asked = Asked(space, (frozenset(term),))
    assert search(asked)[0] == culprits
    again = Asked(space, (frozenset(term),))
    found, sets = search(again, singles(space, again))
    assert (found, sets) == (culprits, []), "what the plan has shown is not asked again"


def test_two_features_where_no_single_one_heals() -> None:
    asked = Asked(FIXED, (frozenset({TNL_CSUM, TSO}), frozenset({USO})))
    found, sets = search(asked, singles(FIXED, asked))
    assert found == ((TNL_CSUM, USO),), "tso with uso would take tnl-seg along"
    assert len(sets) <= 5


def test_what_healed_another_flow_is_tried_first() -> None:
    asked = Asked(GENERIC, (frozenset({TNL_CSUM, TSO, CSUM}),))
    top = GENERIC.settle(GENERIC.switchable)
    knowledge = Knowledge(GENERIC, {top: True}, asked)
    assert smallest(GENERIC, top, knowledge, [("udpcsum",), (USO,), (TSO,)]) == ((TSO,),)
    assert asked.sets == [top - {USO}, top - {TSO}]
    # What takes nothing else along is better than a hint that does.
    asked = Asked(SOFT, (frozenset({TNL_CSUM, TNL}),))
    top = SOFT.settle(SOFT.switchable)
    knowledge = Knowledge(SOFT, {top: True}, asked)
    assert smallest(SOFT, top, knowledge, [(TNL,)]) == ((TNL_CSUM,),)


def test_nothing_heals() -> None:
    asked = Asked(SOFT, (frozenset(),))
    assert search(asked) == ((), [SOFT.settle(())])


def test_what_cannot_be_judged_heals_nothing() -> None:
    top = SOFT.settle(SOFT.switchable)
    assert smallest(SOFT, top, Knowledge(SOFT, {top: True}, lambda _: None)) == ()


def test_with_nothing_to_turn_off_there_is_no_culprit() -> None:
    space = FeatureSpace(frozenset(), frozenset({CSUM}))
    top = space.settle(())
    assert smallest(space, top, Knowledge(space, {top: True}, lambda _: False)) == ()


def test_what_is_seen_outweighs_what_follows() -> None:
    knowledge = Knowledge(
        SOFT, {SOFT.settle({CSUM}): True, SOFT.settle({CSUM, TSO}): False}, lambda _: None
    )
    top = SOFT.settle(SOFT.switchable)
    assert knowledge.presumed(SOFT.settle({CSUM, TSO}), top) is False
    assert knowledge.presumed(SOFT.settle({CSUM, TSO6}), top) is True
    assert knowledge.presumed(SOFT.settle(()), top) is False
    assert knowledge.presumed(SOFT.settle(()), SOFT.settle({CSUM})) is None, "of another set"


# Compared with brute force


@given(monotone(), st.booleans())
def test_the_fewest_and_of_these_the_mildest(asked: Asked, planned: bool) -> None:
    space, top = asked.space, asked.space.settle(asked.space.switchable)
    found, sets = search(asked, singles(space, asked) if planned else None)
    healing = [
        (len(o), -len(left), o) for o, left in everything_off(space) if not asked.failing(left)
    ]
    if not healing:
        assert found == ()
        return
    best = min(rank[:2] for rank in healing)
    assert list(found) == [off for size, left, off in healing if (size, left) == best]
    for off in found:
        for name in off:  # put back
            assert asked.failing(space.settle(top - (set(off) - {name})))
    assert len(sets) <= len(top) ** 2


@given(monotone())
def test_the_largest_safe_set(asked: Asked) -> None:
    space, top = asked.space, asked.space.settle(asked.space.switchable)
    off = largest(space, top, lambda on: not asked.failing(on))
    healing = [
        (-len(left), len(o), o) for o, left in everything_off(space) if not asked.failing(left)
    ]
    assert off == (
        () if not asked.failing(top) else min(healing, key=lambda r: r[:2])[2] if healing else None
    )


@given(st.dictionaries(st.integers(0, 63), st.sampled_from([True, False, None])))
def test_what_is_no_rule_at_all_is_borne(answers: dict[int, bool | None]) -> None:
    """Whatever the answers, what is found was answered to heal, or follows from that."""
    names = [rule.name for rule in VARIED if rule.name in SOFT.switchable]
    top = SOFT.settle(SOFT.switchable)
    seen: dict[Settled, bool | None] = {top: True}

    def ask(offloads: OffloadSet) -> bool | None:
        return answers.get(sum(1 << names.index(name) for name in offloads.on))

    for off in smallest(SOFT, top, Knowledge(SOFT, seen, ask)):
        left = SOFT.settle(top - set(off))
        assert seen.get(left) is False or any(
            fails is False and left < on < top for on, fails in seen.items()
        )


@given(st.sets(st.integers(0, 8), min_size=1), st.integers(1, 9))
def test_ddmin(needed: set[int], more: int) -> None:
    items = tuple(map(str, range(max(needed) + more)))
    wanted = set(map(str, needed))
    assert set(ddmin(items, lambda some: wanted <= set(some))) == wanted


def test_ddmin_finds_what_no_single_one_can_leave() -> None:
    """Not monotone: 1-minimal all the same."""

    def heals(some: FeaturesOff) -> bool:
        return len(some) % 3 == 0

    reduced = ddmin(tuple("abcdefghi"), heals)
    assert heals(reduced)
    assert not any(heals(tuple(n for n in reduced if n != name)) for name in reduced)
