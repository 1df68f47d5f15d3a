"""The history of a driver as a plot: the rate of each run with its interval, over firmwares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from .fleet import Sighting

WIDTH, HEIGHT = 1000.0, 240.0
_LEFT, _TOP, _BOTTOM = 60.0, 30.0, 30.0
_LOWEST, _HIGHEST = 1e-5, 1.0
_MOST = 400
"""Sightings in a plot; the newest ones, if there are more."""


@dataclass(frozen=True)
class Mark:
    """A run in the plot: place, ends of the interval, and what it is of."""

    x: float
    y: float
    top: float
    bottom: float
    seen: Sighting


@dataclass(frozen=True)
class Band:
    """Consecutive runs with one firmware."""

    x: float
    width: float
    firmware: str


@dataclass(frozen=True)
class History:
    """A plot.

    Attributes:
        marks: The runs, the oldest first.
        bands: The firmwares, in the same order.
        lines: Heights and names of rates.
        dates: Places and names of days.
    """

    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]
    lines: tuple[tuple[float, str], ...]
    dates: tuple[tuple[float, str], ...]


def history(seen: Sequence[Sighting]) -> History:
    """Returns the plot of a driver's sightings, of which the newest comes first."""
    shown = list(reversed(seen[:_MOST]))
    step = (WIDTH - _LEFT) / max(1, len(shown))
    marks = tuple(
        Mark(
            _LEFT + step * (place + 0.5),
            _height(one.nic.rate if one.nic.failing else one.nic.high),
            _height(one.nic.high),
            _height(one.nic.low),
            one,
        )
        for place, one in enumerate(shown)
    )
    bands = []
    at = 0
    for firmware, some in groupby(shown, key=lambda one: one.nic.firmware):
        number = len(list(some))
        bands.append(Band(_LEFT + step * at, step * number, firmware))
        at += number
    few = max(1, len(marks) // 6)
    return History(
        marks,
        tuple(bands),
        tuple((_height(10.0**-power), f"{10.0 ** (2 - power):g} %") for power in range(6)),
        tuple((mark.x, mark.seen.run.started[:10]) for mark in marks[::few]),
    )


def _height(rate: float) -> float:
    """Returns the height of a rate on a scale of powers of ten."""
    bounded = min(_HIGHEST, max(_LOWEST, rate))
    share = math.log(bounded / _LOWEST) / math.log(_HIGHEST / _LOWEST)
    return round(HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM), 1)
