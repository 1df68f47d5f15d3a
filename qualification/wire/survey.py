"""Surveys a capture: counts frames by layer, by reason and by flow, and keeps wrong frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from .dissect import VXLAN_PORTS
from .layers import INNER_L4, LAYERS, OUTER_L4, Checked
from .sentences import sentences
from .verify import check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .dissect import Layout

    Outcomes = Counter[tuple["FlowKey | None", tuple[int, int, int, int, "str | None"]]]

WRONG, UNJUDGED, NOT_IP, RIGHT = "wrong", "unjudged", "not-ip", "right"


class FlowKey(NamedTuple):
    """Identifies a flow in a survey.

    Attributes:
        addresses: Outer source and destination address, concatenated, 8 or 32 bytes; empty if
            unreadable.
        vni: VXLAN network identifier; None outside a tunnel.
        inner_family: 4 or 6; None if there is no inner IP packet.
        protocol: IP protocol number of the inner packet; of the outer packet if there is no inner
            one.
    """

    addresses: bytes
    vni: int | None
    inner_family: int | None
    protocol: int

    @property
    def source(self) -> bytes:
        """Outer source address, 4 or 16 bytes."""
        return self.addresses[: len(self.addresses) // 2]

    @property
    def destination(self) -> bytes:
        """Outer destination address, 4 or 16 bytes."""
        return self.addresses[len(self.addresses) // 2 :]


@dataclass(frozen=True)
class LayerTally:
    """The number of frames for each outcome of one layer, as in `Checked`."""

    good: int
    bad: int
    absent: int
    unjudged: int


@dataclass(frozen=True)
class FlowTally:
    """The number of frames of one flow; those neither wrong nor unjudged are right."""

    flow: FlowKey
    frames: int
    wrong: int
    unjudged: int


@dataclass(frozen=True)
class WrongFrame:
    """A wrong frame, kept as evidence.

    Attributes:
        number: The number of the frame in the capture, from 1 as in Wireshark.
        frame: The bytes captured.
        wire_length: Length of the frame on the wire.
        checked: The result of its check.
        sentences: The result in words.
    """

    number: int
    frame: bytes
    wire_length: int
    checked: Checked
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Survey:
    """The result of a survey. Every frame is one of right, wrong, unjudged and not IP.

    Attributes:
        frames: The number of all frames.
        right: Frames without a bad or unjudged layer.
        wrong: Frames with a bad layer.
        unjudged: Frames with an unjudged layer, but no bad one.
        not_ip: Frames without an IP packet, which have no checksum.
        tunnelled: Frames with a VXLAN header.
        proven: Tunnelled frames with at least one UDP, TCP or ICMP checksum found right or wrong.
        layers: The outcomes of each layer by its name, outermost first.
        reasons: The number of unjudged frames by `reason`, most frequent first.
        flows: IP frames by flow, those with the most wrong frames first, then the largest.
        bad_frames: The first wrong frames.
    """

    frames: int
    right: int
    wrong: int
    unjudged: int
    not_ip: int
    tunnelled: int
    proven: int
    layers: dict[str, LayerTally]
    reasons: dict[str, int]
    flows: tuple[FlowTally, ...]
    bad_frames: tuple[WrongFrame, ...]


def survey(
    frames: Iterable[tuple[bytes, int]],
    ports: frozenset[int] = VXLAN_PORTS,
    keep: int = 16,
    each: Callable[[int, Checked], None] | None = None,
) -> Survey:
    """Checks and counts all frames.

    Args:
        frames: The captured bytes and the length on the wire of each, as from `capture_file`.
        ports: UDP destination ports of VXLAN.
        keep: The most wrong frames to keep.
        each: Called with the number and outcome of every frame.
    """
    counting = SurveyCounter(ports, keep)
    for number, (frame, wire_length) in enumerate(frames, 1):
        checked = counting.take(number, frame, wire_length)
        if each is not None:
            each(number, checked)
    return counting.survey()


class SurveyCounter:
    """Counts the frames of a survey.

    Attributes:
        ports: UDP destination ports of VXLAN.
        keep: The most wrong frames to keep.
        outcomes: Frames by flow and outcome. Distinct outcomes are few, so a frame only increments
            one counter, and everything else is derived at the end.
        bad_frames: The first wrong frames, at most `keep`.
    """

    def __init__(self, ports: frozenset[int], keep: int) -> None:
        self.ports = ports
        self.keep = keep
        self.outcomes: Outcomes = Counter()
        self.bad_frames: list[WrongFrame] = []

    def take(self, number: int, frame: bytes, wire_length: int) -> Checked:
        """Checks and counts a frame."""
        checked = check(frame, wire_length, self.ports)
        flow = None if checked.layout is None else flow_of(checked.layout)
        self.outcomes[flow, checked[:5]] += 1
        if checked.bad:
            self.keep_bad(number, frame, wire_length, checked)
        return checked

    def keep_bad(self, number: int, frame: bytes, wire_length: int, checked: Checked) -> None:
        """Keeps a wrong frame as evidence, unless `keep` frames are kept already."""
        if len(self.bad_frames) < self.keep:
            words = tuple(sentences(frame, checked))
            self.bad_frames.append(WrongFrame(number, frame, wire_length, checked, words))

    def survey(self) -> Survey:
        """Returns the survey of the frames counted so far."""
        return _add_up(self.outcomes, tuple(self.bad_frames))


def verdict_of(checked: Checked) -> str:
    """Returns WRONG, UNJUDGED, NOT_IP or RIGHT for a frame."""
    if checked.bad:
        return WRONG
    if checked.unjudged or checked.reason == "truncated":
        return UNJUDGED
    return RIGHT if checked.good or checked.absent else NOT_IP


def flow_of(layout: Layout) -> FlowKey:
    """Returns the flow that a frame belongs to."""
    outer, inner = layout.outer, layout.inner
    return FlowKey(
        outer.addresses,
        layout.vni,
        inner and inner.family,
        outer.protocol if inner is None else inner.protocol,
    )


def _add_up(outcomes: Outcomes, bad_frames: tuple[WrongFrame, ...]) -> Survey:
    verdicts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    by_flow: dict[FlowKey, Counter[str]] = {}
    tunnelled = proven = 0
    for (flow, outcome), count in outcomes.items():
        checked = Checked(*outcome, None)
        verdict = verdict_of(checked)
        verdicts[verdict] += count
        if verdict == UNJUDGED:
            reasons[checked.reason or "unknown"] += count
        if flow is not None:
            by_flow.setdefault(flow, Counter())[verdict] += count
            if flow.vni is not None:
                tunnelled += count
                if (checked.good | checked.bad) & (OUTER_L4 | INNER_L4):
                    proven += count
    flows = [
        FlowTally(flow, sum(tally.values()), tally[WRONG], tally[UNJUDGED])
        for flow, tally in by_flow.items()
    ]
    flows.sort(
        key=lambda each: (-each.wrong, -each.frames, each.flow.source, each.flow.destination)
    )
    return Survey(
        frames=sum(verdicts.values()),
        right=verdicts[RIGHT],
        wrong=verdicts[WRONG],
        unjudged=verdicts[UNJUDGED],
        not_ip=verdicts[NOT_IP],
        tunnelled=tunnelled,
        proven=proven,
        layers={name: _layer_tally(outcomes, bit) for bit, name in LAYERS.items()},
        reasons=dict(reasons.most_common()),
        flows=tuple(flows),
        bad_frames=bad_frames,
    )


def _layer_tally(outcomes: Outcomes, bit: int) -> LayerTally:
    """Counts the outcomes of one layer."""
    tally: Counter[str | None] = Counter()
    for (_, outcome), count in outcomes.items():
        tally[Checked(*outcome, None).state(bit)] += count
    return LayerTally(tally["good"], tally["bad"], tally["absent"], tally["unjudged"])
