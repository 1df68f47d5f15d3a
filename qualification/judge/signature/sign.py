"""Signatures: what the hardware did, found in the bytes of bad frames, and never guessed.

`.collect` takes the frames apart into wrong fields, `.fitting` finds the hypothesis that explains
those of one layer, and this module puts the findings of all layers together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qualification.messages.bursts import SEGMENT, BadFrame
from qualification.plan.flows import Flow

from .bad_field import BadField, FieldKind
from .collect import collect
from .fitting import best_fit
from .hypotheses import CONSTANT
from .structure import structural


@dataclass(frozen=True)
class LayerFinding:
    """What one hypothesis explains.

    Attributes:
        name: Name of the fault, for example "seed-left".
        layer: The layer that it is about, for example "inner L4".
        text: What the hardware did.
        frames: The bad frames that it explains, by their index.
    """

    name: str
    layer: str
    text: str
    frames: frozenset[int]


@dataclass(frozen=True)
class Signature:
    """What the hardware did.

    Attributes:
        name: Name of the fault, for example "seed-left"; "noise" where the values look random,
            "unexplained" where nothing explains them.
        layer: The layer that it is about, for example "inner L4".
        sentence: For people, with the number of frames that support it.
        explained: Number of bad frames that it explains.
        of: Number of bad frames that were examined.
        also: Findings that explain other layers, or the other frames.
        unexplained: Number of frames that no finding explains.
    """

    name: str
    layer: str
    sentence: str
    explained: int
    of: int
    also: tuple[LayerFinding, ...] = ()
    unexplained: int = 0

    def __str__(self) -> str:
        """Returns it in one line."""
        return f"{self.name}, {self.layer}: {self.sentence}"


def sign(frames: Sequence[BadFrame], flow: Flow) -> Signature | None:
    """Finds what the hardware did to frames.

    Args:
        frames: Bad frames of one flow, in the order in which they arrived.
        flow: The flow.

    Returns:
        The signature; None where there are no frames.
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
    parts = [f"{first.text}; explains {len(first.frames):,} of {_count(len(frames))}"]
    parts += [f"{f.name}, {f.layer}, explains {len(f.frames):,}: {f.text}" for f in also]
    parts += [f"{left:,} are unexplained"] if left else []
    return Signature(
        first.name, first.layer, "; ".join(parts), len(first.frames), len(frames), tuple(also), left
    )


def right_unasked(frames: int) -> Signature:
    """Returns the signature of outer checksums that are right and were not asked for.

    Such frames are counted and not kept.

    Args:
        frames: Number of the frames.
    """
    text = "a checksum, a right one, where none was asked for"
    return Signature("unasked-outer", "outer L4", text, frames, frames)


def duplicated(frames: int) -> Signature:
    """Returns the signature of frames that arrived more often than they were submitted.

    They are right and not kept.

    Args:
        frames: How many arrived too many.
    """
    text = "frames were sent more often than they were submitted to the driver"
    return Signature("duplicated", SEGMENT, text, frames, frames)


def outer_port(frames: int) -> Signature:
    """Returns the signature of frames with an outer source port that was not submitted.

    They are right and not kept.

    Args:
        frames: How many they are.
    """
    text = "the outer source port is another one than the kernel wrote"
    return Signature("outer-header", SEGMENT, text, frames, frames)


def _count(frames: int) -> str:
    return f"{frames:,} wrong frame{'s' if frames > 1 else ''}"


def _explain(
    layer: str, kind: FieldKind, bad_fields: Sequence[BadField], flow: Flow
) -> Iterator[LayerFinding]:
    """Yields what explains one layer: what explains most of its frames first, then the rest."""
    if layer == "outer L4" and kind == "sum" and not flow.outer_checksum:
        yield _unasked(layer, bad_fields)
        return
    rest, first = list(bad_fields), True
    while rest and (found := best_fit(kind, rest, one_amount=first)):
        explained = frozenset(s.index for s in found.hits)
        yield LayerFinding(found.name, layer, found.text, explained)
        rest, first = [s for s in rest if s.index not in explained], False


def _unasked(layer: str, bad_fields: Sequence[BadField]) -> LayerFinding:
    """Explains wrong checksums where none was asked for, which is a fault by itself.

    If the value is the same whatever it should be, and in several streams, a device on the way took
    0 for a checksum and updated it (RFC 1624) for an address that it rewrote.
    """
    frames = frozenset(s.index for s in bad_fields)
    found = best_fit("sum", bad_fields, one_amount=True)
    text = "a checksum, and a wrong one, where none was asked for"
    if not found or found.name == "noise":
        return LayerFinding("unasked-outer", layer, text, frames)
    hits = found.hits
    streams = {s.packet.source_port for s in hits}
    if found.name == CONSTANT.name and len(streams) > 1 and hits[0].found % 65535:
        text = (
            f"0, for none, was changed to 0x{hits[0].found:04x} in {len(streams)} streams alike, "
            "as a translated address changes a checksum"
        )
        return LayerFinding("zero-updated", layer, text, frozenset(s.index for s in hits))
    return LayerFinding("unasked-outer", layer, f"{text} ({found.name}: {found.text})", frames)
