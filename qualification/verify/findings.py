"""What `vxqual verify` finds out about one capture, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from qualification.errors import EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED
from qualification.stack.classes import (
    Class,
    Context,
    Side,
    Tally,
    class_of,
    context_of,
    is_wrong_on_wire,
    tally,
)
from qualification.stack.codes import State

from .words import path_of, reason

if TYPE_CHECKING:
    from qualification.stack.counting import Counting, KeptFrame

STATES = ("right", "wrong", "not filled in", "length", "no checksum", "not judged")
"""The columns of the table of layers."""


class Flow(NamedTuple):
    """What the frames of a flow have in common; see `stack.outcomes.Outcome`."""

    addresses: bytes
    vni: int | None
    family: int
    protocol: int


@dataclass(frozen=True)
class FlowTally:
    """The number of frames of one flow: all, wrong on the wire, not judged."""

    flow: Flow
    frames: int
    wrong: int
    unjudged: int


@dataclass(frozen=True)
class Findings:
    """What was found in a capture.

    Attributes:
        counting: The outcomes, and the frames that were kept.
        context: What the capture as a whole says about its frames.
        tally: The number of frames by class.
        layers: For each layer, as a path through the tunnels, the number of sums by `STATES`.
        reasons: The number of frames that were not judged, by reason.
        flows: IP frames by flow, those with the most wrong frames first, then the largest.
        noticed: UDP ports with VXLAN that nobody named, and their frames.
    """

    counting: Counting
    context: Context
    tally: Tally
    layers: dict[str, dict[str, int]]
    reasons: dict[str, int]
    flows: tuple[FlowTally, ...]
    noticed: dict[int, int]

    @property
    def exit_code(self) -> int:
        """1 for frames that can have been wrong on the wire, 10 for no result, 0 for right."""
        if self.tally.wrong:
            return EXIT_NOT_QUALIFIED
        return EXIT_LAB if self.counting.trouble or self.mostly_unjudged else EXIT_QUALIFIED

    @property
    def mostly_unjudged(self) -> bool:
        """Whether what was judged is less than half of what has checksums, or nothing."""
        return self.tally.judged == 0 or self.tally.unjudged > self.tally.judged

    def class_of(self, kept: KeptFrame) -> Class:
        """Returns the class of a frame."""
        return class_of(kept.outcome, self.context)

    def is_wrong(self, kept: KeptFrame) -> bool:
        """Returns whether a frame can have been wrong on the wire."""
        return is_wrong_on_wire(kept.outcome, self.context)


def findings_of(counting: Counting, side: Side | None = None) -> Findings:
    """Derives all that is reported of a capture from what was counted."""
    outcomes = counting.outcomes
    context = context_of(outcomes, counting.longest_right, counting.longest_wire, side)
    layers: dict[tuple[int, int, str], Counter[str]] = {}
    reasons, noticed = Counter[str](), Counter[int]()
    flows: dict[Flow, Counter[str]] = {}
    for outcome, count in outcomes.items():
        if not count:
            continue
        found = class_of(outcome, context)
        for each in outcome.sums:
            if each.state == State.ELSEWHERE:
                continue  # counted with the last fragment
            row = (each.depth, each.kind, path_of(each, outcome.carriers))
            layers.setdefault(row, Counter())[_column(each.state, each.is_unfinished)] += count
        if found in (Class.CUT, Class.UNJUDGED):
            first = next(each for each in outcome.sums if each.state == State.UNJUDGED)
            reasons[reason(first.how, outcome)] += count
        if outcome.noticed is not None:
            noticed[outcome.noticed] += count
        if outcome.addresses:
            flow = Flow(outcome.addresses, outcome.vni, outcome.family, outcome.protocol)
            tallied = flows.setdefault(flow, Counter())
            tallied["frames"] += count
            tallied["wrong"] += count if is_wrong_on_wire(outcome, context) else 0
            tallied["unjudged"] += count if found in _LOST else 0
    return Findings(
        counting,
        context,
        tally(outcomes.items(), context),
        {row[2]: {name: layers[row][name] for name in STATES} for row in _in_order(layers)},
        dict(reasons.most_common()),
        tuple(sorted((_flow_tally(*each) for each in flows.items()), key=_worst_first)),
        dict(noticed.most_common()),
    )


_LOST = (Class.CUT, Class.UNJUDGED, Class.MERGED)


def _in_order(rows: dict[tuple[int, int, str], Counter[str]]) -> list[tuple[int, int, str]]:
    """Returns the rows of the table: outer layers first, IP before what it carries."""
    return sorted(rows, key=lambda row: (row[0], row[2].rpartition(" > ")[0], row[1]))


def _column(state: State, unfinished: bool) -> str:
    if state == State.WRONG:
        return "not filled in" if unfinished else "wrong"
    return {
        State.RIGHT: "right", State.LENGTH: "length", State.ABSENT: "no checksum",
    }.get(state, "not judged")  # fmt: skip


def _flow_tally(flow: Flow, counts: Counter[str]) -> FlowTally:
    return FlowTally(flow, counts["frames"], counts["wrong"], counts["unjudged"])


def _worst_first(each: FlowTally) -> tuple[int, int, bytes]:
    return (-each.wrong, -each.frames, each.flow.addresses)
