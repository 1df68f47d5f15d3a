"""The fleet: the newest word on each driver, firmware and kernel, and since when it has been so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from qualification.results.conclusion import RunOutcome

from .summary import NicSummary, RunSummary


@dataclass(frozen=True)
class Sighting:
    """A NIC in one of the runs."""

    run: RunSummary
    nic: NicSummary


@dataclass(frozen=True)
class Word:
    """What is known of a driver, firmware and kernel.

    Attributes:
        newest: The newest sighting; of several NICs in that run, the worst one.
        since: When the first of the runs began that ended like the newest, without another
            outcome between them (ISO 8601).
        runs: Number of runs.
    """

    newest: Sighting
    since: str
    runs: int


@dataclass(frozen=True)
class FleetRow:
    """A driver and firmware, a row of the fleet's matrix; `words` has a place for each kernel."""

    driver: str
    firmware: str
    words: tuple[Word | None, ...]


@dataclass(frozen=True)
class Fleet:
    """The fleet's matrix."""

    kernels: tuple[str, ...]
    rows: tuple[FleetRow, ...]


@dataclass(frozen=True)
class Model:
    """A NIC model: all NICs of one PCI id.

    Attributes:
        pci_id: The id.
        word: What is known of it; its newest sighting has the newest driver and firmware.
        seen: Every sighting, the newest first.
        drivers: Its drivers.
        firmwares: Its firmwares, in the order of their versions.
        boards: PCI subsystem ids of the boards that it was found on.
        nics: How many different NICs, by serial number, or else by host and interface.
    """

    pci_id: str
    word: Word
    seen: tuple[Sighting, ...]
    drivers: tuple[str, ...]
    firmwares: tuple[str, ...]
    boards: tuple[str, ...]
    nics: int


def sightings(runs: Iterable[RunSummary]) -> list[Sighting]:
    """Returns every NIC of every run, in the order of the runs."""
    return [Sighting(run, nic) for run in runs for nic in run.nics]


def fleet(seen: Sequence[Sighting]) -> Fleet:
    """Returns the fleet's matrix.

    Args:
        seen: The sightings, the newest first.
    """
    by_key: dict[tuple[str, str, str], list[Sighting]] = {}
    for one in seen:
        key = one.nic.driver, one.nic.firmware, one.nic.kernel
        by_key.setdefault(key, []).append(one)
    kernels = sorted({kernel for _, _, kernel in by_key}, key=version_order, reverse=True)
    names = sorted({(d, f) for d, f, _ in by_key}, key=lambda one: (one[0], version_order(one[1])))
    return Fleet(
        tuple(kernels),
        tuple(
            FleetRow(
                d, f, tuple(_word(s) if (s := by_key.get((d, f, k))) else None for k in kernels)
            )
            for d, f in names
        ),
    )


def models(seen: Sequence[Sighting]) -> list[Model]:
    """Returns the NIC models that have a PCI id, in the order of driver and id.

    Args:
        seen: The sightings, the newest first.
    """
    by_id: dict[str, list[Sighting]] = {}
    for one in seen:
        if one.nic.pci_id:
            by_id.setdefault(one.nic.pci_id, []).append(one)
    found = [_model(pci_id, some) for pci_id, some in by_id.items()]
    return sorted(found, key=lambda model: (model.drivers, model.pci_id))


def _model(pci_id: str, seen: list[Sighting]) -> Model:
    nics = [one.nic for one in seen]
    return Model(
        pci_id,
        _word(seen),
        tuple(seen),
        tuple(sorted({nic.driver for nic in nics})),
        tuple(sorted({nic.firmware for nic in nics}, key=version_order)),
        tuple(sorted({nic.pci_subsystem for nic in nics} - {""})),
        len({nic.serial or (nic.host, nic.interface) for nic in nics}),
    )


def _word(seen: Sequence[Sighting]) -> Word:
    by_run: dict[str, list[Sighting]] = {}
    for one in seen:
        by_run.setdefault(one.run.id, []).append(one)
    # Of several NICs in a run, the worst one is the word on them.
    worst = [max(some, key=_badness) for some in by_run.values()]
    same = takewhile(lambda one: one.nic.outcome == worst[0].nic.outcome, worst)
    return Word(worst[0], list(same)[-1].run.started, len(worst))


def _badness(one: Sighting) -> tuple[bool, bool, float]:
    outcome = one.nic.outcome
    return (
        outcome == RunOutcome.NOT_QUALIFIED,
        outcome != RunOutcome.QUALIFIED,
        one.nic.rate if one.nic.failing else 0.0,
    )


def version_order(text: str) -> list[tuple[int, int, str]]:
    """Returns what sorts versions part by part, numbers as numbers."""
    parts = re.findall(r"\d{1,18}|\D+", text)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
