"""Compares two runs: matches pairs and cells, and has each judged by `comparable` and `chance`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from qualification.judge.result_row import CellRow
from qualification.results.matrix import Matrix

from . import pairs as pairs_of
from .chance import changes
from .comparable import Runs, alone, hindrance, name, notes_on
from .counts import LEVEL, Both
from .model import FAILING, CellChange, Comparison, PairComparison, Side


def compare(
    old: Matrix, new: Matrix, given: Mapping[str, str] = MappingProxyType({})
) -> Comparison:
    """Returns what has changed from one run to another.

    Args:
        old: The old run.
        new: The new run.
        given: Pairs to compare: the name in the new run by that in the old run. Empty for those of
            the same name, and then for those whose NICs are alike; see `pairs.matched`.

    Raises:
        UsageError: A run has no pair of a name that is given.
    """
    matched = pairs_of.matched(old, new, given)
    olds, news = pairs_of.duts(old), pairs_of.duts(new)
    both: list[Both] = []
    compared = []
    for number, (before, now) in enumerate(matched.items()):
        runs = Runs(old.run, new.run, olds[before].driver, news[now].driver)
        of_pair = list(_cells(old, before, new, now, runs, number))
        both += [one for one in of_pair if isinstance(one, Both)]
        compared.append((before, now, of_pair))
    told = iter(changes(both))
    return Comparison(
        old.run,
        new.run,
        tuple(
            PairComparison(
                _side(old, before),
                _side(new, now),
                _notes(old, before, new, now),
                tuple(next(told) if isinstance(one, Both) else one for one in of_pair),
            )
            for before, now, of_pair in compared
        ),
        () if given else tuple(pair for pair in olds if pair not in matched),
        () if given else tuple(pair for pair in news if pair not in matched.values()),
        notes_on(old.run, new.run),
        LEVEL,
    )


def _cells(
    old: Matrix, before: str, new: Matrix, now: str, runs: Runs, number: int
) -> Iterator[Both | CellChange]:
    """Yields the cells of a pair in the order of the new run; those to be tested as `Both`."""
    there = {name(row): row for row in old.cells if row.pair == before}
    for row in (row for row in new.cells if row.pair == now):
        former = there.pop(name(row), None)
        if former is None:
            yield alone(row, runs, new=True)
        else:
            yield hindrance(former, row, runs) or Both(number, former, row)
    for row in there.values():
        yield alone(row, runs, new=False)


def _side(matrix: Matrix, pair: str) -> Side:
    ends = {nic.role: nic for nic in matrix.nics if nic.pair == pair}
    cells: Sequence[CellRow] = [row for row in matrix.cells if row.pair == pair]
    off = tuple(matrix.mitigation.get(pair, ()))
    return Side(
        pair,
        ends["dut"],
        ends["peer"],
        off,
        sum(row.verdict in FAILING for row in cells),
        len(cells),
        next((str(c) for c in matrix.costs if c.pair == pair and set(c.off) == set(off)), ""),
    )


def _notes(old: Matrix, before: str, new: Matrix, now: str) -> tuple[str, ...]:
    """Returns what else differs between two pairs, which may be the reason for a change."""
    ends = {(nic.pair, nic.role): nic for nic in old.nics}
    later = {(nic.pair, nic.role): nic for nic in new.nics}
    notes = []
    was, is_ = ends[before, "peer"], later[now, "peer"]
    for what, one, other in (
        ("driver", was.driver, is_.driver),
        ("firmware", was.firmware, is_.firmware),
        ("kernel", was.kernel, is_.kernel),
    ):
        if one != other:
            notes.append(f"the peer has another {what}, too: {one} before, {other} now")
    was, is_ = ends[before, "dut"], later[now, "dut"]
    if was.mtu != is_.mtu:
        notes.append(
            f"the MTUs differ: {was.mtu} before, {is_.mtu} now, so that frames have other sizes"
        )
    return tuple(notes)
