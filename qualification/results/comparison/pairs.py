"""Which pair of the new run a pair of the old run is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qualification.errors import UsageError
from qualification.results.matrix import Matrix, NicRow


def matched(old: Matrix, new: Matrix, given: Mapping[str, str]) -> dict[str, str]:
    """Returns the pairs to compare: names in the old run, each with the name in the new run.

    Pairs that are given are compared, and no others. Otherwise pairs of the same name are. Of those
    that are left, a pair with the only NIC of its model (driver and PCI id) in each run is, then
    one with the only NIC of its driver, and at last the one that is left in each.

    Args:
        old: The old run.
        new: The new run.
        given: The names in the new run by those in the old run; empty to find them.

    Raises:
        UsageError: A run has no such pair.
    """
    olds, news = duts(old), duts(new)
    for names, there, which in ((given.keys(), olds, "old"), (given.values(), news, "new")):
        for name in names:
            if name not in there:
                raise UsageError(
                    f"the {which} run has no pair {name!r}; its pairs are: {', '.join(there)}",
                    where="--map",
                    hint="give --map OLD=NEW with the name of a pair in each run",
                )
    if given:
        return dict(given)
    found = {name: name for name in olds if name in news}
    for key in (_model, _driver, _any):
        left = [name for name in olds if name not in found]
        free = [name for name in news if name not in found.values()]
        for name in left:
            alike = [other for other in free if key(news[other]) == key(olds[name])]
            rivals = [other for other in left if key(olds[other]) == key(olds[name])]
            if len(alike) == len(rivals) == 1:
                found[name] = alike[0]
    return {name: found[name] for name in olds if name in found}


def duts(matrix: Matrix) -> dict[str, NicRow]:
    """Returns the NIC to qualify of each pair."""
    return {nic.pair: nic for nic in matrix.nics if nic.role == "dut"}


def parse(maps: Sequence[str]) -> dict[str, str]:
    """Returns the pairs that are given on the command line, each as "OLD=NEW".

    Raises:
        UsageError: One is not of that form, or a pair is given twice.
    """
    found: dict[str, str] = {}
    for text in maps:
        old, equals, new = text.partition("=")
        if not (old and equals and new):
            raise UsageError(
                f"{text!r} names no two pairs", where="--map", hint="write --map OLD=NEW"
            )
        if old in found or new in found.values():
            raise UsageError(
                f"a pair of {text!r} is given twice",
                where="--map",
                hint="compare a pair with one other pair at a time",
            )
        found[old] = new
    return found


def _model(nic: NicRow) -> tuple[str, str | None]:
    return nic.driver, nic.pci_id


def _driver(nic: NicRow) -> str:
    return nic.driver


def _any(_: NicRow) -> None:
    return None
