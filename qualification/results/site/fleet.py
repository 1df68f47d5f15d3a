"""The fleet: the newest word on each driver, firmware and kernel, and since when it has been so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

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
        newest: The newest sighting.
        since: When the first of the sightings was that ended as the newest, without another
            outcome between them (ISO 8601).
        runs: Number of sightings.
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
    kernels = sorted({kernel for _, _, kernel in by_key}, key=_version, reverse=True)
    names = sorted({(d, f) for d, f, _ in by_key}, key=lambda one: (one[0], _version(one[1])))
    return Fleet(
        tuple(kernels),
        tuple(
            FleetRow(d, f, tuple(_word(by_key.get((d, f, kernel))) for kernel in kernels))
            for d, f in names
        ),
    )


def _word(seen: list[Sighting] | None) -> Word | None:
    if not seen:
        return None
    since = seen[0]
    for one in seen:
        if one.nic.outcome != seen[0].nic.outcome:
            break
        since = one
    return Word(seen[0], since.run.started, len(seen))


def _version(text: str) -> list[tuple[int, int, str]]:
    """Returns what sorts versions part by part, numbers as numbers."""
    parts = re.findall(r"\d+|[^\d]+", text)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
