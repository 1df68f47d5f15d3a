"""Finds the hypothesis that explains the wrong fields of one layer, if it is no coincidence.

A 16-bit field fits a value by chance once in 65,535. A hypothesis is named only where its hits are
no chance: less than once in a million by the binomial distribution, after correction for the number
of hypotheses tried. Frames whose fields differ from the right value by the same amount count once
there, because they would fit or fail together. Where all differ by the same amount, or there is a
single frame, that threshold cannot be reached. Then a hypothesis without a parameter to choose is
named if it explains (nearly) all frames, and one with few parameters if at least three different
frames support it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from qualification.judge.statistics import binomial_tail

from .bad_field import BadField, FieldKind
from .hypotheses import (
    CLIPPED,
    CLIPPED_OVER,
    CONSTANT,
    CONSTANT_DIFFERENCE,
    HEADERS,
    LENGTHS,
    SHARED_SUMS,
    SUMS,
    Hypothesis,
    Shared,
    carried,
    clipped,
)

_CHANCE = 1e-6
_ONE_AMOUNT_CHANCE = 1e-3  # of a fit, where every frame differs by the same amount
_NEARLY_ALL = 0.9
_SOME = 0.5  # least share of the frames for what says how they differ, and not why
_ENOUGH = 3  # different frames
_NOISE = 16  # least number of frames that are called noise

_TABLES: dict[FieldKind, tuple[Hypothesis | Shared, ...]] = {
    # Tried after those of CLIPPED that `clipped` selects.
    "sum": (*CLIPPED_OVER, *SUMS, *SHARED_SUMS),
    "header": HEADERS,
    "length": LENGTHS,
}


@dataclass(frozen=True)
class Fit:
    """What explains some of the wrong fields of a layer.

    Attributes:
        name: Name of the fault.
        text: What the hardware did.
        hits: The fields that it explains.
    """

    name: str
    text: str
    hits: Sequence[BadField]


def best_fit(kind: FieldKind, bad_fields: Sequence[BadField], *, one_amount: bool) -> Fit | None:
    """Returns the most telling of what explains nearly as many frames as anything does.

    Args:
        kind: The kind of the fields.
        bad_fields: Wrong fields of one layer.
        one_amount: Whether fields that all differ by the same amount may be explained.
    """
    table = _TABLES[kind]
    first: Iterable[Hypothesis | Shared] = clipped(bad_fields) if kind == "sum" else ()
    tried = len(table) + (len(CLIPPED) if kind == "sum" else 0)
    found = (
        _fit_shared(hypothesis, bad_fields, tried)
        if isinstance(hypothesis, Shared)
        else _fit(hypothesis, bad_fields, tried, one_amount)
        for hypothesis in chain(first, table)
    )
    named = _most(found, len(bad_fields))
    pseudo_sums = _fit_pseudo_sums(bad_fields, tried) if kind == "sum" else None
    tiers = [named]
    if kind != "length":
        # The pseudo-header sum of a single super-packet is a constant, too. Frames of others, or
        # single packets, that hold theirs tell them apart.
        least = max(_SOME * len(bad_fields), len(_alike(pseudo_sums, named)))
        weak = (_fit_shared(each, bad_fields, tried) for each in (CONSTANT, CONSTANT_DIFFERENCE))
        tiers += [
            Fit("ip-header", fit.text, fit.hits) if kind == "header" else fit
            for fit in weak
            if fit and len(fit.hits) >= least
        ]
    if kind == "sum":
        tiers.append(pseudo_sums)
        known = next((tier for tier in tiers if tier), None)
        tiers.append(_noise(bad_fields, known.hits if known else ()))
    most = max((len(tier.hits) for tier in tiers if tier), default=0)
    return next((tier for tier in tiers if tier and len(tier.hits) >= _NEARLY_ALL * most), None)


def _alike(fit: Fit | None, other: Fit | None) -> frozenset[int]:
    """Returns the frames that a fit explains, by their index, with those of one of its name."""
    fits = [each for each in (fit, other) if fit and each and each.name == fit.name]
    return frozenset(s.index for each in fits for s in each.hits)


def _most(found: Iterable[Fit | None], of: int) -> Fit | None:
    """Returns the first fit of those that explain most, and stops at one that explains all."""
    most: Fit | None = None
    for each in found:
        if each and (most is None or len(each.hits) > len(most.hits)):
            most = each
            if len(each.hits) == of:
                break
    return most


def _fit(
    hypothesis: Hypothesis, bad_fields: Sequence[BadField], tried: int, one_amount: bool
) -> Fit | None:
    """Returns what a hypothesis explains, if that is no chance."""
    ways, hits = 0, []
    for bad_field in bad_fields:
        candidates = hypothesis.candidates(bad_field)
        ways = max(ways, len(candidates))
        if hypothesis.fits(bad_field, candidates):
            hits.append(bad_field)
    amounts = len({s.difference for s in hits})
    if amounts > 1:
        of = len({s.difference for s in bad_fields})
        named = tried * binomial_tail(amounts, of, ways / 65535) < _CHANCE
    else:
        different = len({carried(s) for s in hits})
        named = (
            one_amount
            and bool(hits)
            and len(hits) >= _NEARLY_ALL * len(bad_fields)
            and (hypothesis.alone or different >= _ENOUGH)
            and ways / 65535 < _ONE_AMOUNT_CHANCE
        )
    return Fit(hypothesis.name, hypothesis.text, hits) if named else None


def _fit_shared(hypothesis: Shared, bad_fields: Sequence[BadField], tried: int) -> Fit | None:
    """Returns what a hypothesis with an unknown explains, with the value that most frames share."""
    groups: dict[int, list[BadField]] = {}
    ways, observations = 0, set()
    for bad_field in bad_fields:
        values = hypothesis.unknown(bad_field)
        ways = max(ways, len(values))
        if values:
            observations.add(hypothesis.differs(bad_field))
        for value in values:
            groups.setdefault(value, []).append(bad_field)
    if not groups:
        return None
    value, hits = max(groups.items(), key=lambda group: len(group[1]))
    different = len({hypothesis.differs(s) for s in hits})
    of = len(observations)
    # The first observation sets the value, whichever it is; each of the others meets it or not.
    chance = tried * of * ways * binomial_tail(different - 1, of - 1, ways / 65535)
    if different < _ENOUGH or chance >= _CHANCE:
        return None
    return Fit(hypothesis.name, hypothesis.text.format(value=f"0x{value:04x}"), hits)


def _fit_pseudo_sums(bad_fields: Sequence[BadField], tried: int) -> Fit | None:
    """Returns the fields that hold the pseudo-header sums of super-packets of unknown length.

    The pseudo-header sum of a super-packet has its whole length in it. Frames of one stream that
    imply the same length, whatever they carry, are segments of one super-packet; two others imply
    the same length once in 65,535.
    """
    groups: dict[tuple[object, int], dict[bytes, list[BadField]]] = {}
    for s in bad_fields:
        length = (s.found - s.pseudo_sum + s.size) % 65535
        if length > s.size:
            same = groups.setdefault((s.packet.source_port, length), {})
            same.setdefault(carried(s), []).append(s)
    shared = [group for group in groups.values() if len(group) > 1]
    confirmed = sum(len(group) - 1 for group in shared)
    of = len(bad_fields)
    if tried * binomial_tail(confirmed, of, of / 65535) >= _CHANCE:
        return None
    hits = [s for group in shared for same in group.values() for s in same]
    text = "the field still holds the pseudo-header sum of a super-packet: nothing was summed"
    return Fit("seed-left", text, hits)


def _noise(bad_fields: Sequence[BadField], known: Sequence[BadField]) -> Fit | None:
    """Returns the fields that nothing explains, if their differences look random.

    Both halves of the difference are compared with a uniform distribution by the test of Kolmogorov
    and Smirnov.

    Args:
        bad_fields: Wrong fields of one layer.
        known: Those that something explains.
    """
    explained = {s.index for s in known}
    rest = [s for s in bad_fields if s.index not in explained]
    amounts = [s.difference for s in rest]
    if len(rest) < _NOISE or max(Counter(amounts).values()) >= _ENOUGH:
        return None
    # Slow to import, and few cells fail this way.
    from scipy.stats import kstest  # noqa: PLC0415

    for shares in (amounts, [(amount << 8) % 65535 for amount in amounts]):
        if kstest([share / 65535 for share in shares], "uniform").pvalue < _CHANCE:
            return None
    text = "the values look random: their differences are uniform, and nothing explains them"
    return Fit("noise", text, rest)
