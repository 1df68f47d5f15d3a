"""Plans: which cells are run. They are chosen before any packet is sent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from covertable import make, sorters

from .features import RULES, SEGMENTING, VARIED, FeatureSpace, OffloadSet
from .flows import Direction, Flow

PlanName = Literal["quick", "standard", "full"]
PLANS: dict[PlanName, str] = {
    "quick": "all on, all off, each feature off alone, each on alone",
    "standard": "quick, and every pair of features in every combination that quick leaves out",
    "full": "every possible set",
}

CONTROLS = {
    "plain": "plain traffic without a tunnel is clean",
    "all-off": "the tunnel with all offloads off is clean",
    "crafted": "crafted packet sets that the kernel finishes itself arrive as expected",
    "injected": "a frame made bad on purpose is seen as bad",
    "received": "of frames made right and wrong on purpose, sent the other way, the peer's kernel, "
    "which checks all of them, delivers the right ones and refuses the wrong ones",
}

CONTROLS_OF: Mapping[Direction, tuple[str, ...]] = {
    "send": ("plain", "all-off", "crafted", "injected"),
    "receive": ("received",),
}
"""The controls that cells of a direction rest on. A NIC that drops what it receives does not get
the answers of the controls of sending and fails them; its receive tests must not depend on them."""

TAGGED = "tagged"
TAGGED_TITLE = "flows behind a VLAN tag arrive clean, with their tag"
"""The control for these flows, on which no other cells rest."""


@dataclass(frozen=True, repr=False)
class Cell:
    """DUT × offload set × flow.

    Attributes:
        pair: Name of the pair.
        offloads: The offload set that is requested of the DUT.
        flow: The flow that is sent.
        unsupported: Features that the cell is for and the NIC lacks; such a cell is not run.
    """

    pair: str
    offloads: OffloadSet
    flow: Flow
    unsupported: tuple[str, ...] = ()

    @property
    def set_id(self) -> str:
        """The offload set, a row of the matrix."""
        if self.unsupported:
            return "+".join(RULES[name].short for name in self.unsupported)
        return self.offloads.id

    @property
    def all_off(self) -> bool:
        """Whether no feature is on, and none is meant to be.

        What is done to a NIC before, and other traffic meanwhile, are for a NIC that offloads.
        """
        return not self.offloads.on and not (self.flow.state or self.flow.load)

    @property
    def segmentation_unused(self) -> bool:
        """Whether the NIC segments nothing of the flow under a set that is named for segmentation.

        A NIC without tunnel segmentation takes TSO for what goes without a tunnel alone
        (`skb_gso_ok`, include/linux/netdevice.h): within one, the kernel segments before it.
        """
        named, on = self.offloads.named_for, self.offloads.space.settle(self.offloads.on)
        segments = self.flow.segmented_by <= on
        return bool(self.flow.segmentation and named and named <= SEGMENTING and not segments)

    @property
    def essential(self) -> bool:
        """Whether a NIC cannot be qualified without this cell having exercised it.

        The essential cells of a plan are its bulk traffic with every feature on, where these
        features leave the NIC a checksum or segmentation to do. Every DUT that offers any feature
        of sending has some.
        """
        flow, space = self.flow, self.offloads.space
        bulk = flow.direction == "send" and not (flow.packet_set or flow.load or flow.vlan)
        return (
            bulk
            and not (flow.state or self.unsupported)
            and self.offloads.on == space.switchable
            and bool(flow.work(space.settle(self.offloads.on)))
        )

    @property
    def id(self) -> str:
        """The name in reports, for example "x710/tnl-csum-seg+tso/outer4-csum/inner6/tcp"."""
        return f"{self.pair}/{self.set_id}/{self.flow.id}"

    def __repr__(self) -> str:
        # CI tells by the names of tests since when one fails: they do not change with firmware.
        return self.id


def frames_needed(rate: float, confidence: float) -> int:
    """Returns how many frames without a fault exclude a corruption rate: ln(1 - c) / ln(1 - p).

    Args:
        rate: Share of corrupted frames, 0 to 1, exclusive.
        confidence: Confidence of the claim, 0 to 1, exclusive.
    """
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate))


def offload_sets(space: FeatureSpace, plan: PlanName) -> tuple[OffloadSet, ...]:
    """Returns the offload sets of a plan, each once; all off first, all on second.

    Of sets that settle to the same one, only one is run.

    Args:
        space: The features of the NIC that can be varied.
        plan: The plan.
    """
    switchable = [name for name in RULES if name in space.switchable]

    def effect(on: Iterable[str]) -> frozenset[str]:
        return space.settle(on) & space.switchable

    everything = effect(switchable)
    wanted = [frozenset[str](), everything]
    if plan == "full":
        sizes = range(1, len(switchable))
        wanted += (frozenset(some) for size in sizes for some in combinations(switchable, size))
    else:
        wanted += (everything - {name} for name in switchable)
        wanted += (space.close({name}) for name in switchable)
    if plan == "standard":
        wanted += _pairwise(switchable, space, [on for on in wanted if effect(on) == on])
    return tuple(OffloadSet(on, space) for on in dict.fromkeys(map(effect, wanted)))


def _pairwise(
    names: Sequence[str], space: FeatureSpace, done: Sequence[frozenset[str]]
) -> list[frozenset[str]]:
    """Returns sets that, with those done, have every possible combination of each two features."""
    if len(names) < 2:
        return []
    needs = [
        {
            "operator": "or",
            "conditions": [
                {"operator": "eq", "left": name, "value": False},
                *({"operator": "eq", "left": other, "value": True} for other in group),
            ],
        }
        for name in names
        for group in space.needs(name)
        if not space.fixed_on & set(group)
    ]
    rows = make(
        {name: [True, False] for name in names},
        strength=2,
        sorter=sorters.hash,
        salt="vxqual",  # the same plan on every machine
        constraints=needs,
        presets=[{name: name in on for name in names} for on in done],
    )
    return [frozenset(name for name, value in row.items() if value) for row in rows]


def plan_cells(
    pair: str,
    space: FeatureSpace,
    flows: Sequence[Flow],
    packet_sets: Sequence[Flow],
    plan: PlanName,
    states: Sequence[Flow] = (),
    received: Sequence[Cell] = (),
    extra: Sequence[Flow] = (),
) -> tuple[Cell, ...]:
    """Returns the cells of one pair, all flows of a set together.

    Args:
        pair: Name of the pair.
        space: The features of the DUT that can be varied.
        flows: Flows that are sent under each set.
        packet_sets: Flows of crafted packet sets, sent with everything on; by the full plan, under
            each set.
        plan: The plan, on which the sets depend.
        states: Flows that are sent with everything on after something was done to the NIC.
        received: Cells in which the DUT receives, see `receive_cells`.
        extra: Extra flows, sent with everything on by any plan.
    """
    sets = offload_sets(space, plan)
    everything = max(sets, key=lambda offloads: len(offloads.on))
    cells = []
    for offloads in sets:
        cells += [Cell(pair, offloads, flow) for flow in flows]
        if plan == "full" or offloads is everything:
            cells += [Cell(pair, offloads, flow) for flow in packet_sets]
        if offloads is everything:
            cells += [Cell(pair, offloads, flow) for flow in extra]
    nothing = OffloadSet(frozenset(), space)
    for rule in VARIED:
        if rule.expected and rule.name not in space.switchable | space.fixed_on:
            cells += (Cell(pair, nothing, flow, unsupported=(rule.name,)) for flow in flows)
    cells += received
    # Last, because what was done to a NIC is undone only by loading its driver again.
    cells += (Cell(pair, everything, flow) for flow in states)
    return tuple(cells)


def receive_cells(pair: str, space: FeatureSpace, flows: Sequence[Flow]) -> tuple[Cell, ...]:
    """Returns the cells in which a pair's DUT receives: every possible set, by any plan.

    Args:
        pair: Name of the pair.
        space: The features of receiving that can be varied on the DUT.
        flows: Flows that are sent to it.
    """
    return tuple(
        Cell(pair, offloads, flow) for offloads in offload_sets(space, "full") for flow in flows
    )
