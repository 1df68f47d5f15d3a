"""Signatures: what the hardware did, told from the bytes of bad frames; a guess is no answer.

A 16-bit field fits a value by chance once in 65,535. A hypothesis is named only where chance can't
be the reason: with all that was tried counted in, less than once in a million by the binomial
bound. Frames that are off by the same amount count once there, for they would fit or fail
together. Where all are off by the same amount, or there is a single frame, that bound is out of
reach; then one without any parameter to choose is named if it explains (nearly) all, and one with
few parameters if three different frames or more bear it out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from qualification.messages.bursts import SEGMENT, BadFrame
from qualification.plan.flows import Flow

from .bad_field import BadField, FieldKind, collect
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
from .structure import structural

_CHANCE = 1e-6
_ONE_AMOUNT_CHANCE = 1e-3  # of a fit, where every frame is off by the same amount
_NEARLY_ALL = 0.9
_SOME = 0.5  # of the frames, at least, for what says how they are off and not why
_ENOUGH = 3  # different frames
_NOISE = 16  # frames, before anything is called noise

_TABLES: dict[FieldKind, tuple[Hypothesis | Shared, ...]] = {
    "sum": (*CLIPPED_OVER, *SUMS, *SHARED_SUMS),  # behind CLIPPED, of which few are ever to try
    "header": HEADERS,
    "length": LENGTHS,
}


@dataclass(frozen=True)
class LayerFinding:
    """What one hypothesis explains.

    Attributes:
        name: Such as "seed-left".
        layer: The layer it speaks of, "inner L4".
        text: What the hardware did.
        frames: The bad frames it explains, by their place.
    """

    name: str
    layer: str
    text: str
    frames: frozenset[int]


@dataclass(frozen=True)
class Signature:
    """What the hardware did.

    Attributes:
        name: Such as "seed-left"; "noise" of values that look random, "unexplained" of others.
        layer: The layer it speaks of, "inner L4".
        sentence: For people, with its support.
        explained: Bad frames that it explains.
        of: Bad frames looked at.
        also: What explains other layers, or the other frames.
        unexplained: Frames that none of them explains.
    """

    name: str
    layer: str
    sentence: str
    explained: int
    of: int
    also: tuple[LayerFinding, ...] = ()
    unexplained: int = 0

    def __str__(self) -> str:
        """Give it in one line."""
        return f"{self.name}, {self.layer}: {self.sentence}"


def sign(frames: Sequence[BadFrame], flow: Flow) -> Signature | None:
    """Says what the hardware did to frames.

    Args:
        frames: Bad frames of one flow, in the order in which they came.
        flow: What is known of it.

    Returns:
        None of no frames.
    """
    if not frames:
        return None
    findings = [
        finding
        for (layer, kind), bad_fields in collect(frames, flow).items()
        for finding in _explain(layer, kind, bad_fields, flow)
    ]
    findings += [LayerFinding(name, SEGMENT, text, hits) for name, text, hits in structural(frames)]
    if not findings:
        layers = Counter(layer for frame in frames for layer in frame.layers)
        layer = layers.most_common(1)[0][0] if layers else "no layer"
        text = f"no hypothesis explains the {_count(len(frames))} looked at"
        return Signature("unexplained", layer, text, 0, len(frames), (), len(frames))
    first, *also = sorted(findings, key=lambda finding: -len(finding.frames))
    explained = frozenset[int]().union(*(finding.frames for finding in findings))
    left = len(frames) - len(explained)
    said = [f"{first.text}; explains {len(first.frames):,} of {_count(len(frames))}"]
    said += [f"{f.name}, {f.layer}, explains {len(f.frames):,}: {f.text}" for f in also]
    said += [f"{left:,} are unexplained"] if left else []
    return Signature(
        first.name, first.layer, "; ".join(said), len(first.frames), len(frames), tuple(also), left
    )


def right_unasked(frames: int) -> Signature:
    """What is said of outer checksums that are right and were not asked for: no frame is kept."""
    text = "a checksum, a right one, where none was asked for"
    return Signature("unasked-outer", "outer L4", text, frames, frames)


def _count(frames: int) -> str:
    return f"{frames:,} wrong frame{'s' if frames > 1 else ''}"


def _explain(
    layer: str, kind: FieldKind, bad_fields: Sequence[BadField], flow: Flow
) -> Iterator[LayerFinding]:
    """What explains one layer: the most of it first, then the rest."""
    if layer == "outer L4" and kind == "sum" and not flow.outer_checksum:
        yield _unasked(layer, bad_fields)
        return
    rest, first = list(bad_fields), True
    while rest and (found := _best(kind, rest, one_amount=first)):
        name, text, hits = found
        yield LayerFinding(name, layer, text, frozenset(s.index for s in hits))
        explained = {s.index for s in hits}
        rest, first = [s for s in rest if s.index not in explained], False


_Found = tuple[str, str, Sequence[BadField]]


def _best(kind: FieldKind, bad_fields: Sequence[BadField], *, one_amount: bool) -> _Found | None:
    """The most telling of what explains nearly as many frames as anything does."""
    table = _TABLES[kind]
    first: Iterable[Hypothesis | Shared] = clipped(bad_fields) if kind == "sum" else ()
    tried = len(table) + (len(CLIPPED) if kind == "sum" else 0)
    found = (
        _shared(hypothesis, bad_fields, tried)
        if isinstance(hypothesis, Shared)
        else _plain(hypothesis, bad_fields, tried, one_amount)
        for hypothesis in chain(first, table)
    )
    tiers = [_most(found, len(bad_fields))]
    if kind != "length":
        weak = (_shared(each, bad_fields, tried) for each in (CONSTANT, CONSTANT_DIFFERENCE))
        tiers += [
            _as_header(kind, weakly)
            for weakly in weak
            if weakly and len(weakly[2]) >= _SOME * len(bad_fields)
        ]
    if kind == "sum":
        # A constant is the seed of one super-packet as well: it takes several to tell.
        tiers.append(_seeds_of_super_packets(bad_fields, tried))
        known = next((tier for tier in tiers if tier), None)
        tiers.append(_noise(bad_fields, known[2] if known else ()))
    most = max((len(tier[2]) for tier in tiers if tier), default=0)
    return next((tier for tier in tiers if tier and len(tier[2]) >= _NEARLY_ALL * most), None)


def _most(found: Iterable[_Found | None], of: int) -> _Found | None:
    """The first of those that explain most: one that explains all is preferred to any behind it."""
    most: _Found | None = None
    for each in found:
        if each and (most is None or len(each[2]) > len(most[2])):
            most = each
            if len(each[2]) == of:
                break
    return most


def _as_header(kind: FieldKind, found: _Found) -> _Found:
    return ("ip-header", *found[1:]) if kind == "header" else found


def _plain(
    hypothesis: Hypothesis, bad_fields: Sequence[BadField], tried: int, one_amount: bool
) -> _Found | None:
    """What a hypothesis explains, if that is no chance."""
    ways, hits = 0, []
    for bad_field in bad_fields:
        candidates = hypothesis.candidates(bad_field)
        ways = max(ways, len(candidates))
        if hypothesis.fits(bad_field, candidates):
            hits.append(bad_field)
    amounts = len({s.off for s in hits})
    if amounts > 1:
        of = len({s.off for s in bad_fields})
        named = tried * _tail(amounts, of, ways / 65535) < _CHANCE
    else:
        different = len({carried(s) for s in hits})
        named = (
            one_amount
            and bool(hits)
            and len(hits) >= _NEARLY_ALL * len(bad_fields)
            and (hypothesis.alone or different >= _ENOUGH)
            and ways / 65535 < _ONE_AMOUNT_CHANCE
        )
    return (hypothesis.name, hypothesis.text, hits) if named else None


def _shared(hypothesis: Shared, bad_fields: Sequence[BadField], tried: int) -> _Found | None:
    """The same for one with an unknown: that which most frames have in common."""
    groups: dict[int, list[BadField]] = {}
    ways, speaking = 0, set()
    for bad_field in bad_fields:
        values = hypothesis.unknown(bad_field)
        ways = max(ways, len(values))
        if values:
            speaking.add(hypothesis.differs(bad_field))
        for value in values:
            groups.setdefault(value, []).append(bad_field)
    if not groups:
        return None
    value, hits = max(groups.items(), key=lambda group: len(group[1]))
    different = len({hypothesis.differs(s) for s in hits})
    of = len(speaking)
    # The first sets the value, whichever it is; each of the others meets it or does not.
    chance = tried * of * ways * _tail(different - 1, of - 1, ways / 65535)
    if different < _ENOUGH or chance >= _CHANCE:
        return None
    return hypothesis.name, hypothesis.text.format(value=f"0x{value:04x}"), hits


def _seeds_of_super_packets(bad_fields: Sequence[BadField], tried: int) -> _Found | None:
    """Seeds left in the segments of several super-packets, whose lengths are not known.

    A seed has the length of all of its super-packet in it. Frames of one stream that imply the same
    length, whatever they carry, came of one; two others do so once in 65,535.
    """
    groups: dict[tuple[object, int], dict[bytes, list[BadField]]] = {}
    for s in bad_fields:
        length = (s.found - s.seed + s.size) % 65535
        if length > s.size:
            same = groups.setdefault((s.packet.source_port, length), {})
            same.setdefault(carried(s), []).append(s)
    shared = [group for group in groups.values() if len(group) > 1]
    borne_out = sum(len(group) - 1 for group in shared)
    of = len(bad_fields)
    if tried * _tail(borne_out, of, of / 65535) >= _CHANCE:
        return None
    hits = [s for group in shared for same in group.values() for s in same]
    return "seed-left", "the field still holds the seed of a super-packet: nothing was summed", hits


def _noise(bad_fields: Sequence[BadField], known: Sequence[BadField]) -> _Found | None:
    """What nothing explains, if the amounts by which it is off are spread as chance spreads them.

    Both halves of the word are looked at, by the bound of Dvoretzky, Kiefer, Wolfowitz and Massart
    on the distance to a uniform distribution.
    """
    explained = {s.index for s in known}
    rest = [s for s in bad_fields if s.index not in explained]
    amounts = [s.off for s in rest]
    if len(rest) < _NOISE or max(Counter(amounts).values()) >= _ENOUGH:
        return None
    reach = math.sqrt(math.log(2 / _CHANCE) / (2 * len(rest)))
    for shares in (amounts, [(amount << 8) % 65535 for amount in amounts]):
        ordered = sorted(share / 65535 for share in shares)
        if any(abs(x - (i + 0.5) / len(rest)) > reach for i, x in enumerate(ordered)):
            return None
    text = "the values look random: they are off as chance has it, and nothing explains them"
    return "noise", text, rest


def _unasked(layer: str, bad_fields: Sequence[BadField]) -> LayerFinding:
    """A wrong checksum where none was asked for: that alone says what the hardware did.

    If it is the same whatever it should be, and for several streams, a device on the way took 0
    for a checksum and updated it (RFC 1624) for an address that it rewrote.
    """
    frames = frozenset(s.index for s in bad_fields)
    found = _best("sum", bad_fields, one_amount=True)
    text = "a checksum, and a wrong one, where none was asked for"
    if not found or found[0] == "noise":
        return LayerFinding("unasked-outer", layer, text, frames)
    name, why, hits = found
    streams = {s.packet.source_port for s in hits}
    if name == CONSTANT.name and len(streams) > 1 and hits[0].found % 65535:
        text = (
            f"0, for none, was changed to 0x{hits[0].found:04x} in {len(streams)} streams alike, "
            "as a translated address changes a checksum"
        )
        return LayerFinding("zero-updated", layer, text, frozenset(s.index for s in hits))
    return LayerFinding("unasked-outer", layer, f"{text} ({name}: {why})", frames)


def _tail(least: int, of: int, chance: float) -> float:
    """Bound on the probability of at least so many hits, by the union of all choices."""
    if least <= 0:
        return 1.0
    if chance <= 0:
        return 0.0
    choices = math.lgamma(of + 1) - math.lgamma(least + 1) - math.lgamma(of - least + 1)
    return math.exp(min(0.0, choices + least * math.log(chance)))
