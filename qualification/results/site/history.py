"""The history of NICs as a plot: rates of runs with their intervals, over nights or firmware."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .fleet import Sighting, version_order
from .summary import NicSummary

WIDTH, HEIGHT, LEFT = 1000.0, 240.0, 68.0
_TOP, _BOTTOM = 30.0, 30.0
_LOWEST, _HIGHEST = 1e-5, 1.0
_MOST = 400
"""Sightings in a plot; the newest ones, if there are more."""
_LABEL = 60.0
"""Width of a band that has room for a number of runs."""


@dataclass(frozen=True)
class Mark:
    """A NIC of a run in the plot.

    Attributes:
        x: Its place.
        y: Height of the rate; where nothing failed, of the rate that is excluded.
        top: Upper end of the interval.
        bottom: Lower end.
        kind: "fails", "clean", or "unjudged" where no cell failed and none excludes a rate.
        seen: What it is of.
    """

    x: float
    y: float
    top: float
    bottom: float
    kind: str
    seen: Sighting


@dataclass(frozen=True)
class Band:
    """Consecutive runs with one firmware."""

    x: float
    width: float
    firmware: str
    runs: int


@dataclass(frozen=True)
class History:
    """A plot.

    Attributes:
        marks: The runs, from left to right.
        bands: The firmwares, in the same order.
        lines: Heights and names of rates.
        labels: Places and texts below the runs: days, or numbers of runs.
    """

    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]
    lines: tuple[tuple[float, str], ...]
    labels: tuple[tuple[float, str], ...]


def history(seen: Sequence[Sighting], *, by_firmware: bool = False) -> History:
    """Returns the plot of sightings.

    Args:
        seen: The sightings, the newest first.
        by_firmware: Whether to order them by firmware, the oldest version on the left, and in each
            by time; by default, by time alone.
    """
    shown = list(reversed(seen[:_MOST]))
    if by_firmware:
        shown.sort(key=lambda one: version_order(one.nic.firmware))
    step = (WIDTH - LEFT) / max(1, len(shown))
    marks = tuple(
        Mark(
            LEFT + step * (place + 0.5),
            _height(_rate(one.nic)),
            _height(one.nic.high),
            _height(one.nic.low),
            _kind(one.nic),
            one,
        )
        for place, one in enumerate(shown)
    )
    bands = []
    at = 0
    for firmware, some in groupby(shown, key=lambda one: one.nic.firmware):
        number = len(list(some))
        bands.append(Band(LEFT + step * at, step * number, firmware, number))
        at += number
    few = max(1, len(marks) // 6)
    days = ((mark.x, mark.seen.run.started[:10]) for mark in marks[::few])
    runs = (
        (band.x + band.width / 2, f"{band.runs} run{'s' * (band.runs != 1)}")
        for band in bands
        if band.width > _LABEL
    )
    return History(
        marks,
        tuple(bands),
        tuple((_height(10.0**-power), f"{10.0 ** (2 - power):g} %") for power in range(6)),
        tuple(runs if by_firmware else days),
    )


def _rate(nic: NicSummary) -> float:
    """Returns the rate that is marked; that of a NIC without one is at the bottom."""
    return {"fails": nic.rate, "clean": nic.high, "unjudged": 0.0}[_kind(nic)]


def _kind(nic: NicSummary) -> str:
    if nic.failing:
        return "fails"
    return "clean" if nic.high < 1.0 else "unjudged"


def _height(rate: float) -> float:
    """Returns the height of a rate on a scale of powers of ten."""
    bounded = min(_HIGHEST, max(_LOWEST, rate))
    share = math.log(bounded / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
