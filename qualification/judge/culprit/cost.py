"""What a mitigation costs: the same traffic with every offload on, and with it, in turns. Pure.

Both kinds of turn alternate, so that what slows the hosts down for a while hits both alike. The
median of the turns counts, and their least and greatest say how far to trust it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Turn:
    """Bulk TCP through a tunnel, for some time.

    Attributes:
        octets: Bytes of payload that the sender's sockets took.
        seconds: For how long.
        cpu_seconds: What all CPUs of the sending host spent meanwhile, on whatever they did.
    """

    octets: int
    seconds: float
    cpu_seconds: float


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
    all_on: tuple[Turn, ...]
    mitigated: tuple[Turn, ...]


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
        """Returns it in a sentence: "costs 12 % of throughput, 1.4 times the CPU per byte"."""
        loss, times = round(self.throughput_loss), 1 + self.cpu_increase / 100
        throughput = f"gains {-loss} % throughput" if loss < 0 else f"costs {loss} % of throughput"
        return f"{throughput}, {times:.2g} times the CPU per byte"


def summarise(measured: CostTurns) -> Cost | None:
    """Returns the cost that turns show; None where nothing was sent in one of them."""
    turns = measured.all_on, measured.mitigated
    if not all(turns) or any(turn.octets <= 0 or turn.seconds <= 0 for of in turns for turn in of):
        return None
    fast, slow = (_spread(8 * turn.octets / turn.seconds for turn in of) for of in turns)
    little, much = (_spread(1e9 * turn.cpu_seconds / turn.octets for turn in of) for of in turns)
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


def _spread(figures: Iterable[float]) -> Spread:
    values: Sequence[float] = sorted(figures)
    return Spread(median(values), values[0], values[-1])
