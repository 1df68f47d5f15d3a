"""What a mitigation costs: the same traffic with every offload on, and with it, in turns. Pure.

Both kinds of turn alternate, so that what slows the hosts down for a while hits both alike. The
median of the turns counts, and their least and greatest say how far to trust it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from qualification.messages.throughput import Throughput

from .findings import CulpritFindings

_FASTER, _SHOWN = 2, 100
"""From which ratio on a gain is told as one, and the greatest that is told as it is, as is the
inverse of the least: of what gets through a NIC that corrupts nearly everything, nothing but the
order of magnitude matters."""


@dataclass(frozen=True)
class CostTurns:
    """The turns on a pair.

    Attributes:
        pair: Name of the pair.
        off: The features that the mitigation turns off.
        flow: Id of the flow that was sent.
        all_on: Turns with every offload on.
        mitigated: Turns with the mitigation, as many.
    """

    pair: str
    off: tuple[str, ...]
    flow: str
    all_on: tuple[Throughput, ...]
    mitigated: tuple[Throughput, ...]


@dataclass(frozen=True)
class Spread:
    """A figure of several turns."""

    median: float
    least: float
    greatest: float


@dataclass(frozen=True)
class Cost:
    """The measured cost of a mitigation.

    Attributes:
        pair: Name of the pair.
        off: The features that the mitigation turns off.
        flow: Id of the flow that was sent.
        turns: Turns of each kind.
        throughput_all_on: Bits of payload per second with every offload on.
        throughput_mitigated: The same with the mitigation.
        cpu_all_on: CPU seconds of the sending host per gigabyte, 10^9 bytes of payload.
        cpu_mitigated: The same with the mitigation.
        throughput_loss: The throughput that the mitigation costs, in percent of that with every
            offload on; negative where it gains.
        cpu_increase: The CPU per byte that it costs, in percent more; negative where it saves.
    """

    pair: str
    off: tuple[str, ...]
    flow: str
    turns: int
    throughput_all_on: Spread
    throughput_mitigated: Spread
    cpu_all_on: Spread
    cpu_mitigated: Spread
    throughput_loss: float
    cpu_increase: float

    def __str__(self) -> str:
        """Returns it in words: "costs 12 % of throughput, 1.4 times the CPU per byte"."""
        ratio = 1 - self.throughput_loss / 100
        if ratio >= _FASTER:
            throughput = f"gives {_times(ratio)} the throughput"
        elif self.throughput_loss < 0:
            throughput = f"gains {-self.throughput_loss:.0f} % of throughput"
        else:
            throughput = f"costs {self.throughput_loss:.0f} % of throughput"
        return f"{throughput}, {_times(1 + self.cpu_increase / 100)} the CPU per byte"


def summarise(measured: CostTurns) -> Cost:
    """Returns the cost that turns show.

    A turn in which nothing got through counts as one byte, so that every figure is finite.

    Args:
        measured: The turns, at least one of each kind.
    """
    turns = measured.all_on, measured.mitigated
    fast, slow = (_spread(8 * _octets(turn) / turn.seconds for turn in of) for of in turns)
    little, much = (_spread(1e9 * turn.cpu_seconds / _octets(turn) for turn in of) for of in turns)
    return Cost(
        pair=measured.pair,
        off=measured.off,
        flow=measured.flow,
        turns=len(measured.mitigated),
        throughput_all_on=fast,
        throughput_mitigated=slow,
        cpu_all_on=little,
        cpu_mitigated=much,
        throughput_loss=100 * (1 - slow.median / fast.median),
        cpu_increase=100 * (much.median / little.median - 1) if little.median else 0.0,
    )


def costs(found: Iterable[CulpritFindings], measured: Mapping[str, CostTurns]) -> tuple[Cost, ...]:
    """Returns what the mitigations of pairs cost, where it was measured.

    Args:
        found: What the search found on each pair.
        measured: The turns, by pair; those of another mitigation, found before, do not count.
    """
    return tuple(
        summarise(measured[one.pair])
        for one in found
        if one.mitigation and one.pair in measured and measured[one.pair].off == one.mitigation.off
    )


def _times(ratio: float) -> str:
    """Returns a ratio in words; a NIC that lets no payload through makes one that means nothing."""
    if ratio > _SHOWN:
        return f"over {_SHOWN} times"
    return f"under {1 / _SHOWN} times" if ratio < 1 / _SHOWN else f"{ratio:.2g} times"


def _octets(turn: Throughput) -> int:
    return max(1, turn.octets)


def _spread(figures: Iterable[float]) -> Spread:
    values: Sequence[float] = sorted(figures)
    return Spread(median(values), values[0], values[-1])
