"""What `vxqual verify` finds out about one capture, and the exit code that follows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from qualification.errors import EXIT_INTERRUPTED, EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED
from qualification.stack.classes import (
    Class,
    Context,
    Side,
    Tally,
    class_of,
    context_of,
    is_wrong_on_wire,
    of_all_flows,
    tally,
)
from qualification.stack.codes import State

from .words import path_of, reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qualification.stack.codes import Carrier
    from qualification.stack.counting import Counting, KeptFrame
    from qualification.stack.outcomes import Outcome, SumCode

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
        noticed: UDP ports with VXLAN that nobody named, and their frames.
    """

    counting: Counting
    context: Context
    tally: Tally
    layers: dict[str, dict[str, int]]
    reasons: dict[str, int]
    noticed: dict[int, int]

    @cached_property
    def flows(self) -> tuple[FlowTally, ...]:
        """IP frames by flow, those with the most wrong frames first, then the largest.

        There may be as many flows as outcomes, and not every report shows them.
        """
        return _flows_of(self.counting.outcomes, self.context)

    @property
    def exit_code(self) -> int:
        """1 for frames that can have been wrong on the wire, 10 for no result, 0 for right.

        2 if somebody interrupted the count before it found a wrong frame.
        """
        if self.tally.wrong:
            return EXIT_NOT_QUALIFIED
        if self.counting.interrupted:
            return EXIT_INTERRUPTED
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
    outcomes = of_all_flows(counting.outcomes)
    context = context_of(
        outcomes, counting.outcomes, counting.longest_right, counting.longest_wire, side
    )
    layers: Counter[tuple[tuple[SumCode, ...], tuple[Carrier, ...]]] = Counter()
    reasons, noticed = Counter[str](), Counter[int]()
    for outcome, count in outcomes.items():
        found = class_of(outcome, context)
        layers[outcome.sums, outcome.carriers] += count
        if found in (Class.CUT, Class.UNJUDGED):
            first = next(each for each in outcome.sums if each.state == State.UNJUDGED)
            reasons[reason(first.how, outcome)] += count
        if outcome.noticed is not None:
            noticed[outcome.noticed] += count
    return Findings(
        counting,
        context,
        tally(outcomes.items(), context),
        _table(layers),
        dict(reasons.most_common()),
        dict(noticed.most_common()),
    )


def _flows_of(outcomes: Mapping[Outcome, int], context: Context) -> tuple[FlowTally, ...]:
    flows: dict[Flow, list[int]] = {}
    for outcome, count in outcomes.items():
        if outcome.addresses:
            flow = Flow(outcome.addresses, outcome.vni, outcome.family, outcome.protocol)
            tallied = flows.setdefault(flow, [0, 0, 0])
            tallied[0] += count
            found = class_of(outcome, context)
            if found in _NOT_RIGHT:
                tallied[1] += count if is_wrong_on_wire(outcome, context) else 0
                tallied[2] += count if found in _LOST else 0
    return tuple(sorted((FlowTally(flow, *each) for flow, each in flows.items()), key=_worst_first))


_LOST = frozenset({Class.CUT, Class.UNJUDGED, Class.MERGED})
_NOT_RIGHT = frozenset(Class) - {Class.RIGHT, Class.NOTHING}


def _table(
    layers: Counter[tuple[tuple[SumCode, ...], tuple[Carrier, ...]]],
) -> dict[str, dict[str, int]]:
    """Counts sums by layer: outer layers first, IP before what it carries."""
    rows: dict[tuple[int, int, str], Counter[str]] = {}
    for (sums, carriers), count in layers.items():
        for each in sums:
            if each.state != State.ELSEWHERE:  # counted with the last fragment
                row = (each.depth, each.kind, path_of(each, carriers))
                rows.setdefault(row, Counter())[_column(each.state, each.is_unfinished)] += count
    order = sorted(rows, key=lambda row: (row[0], row[2].rpartition(" > ")[0], row[1]))
    return {row[2]: {name: rows[row][name] for name in STATES} for row in order}


def _column(state: State, unfinished: bool) -> str:
    if state == State.WRONG:
        return "not filled in" if unfinished else "wrong"
    return {
        State.RIGHT: "right", State.LENGTH: "length", State.ABSENT: "no checksum",
    }.get(state, "not judged")  # fmt: skip


def _worst_first(each: FlowTally) -> tuple[int, int, bytes]:
    return (-each.wrong, -each.frames, each.flow.addresses)
