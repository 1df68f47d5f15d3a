"""Says which frames of a cell are wrong: those of one kind, or any. Pure.

The frames of a cell are counted by dimension and value (`qualification.messages.dimensions`). In
each dimension the values with the highest rates of wrong frames are split off from the rest, and
the split is tested exactly (Fisher, The Design of Experiments, 1935). Multiple testing is corrected
for: a split into j of k values is the best of C(k, j), each j is one of k - 1 attempts, and Holm's
procedure (Scandinavian Journal of Statistics 6, 1979) corrects over the dimensions.

Frames of one super-packet may go wrong together, and then are no independent observations. A wrong
frame that follows a right one of its flow begins a run, and counts are divided by the runs' mean
length (the design effect of Kish, Survey Sampling, 1965).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import comb, exp, log

from qualification.messages import dimensions

from .statistics import fisher

LEVEL = 1e-6
"""Probability of naming a pattern in a cell that has none."""
_LEAST_REST = 0.05
"""Least share of the frames outside a pattern: handshakes alone are no counter-example."""
_CONTRAST = 10
"""Least ratio of the rate inside a pattern to the rate outside."""
_SUPER_PACKET = 64.0
"""Most frames of one super-packet (include/linux/udp.h; 64 KiB of TCP makes fewer)."""
_EVEN_BAD = 100
"""Least number of wrong frames before they are called random."""
_EVEN_P = 0.01
"""Least p-value of every split of frames that are called random."""
_MOST_PORTS = 4

_Values = Mapping[str, tuple[int, int]]
Shapes = Mapping[str, _Values]
"""Frames and wrong ones among them, by dimension and value."""

_TEXTS = {
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
        dimension: Name of the dimension, for example "length".
        values: The values with the higher rates, highest first.
        of: Number of values in all.
        frames: Frames that have one of the values.
        bad: Wrong frames among them.
        rest: Frames that have another value.
        rest_bad: Wrong frames among the rest.
        p: Probability of so clear a split where the dimension makes no difference.
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
        """Likelihood ratio: how much better two rates explain the wrong frames than one."""
        whole = _log_likelihood(self.bad + self.rest_bad, self.frames + self.rest)
        inside = _log_likelihood(self.bad, self.frames)
        return 2 * (inside + _log_likelihood(self.rest_bad, self.rest) - whole)

    @property
    def decisive(self) -> bool:
        """Whether the split is large and clear enough to be reported, apart from its p-value."""
        enough = self.rest >= _LEAST_REST * (self.frames + self.rest)
        named = dimensions.OTHERS not in self.values
        return named and enough and self.bad * self.rest >= _CONTRAST * self.rest_bad * self.frames


def explain(shapes: Shapes, bad: int) -> str | None:
    """Returns a phrase that says which frames are wrong, or None where nothing can be said.

    Args:
        shapes: Frames and wrong ones among them, by dimension and value.
        bad: Wrong frames of the cell. Dimensions in which some of them have no value are ignored.
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
    significant = [split for split in _holm(tested, LEVEL) if split.decisive]
    if significant:
        best = max(split.deviance for split in significant)
        # Dimensions that explain the frames equally well cannot be told apart: each is named.
        return " or ".join(
            _sentence(split) for split in significant if split.deviance >= 0.99 * best
        )
    run = _design_effect(previous)
    if bad >= _EVEN_BAD and tested and run < 1.5 and min(s.p for s in tested) > _EVEN_P:
        named = " and ".join(split.dimension for split in tested)
        return f"at random: {named} make{'s' if len(tested) == 1 else ''} no difference"
    return None


def _log_likelihood(bad: int, frames: int) -> float:
    """Returns the log-likelihood of the counts at the rate that fits them best.

    Written out, because `scipy.stats.chi2_contingency`, which has the likelihood ratio, refuses a
    table without right frames.
    """
    right = frames - bad
    return sum(n * log(n / frames) for n in (bad, right) if n)


def _clearest(name: str, values: _Values, previous: _Values) -> Split | None:
    """Returns the split of a dimension with the least p-value; None if there is none."""
    ranked = sorted(
        ((value, n, wrong) for value, (n, wrong) in values.items() if n),
        key=lambda v: (-v[2] / v[1], v[0]),
    )
    found = list(_splits(name, ranked, previous))
    return min(found, key=lambda split: (split.p, -split.deviance), default=None)


def _splits(name: str, ranked: list[tuple[str, int, int]], previous: _Values) -> Iterator[Split]:
    total = sum(n for _, n, _ in ranked)
    total_bad = sum(wrong for _, _, wrong in ranked)
    together = _design_effect(previous)
    frames = bad = 0
    for j, (_, n, wrong) in enumerate(ranked[:-1], 1):
        frames += n
        bad += wrong
        if ranked[j][2] * n == wrong * ranked[j][1]:
            continue  # the next value has the same rate, so there is no boundary here
        rest, rest_bad = total - frames, total_bad - bad
        counts = [bad, frames - bad, rest_bad, rest - rest_bad]
        b, g, rest_b, rest_g = (int(count / together) for count in counts)
        p = fisher(b, b + g, rest_b, rest_b + rest_g)
        # p is 0 where it is less than a float can hold.
        attempts = log(comb(len(ranked), j)) + log(len(ranked) - 1)
        p = exp(min(0.0, log(p) + attempts)) if p else 0.0
        names = tuple(value for value, _, _ in ranked[:j])
        yield Split(name, names, len(ranked), frames, bad, rest, rest_bad, p)


def _design_effect(previous: _Values) -> float:
    """Returns how many wrong frames count as one: the mean length of their runs, 1 at least.

    A flow of which every frame is wrong is one long run, but consists of many super-packets.

    Args:
        previous: Frames and wrong ones among them by what came before them in their flow.
    """
    following = previous.get("wrong", (0, 0))[1]
    runs = previous.get("right", (0, 0))[1]
    return min(_SUPER_PACKET, (following + runs) / runs if runs else following + 1.0)


def _holm(splits: list[Split], level: float) -> list[Split]:
    """Returns the splits that are significant by Holm's procedure, in the order given.

    Written out, because SciPy has no procedure for the family-wise error rate
    (`scipy.stats.false_discovery_control` controls another one).
    """
    significant = []
    for rank, split in enumerate(sorted(splits, key=lambda s: s.p)):
        if split.p * (len(splits) - rank) > level:
            break
        significant.append(split)
    return [split for split in splits if split in significant]


def _sentence(split: Split) -> str:
    what, others = _texts(split)
    if split.rest_bad:
        return (
            f"mostly {what} ({split.bad:,} of {split.frames:,}; "
            f"{split.rest_bad:,} of {split.rest:,} {others})"
        )
    return f"only {what} ({split.bad:,} of {split.frames:,}; none of {split.rest:,} {others})"


def _texts(split: Split) -> tuple[str, str]:
    """Returns what the frames inside a split are called, and what the others are called."""
    if split.dimension == dimensions.SOURCE_PORT:
        ports = sorted(split.values)
        more = ", …" if len(ports) > _MOST_PORTS else ""
        named = ", ".join(ports[:_MOST_PORTS]) + more
        flows = f"{len(ports)} of {split.of} flows, as one transmit queue of several would"
        return f"frames from outer source ports {named} ({flows})", "from others"
    if split.dimension == dimensions.SIZE:
        return "frames " + " or ".join(_TEXTS[split.dimension, v] for v in split.values), "others"
    return _TEXTS[split.dimension, split.values[0]], "others"
