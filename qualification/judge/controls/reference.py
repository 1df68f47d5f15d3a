"""What the frames that a cell loses are compared with: the bursts of its pair's controls. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from qualification.judge.blame.corruption import judged_without
from qualification.judge.blame.duplication import duplicated
from qualification.judge.blame.loss import Reference
from qualification.judge.evidence import Burst, total
from qualification.judge.pace import PaceFound
from qualification.plan.cells import TAGGED, Cell

from .result import ControlResult


def reference_of(cell: Cell, controls: Mapping[str, ControlResult]) -> Reference | None:
    """Returns what the frames of a cell are compared with; None where nothing was sent.

    That is the control "all-off", behind a VLAN tag together with the control for tags, and for
    traffic without a tunnel the control "plain". Where the control "crafted" lost a larger share of
    the cell's own packet set, it is that one: the kernel sends the frames of a super-packet as
    close together as the NIC does, and a small ring at the peer may not hold them.

    Args:
        cell: The cell.
        controls: The controls of its pair, by name.
    """
    names = ["all-off", *([TAGGED] if cell.flow.vlan else [])] if cell.flow.tunnel else ["plain"]
    bursts = [
        burst for name in names if name in controls for burst in controls[name].bursts.values()
    ]
    judged = judged_without((*bursts, *_crafted(cell, controls)))
    everything, same = _lost(bursts), _lost(_same_set(cell, controls))
    if same[1] * everything[0] > everything[1] * same[0]:
        everything = same
    if not everything[0]:
        return None
    return Reference(*everything, pace_of(controls), duplicated(bursts), judged)


def _lost(bursts: Iterable[Burst]) -> tuple[int, int]:
    """Returns the frames submitted to the driver, and those lost that the peer did not drop."""
    sums = total(tuple(bursts))
    return sums.submitted, sums.lost - min(sums.lost, sums.peer_dropped)


def _same_set(cell: Cell, controls: Mapping[str, ControlResult]) -> Iterator[Burst]:
    """Yields the bursts of the control "crafted" that have a cell's packets.

    It sends each packet set through one outer variant, and some without a tunnel.
    """
    flow = replace(cell.flow, state="", vlan="", load="")
    name = flow.id.partition("/")[2] if flow.tunnel else flow.id
    if flow.packet_set and "crafted" in controls:
        for id_, burst in controls["crafted"].bursts.items():
            if id_.partition("/")[2] == name or id_ == name:
                yield burst


def _crafted(cell: Cell, controls: Mapping[str, ControlResult]) -> Iterator[Burst]:
    """Yields the bursts of the control "crafted" that went the way of a cell's frames."""
    if "crafted" in controls:
        for id_, burst in controls["crafted"].bursts.items():
            if id_.startswith("plain") != cell.flow.tunnel:
                yield burst


def pace_of(controls: Mapping[str, ControlResult]) -> PaceFound | None:
    """Returns the pace that the controls of a pair have found; None if they did not look for it."""
    return controls["all-off"].pace if "all-off" in controls else None
