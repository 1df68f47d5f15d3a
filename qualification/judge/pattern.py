"""Which frames of a cell are wrong: all of a kind, or any. Pure; only what is decisive is said.

The bad frames' shapes (`qualification.agent.shapes`) are split in each dimension into the values
with the highest rates and the rest, and the split is tested exactly (Fisher, The Design of
Experiments, 1935). What could have been said by chance is paid for: a split into j of k values is
the luckiest of C(k, j), each j is one of k - 1 tries, and Holm (Scandinavian Journal of Statistics
6, 1979) corrects over the dimensions.

Frames of one super-packet may go wrong together, and then are no independent witnesses. A wrong
frame that follows a right one of its flow begins a run, and counts are divided by the runs' mean
length (the design effect of Kish, Survey Sampling, 1965).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import comb, exp, log

from qualification.messages import dimensions

LEVEL = 1e-6
"""Chance of ever naming a pattern in a cell that has none."""
_LEAST_REST = 0.05
"""Share of the frames that must be outside a pattern: handshakes alone are no counter-example."""
_CONTRAST = 10
"""By so much the rate inside exceeds that outside, or nothing is said."""
_SUPER_PACKET = 64.0
"""Most frames of one super-packet (include/linux/udp.h; 64 KiB of TCP makes fewer)."""
_EVEN_BAD = 100
_EVEN_P = 0.01
_MOST_PORTS = 4

_Values = Mapping[str, tuple[int, int]]
Shapes = Mapping[str, _Values]

_SAID = {
    (dimensions.PARITY, "odd"): "frames of odd length",
    (dimensions.PARITY, "even"): "frames of even length",
    (dimensions.PSH, "set"): "frames with PSH set, as the last of a super-packet has it",
    (dimensions.PSH, "not set"): "frames without PSH, as all but the last of a super-packet are",
    (dimensions.SIZE, dimensions.SHORT): "under 60 bytes",
    (dimensions.SIZE, dimensions.BARELY): "of 60 to 64 bytes",
    (dimensions.SIZE, dimensions.MIDDLE): "of 65 bytes and up, less than the MTU",
    (dimensions.SIZE, dimensions.FULL): "as large as the MTU",
}
_TESTED = (dimensions.PARITY, dimensions.SIZE, dimensions.PSH, dimensions.SOURCE_PORT)


@dataclass(frozen=True)
class Split:
    """The values of a dimension in which frames are wrong more often, against the rest.

    Attributes:
        dimension: Such as "length".
        values: Those with the higher rates, highest first.
        of: Number of values in all.
        frames: Frames that have one of the values.
        bad: Wrong ones among them.
        rest: Frames that have another.
        rest_bad: Wrong ones among those.
        p: Chance of a split as clear as this where the dimension means nothing.
    """

    dimension: str
    values: tuple[str, ...]
    of: int
    frames: int
    bad: int
    rest: int
    rest_bad: int
    p: float

    @property
    def deviance(self) -> float:
        """How much better two rates explain the bad frames than one: the likelihood ratio."""
        whole = _fit(self.bad + self.rest_bad, self.frames + self.rest)
        return 2 * (_fit(self.bad, self.frames) + _fit(self.rest_bad, self.rest) - whole)

    @property
    def decisive(self) -> bool:
        """Whether it says enough, besides being no chance."""
        enough = self.rest >= _LEAST_REST * (self.frames + self.rest)
        named = dimensions.OTHERS not in self.values
        return named and enough and self.bad * self.rest >= _CONTRAST * self.rest_bad * self.frames


def explain(shapes: Shapes, bad: int) -> str | None:
    """Which frames are wrong, in words; None where nothing can be said.

    Args:
        shapes: Frames and wrong ones among them, by dimension and value.
        bad: Wrong frames of the cell; a dimension that not all of them have a value in is no use.
    """
    if not bad:
        return None
    previous = shapes.get(dimensions.PREVIOUS, {})
    complete = [
        (name, shapes[name])
        for name in _TESTED
        if name in shapes and sum(wrong for _, wrong in shapes[name].values()) == bad
    ]
    splits = [_clearest(name, values, previous) for name, values in complete]
    tested = [split for split in splits if split is not None]
    held = [split for split in _holm(tested, LEVEL) if split.decisive]
    if held:
        best = max(split.deviance for split in held)
        # What explains as much cannot be told apart here, so each is named.
        return " or ".join(_sentence(split) for split in held if split.deviance >= 0.99 * best)
    run = _design_effect(previous)
    if bad >= _EVEN_BAD and tested and run < 1.5 and min(s.p for s in tested) > _EVEN_P:
        named = " and ".join(split.dimension for split in tested)
        return f"at random: {named} make{'s' if len(tested) == 1 else ''} no difference"
    return None


def _fit(bad: int, frames: int) -> float:
    """Log likelihood of a rate at its best."""
    right = frames - bad
    return sum(n * log(n / frames) for n in (bad, right) if n)


def _clearest(name: str, values: _Values, previous: _Values) -> Split | None:
    """The split of a dimension that chance explains least; None if there is nothing to split."""
    ranked = sorted(
        ((value, n, wrong) for value, (n, wrong) in values.items() if n),
        key=lambda v: (-v[2] / v[1], v[0]),
    )
    found = list(_splits(name, ranked, previous))
    return min(found, key=lambda split: (split.p, -split.deviance), default=None)


def _splits(name: str, ranked: list[tuple[str, int, int]], previous: _Values) -> Iterator[Split]:
    # Slow to import, and few cells fail.
    from numpy import array  # noqa: PLC0415
    from scipy.stats import fisher_exact  # noqa: PLC0415

    total = sum(n for _, n, _ in ranked)
    total_bad = sum(wrong for _, _, wrong in ranked)
    together = _design_effect(previous)
    frames = bad = 0
    for j, (_, n, wrong) in enumerate(ranked[:-1], 1):
        frames += n
        bad += wrong
        if ranked[j][2] * n == wrong * ranked[j][1]:
            continue  # the same rate on both sides: not where one would split
        rest, rest_bad = total - frames, total_bad - bad
        table = array(((bad, frames - bad), (rest_bad, rest - rest_bad))) / together
        p = float(fisher_exact(table.astype(int), alternative="greater").pvalue)
        # 0 is less than a float can say.
        tries = log(comb(len(ranked), j)) + log(len(ranked) - 1)
        p = exp(min(0.0, log(p) + tries)) if p else 0.0
        names = tuple(value for value, _, _ in ranked[:j])
        yield Split(name, names, len(ranked), frames, bad, rest, rest_bad, p)


def _design_effect(previous: _Values) -> float:
    """Wrong frames that count as one: the mean length of their runs, 1 at least.

    A flow that is wrong throughout is one long run, but made of many super-packets.

    Args:
        previous: Frames and wrong ones among them by what came before them in their flow.
    """
    following = previous.get("wrong", (0, 0))[1]
    runs = previous.get("right", (0, 0))[1]
    return min(_SUPER_PACKET, (following + runs) / runs if runs else following + 1.0)


def _holm(splits: list[Split], level: float) -> list[Split]:
    """Those whose p-value stands when all that were tried are paid for, in the order given."""
    held = []
    for tried, split in enumerate(sorted(splits, key=lambda s: s.p)):
        if split.p * (len(splits) - tried) > level:
            break
        held.append(split)
    return [split for split in splits if split in held]


def _sentence(split: Split) -> str:
    what, others = _words(split)
    if split.rest_bad:
        return (
            f"mostly {what} ({split.bad:,} of {split.frames:,}; "
            f"{split.rest_bad:,} of {split.rest:,} {others})"
        )
    return f"only {what} ({split.bad:,} of {split.frames:,}; none of {split.rest:,} {others})"


def _words(split: Split) -> tuple[str, str]:
    """What the frames of a split are, and what the others are."""
    if split.dimension == dimensions.SOURCE_PORT:
        ports = sorted(split.values)
        more = ", …" if len(ports) > _MOST_PORTS else ""
        named = ", ".join(ports[:_MOST_PORTS]) + more
        flows = f"{len(ports)} of {split.of} flows, as one transmit queue of several would"
        return f"frames from outer source ports {named} ({flows})", "from others"
    if split.dimension == dimensions.SIZE:
        return "frames " + " or ".join(_SAID[split.dimension, v] for v in split.values), "others"
    return _SAID[split.dimension, split.values[0]], "others"
