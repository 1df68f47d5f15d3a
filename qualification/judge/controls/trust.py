"""Which controls the cells of a pair rest on, and judging a stored control again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from qualification.judge.verdict import Demand
from qualification.plan.cells import CONTROLS_OF, TAGGED, Cell
from qualification.plan.flows import Direction

from .crafted import judge_crafted
from .injected import judge_injected
from .received import judge_received_control
from .result import ControlResult
from .traffic import judge_traffic

_NOT_RUN = "it was not run"

ALL_OFF_CELL = "all-off cell"
"""A cell with every offload off whose frames were wrong: from then on it distrusts the pair as a
control does. It has no evidence of its own beside the cell's."""


def distrusted(cell: Cell, controls: Mapping[str, ControlResult]) -> ControlResult | None:
    """Returns the control for which a cell may neither pass nor fail; None if there is none.

    Args:
        cell: The cell.
        controls: The controls of its pair, by name.
    """
    failed = first_untrusted(controls, cell.flow.direction)
    if failed is None and cell.flow.direction == "send":
        failed = controls.get(ALL_OFF_CELL)
    if failed is None and cell.flow.vlan:
        tagged = controls.get(TAGGED, ControlResult(TAGGED, False, _NOT_RUN))
        failed = None if tagged.trusted else tagged
    return failed


def first_untrusted(
    controls: Mapping[str, ControlResult], direction: Direction = "send"
) -> ControlResult | None:
    """Returns the first control that cannot be trusted; one that was not run cannot.

    Args:
        controls: The controls of a pair, by name.
        direction: Only controls count on which the cells of this direction rest.
    """
    for name in CONTROLS_OF[direction]:
        result = controls.get(name, ControlResult(name, False, _NOT_RUN))
        if not result.trusted:
            return result
    return None


def combined(
    own: Mapping[str, ControlResult], others: Iterable[Mapping[str, ControlResult]]
) -> dict[str, ControlResult]:
    """Returns the controls that the cells of a pair rest on in a run that was continued.

    They are those of the part of the run in which the cells ran, whose losses the cells are
    compared with. But a control that came out wrong in any part distrusts the cells of all.

    Args:
        own: The controls of that part, by name.
        others: The controls of the other parts.
    """
    found = dict(own)
    for results in others:
        for name, result in results.items():
            if _badness(result) > _badness(found.get(name)):
                found[name] = result
    return found


def _badness(result: ControlResult | None) -> int:
    return 0 if result is None or result.trusted else 1 if result.blocked else 2


def judge_again(result: ControlResult, demand: Demand, port: int) -> ControlResult:
    """Judges a stored control by its evidence, as if it had just been run.

    Args:
        result: The control, with its bursts.
        demand: What the cells are to exclude now.
        port: The tunnel's UDP port.
    """
    if result.name == "injected":
        return judge_injected(result.expected, result.good, result.bursts)
    if result.name == TAGGED and not result.bursts:
        return result  # there is no evidence to judge
    if result.name in ("crafted", TAGGED):
        return judge_crafted(result.bursts, result.name)
    if result.name == "received":
        # A control that could not be run at all stays as it was.
        return judge_received_control(result.received) if result.received else result
    in_tunnel = None if result.name == "plain" else port
    again = judge_traffic(result.name, result.bursts, demand, port=in_tunnel)
    return replace(again, pace=result.pace)
