"""From the failing cells of a pair to their culprits, proved, and to what is safe. Pure.

A search (`.culprit`) says what ought to heal a flow. A proof shows it: with just that off the flow
is clean, with it back on it fails again, and by Fisher's exact test the difference is no chance.
It is had afresh once for the flows that share a culprit. For the others of them, what their own
cells showed with it on and with it off has to be no chance either, or they are run again too.
What cannot be shown is said to be unknown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import exp, lgamma

from qualification.plan.features import RULES
from qualification.plan.flows import Flow

from .cell_results import CellResults, UnprovedError
from .findings import OUTER_CHECKSUM, CulpritFindings, CulpritGroup, Device, Mitigation, Proof
from .search import Removal, Settled, largest, smallest

_LOOKS = 3
"""Times that a flow is run with and without, at most, until the difference is no chance."""


@dataclass(frozen=True)
class _Remedy:
    """What is to be turned off, and where."""

    off: Removal
    device: Device


@dataclass
class _Group:
    """Failing cells with one remedy, or without one for one reason."""

    remedy: _Remedy | None
    reason: str
    proof: Proof | None = None
    cells: list[str] = field(default_factory=list)
    flows: set[Flow] = field(default_factory=set)


class _RefutedError(Exception):
    """What was to heal did not."""


class Investigation:
    """Finds the culprits of one pair.

    Args:
        cell results: How its cells came out; runs those that are missing.
        confidence: With which chance has to be excluded.
    """

    def __init__(self, cell_results: CellResults, confidence: float) -> None:
        self._cell_results, self._space = cell_results, cell_results.space
        self._alpha = (1 - confidence) / (_LOOKS + 1)  # each look is another chance to be fooled
        # The largest set first: what heals that ought to heal its parts.
        self._pending = self._cell_results.failing()
        self._failing = tuple(self._pending)
        self._stuck: set[Flow] = set()
        self._culprits: dict[str, Removal] = {}
        self._groups: dict[_Remedy | str, _Group] = {}

    def conclude(self) -> CulpritFindings:
        """Searches, proves, and says what came of it."""
        while tops := {flow: some[0] for flow, some in self._pending.items() if some}:
            remedies = self._remedies(tops)
            groups: dict[tuple[_Remedy, Settled], list[Flow]] = {}
            for flow, top in tops.items():
                if flow in remedies:
                    groups.setdefault((remedies[flow], top), []).append(flow)
                else:
                    self._give_up(flow, top, self._why_not(flow))
            for (remedy, top), flows in groups.items():
                self._try(remedy, top, flows)
        mitigation = self._mitigation()
        found = tuple(
            CulpritGroup(
                off=group.remedy.off if group.remedy else (),
                device=group.remedy.device if group.remedy else "nic",
                cells=tuple(group.cells),
                flows=len(group.flows),
                proof=group.proof,
                reason=group.reason,
            )
            for group in self._groups.values()
        )
        runs = sum(self._cell_results.runs.values())
        return CulpritFindings(self._cell_results.pair, self._culprits, found, mitigation, runs)

    # Searching

    def _remedies(self, tops: dict[Flow, Settled]) -> dict[Flow, _Remedy]:
        """What ought to heal each flow; of what is equally good, what heals most flows."""
        ways: dict[Flow, list[_Remedy]] = {}
        shared = Counter[_Remedy]()
        for flow, top in tops.items():
            found = self._ways(flow, top, [way.off for way, _ in shared.most_common()])
            if found:
                ways[flow] = found
                shared.update(found)
        return {flow: max(some, key=shared.__getitem__) for flow, some in ways.items()}

    def _ways(self, flow: Flow, top: Settled, hints: list[Removal]) -> list[_Remedy]:
        ways = smallest(self._space, top, self._cell_results.knowledge(flow), hints)
        if ways:
            return [_Remedy(off, "nic") for off in ways]
        unasked = replace(flow, outer_checksum=False)
        if not flow.outer_checksum or not self._cell_results.has(unasked):
            return []
        healed = self._cell_results.knowledge(unasked).found(top) is False
        return [_Remedy(OUTER_CHECKSUM[flow.outer], "vxlan")] if healed else []

    def _why_not(self, flow: Flow) -> str:
        if self._cell_results.verdict(flow, self._space.settle(())):
            return "no offload heals it"
        if self._cell_results.exhausted:
            return "the search was cut short"
        return "with offloads off it could not be judged"

    # Proving

    def _try(self, remedy: _Remedy, top: Settled, flows: list[Flow]) -> None:
        """Proves a remedy on the flow that fails most, and holds the others against it."""
        proof: Proof | None = None
        for flow in sorted(flows, key=lambda flow: -self._rate(flow, top)):
            try:
                shown = self._show(remedy, flow, top, afresh=proof is None)
            except _RefutedError:  # what has been learned leads elsewhere
                continue
            except UnprovedError as reason:
                self._give_up(flow, top, f"no culprit is proved: {reason}")
                continue
            proof = proof or shown
            self._explain(remedy, flow, top, proof)

    def _show(self, remedy: _Remedy, flow: Flow, top: Settled, *, afresh: bool) -> Proof:
        """Shows that a flow is clean with the remedy, and fails again without it.

        Raises:
            _RefutedError: It failed with the remedy.
            UnprovedError: Neither could be shown.
        """
        clean_flow, left = self._under(remedy, flow, top)
        without = [] if afresh else [self._cell_results.seen(clean_flow, left)]
        back_on = [] if afresh else [self._cell_results.seen(flow, top)]
        off = [one for one in without if one is not None and one.failing is False]
        on = [one for one in back_on if one is not None] if off else []
        for look in range(_LOOKS + 1):
            wrong, frames = sum(one.wrong for one in on), sum(one.frames for one in on)
            clean = sum(one.frames for one in off)
            chance = _chance(wrong, frames, clean)
            if wrong and chance <= self._alpha:
                return Proof(self._cell_results.cell(flow, top).id, clean, frames, wrong, chance)
            if look == _LOOKS:
                break
            off.append(self._cell_results.prove(clean_flow, left, "off"))
            if off[-1].failing:
                raise _RefutedError
            on.append(self._cell_results.prove(flow, top, "on"))
        raise UnprovedError(
            f"with {' '.join(remedy.off)} back on {wrong:,} of {frames:,} frames were wrong, "
            f"which may be chance beside none of {clean:,}"
        )

    def _explain(self, remedy: _Remedy, flow: Flow, top: Settled, proof: Proof) -> None:
        """Notes the culprit of a flow's largest failing set, and of those parts that share it."""
        group = self._groups.setdefault(
            remedy,
            _Group(
                remedy,
                f"none of {proof.off_frames:,} frames is wrong with it off, "
                f"{proof.on_wrong:,} of {proof.on_frames:,} with it back on",
                proof,
            ),
        )
        group.flows.add(flow)
        if remedy.device == "vxlan":
            self._stuck.add(flow)
        for on in [on for on in self._pending[flow] if on <= top]:
            off = tuple(name for name in remedy.off if remedy.device == "vxlan" or name in on)
            if off and (on == top or self._heals(remedy, flow, on)):
                self._pending[flow].remove(on)
                cell = self._cell_results.cell(flow, on).id
                self._culprits[cell] = off
                group.cells.append(cell)

    def _heals(self, remedy: _Remedy, flow: Flow, on: Settled) -> bool:
        """Whether a remedy heals a part of the set that it was shown to heal."""
        clean_flow, left = self._under(remedy, flow, on)
        if self._cell_results.contrary(clean_flow):
            return self._cell_results.knowledge(clean_flow).found(left) is False
        return not self._cell_results.verdict(clean_flow, left)

    def _give_up(self, flow: Flow, top: Settled, reason: str) -> None:
        """Leaves a set and its parts unexplained: what would heal those would heal it."""
        self._stuck.add(flow)
        group = self._groups.setdefault(reason, _Group(None, reason))
        group.flows.add(flow)
        for on in [on for on in self._pending[flow] if on <= top]:
            self._pending[flow].remove(on)
            group.cells.append(self._cell_results.cell(flow, on).id)

    # What is safe

    def _mitigation(self) -> Mitigation | None:
        """The largest set under which every flow that can be healed was seen to be clean."""
        flows = [flow for flow in self._failing if flow not in self._stuck]
        everything = self._space.settle(self._space.switchable)

        def heals(on: Settled) -> bool:
            some = [self._cell_results.knowledge(flow) for flow in flows]
            if any(knowledge.presumed(on, everything) for knowledge in some):
                return False
            return all(knowledge.found(on) is False for knowledge in some)

        off = largest(self._space, everything, heals) if flows else None
        if off is None:
            return None
        left = self._space.settle(everything - set(off)) & self._space.switchable
        on = tuple(name for name in RULES if name in left)
        return Mitigation(off, on, len(flows), len(self._failing))

    def _under(self, remedy: _Remedy, flow: Flow, on: Settled) -> tuple[Flow, Settled]:
        """The flow and the set that a remedy makes of these."""
        if remedy.device == "vxlan":
            return replace(flow, outer_checksum=False), on
        return flow, self._space.settle(on - set(remedy.off))

    def _rate(self, flow: Flow, on: Settled) -> float:
        one = self._cell_results.seen(flow, on)
        return one.wrong / max(1, one.frames) if one else 0.0


def _chance(wrong: int, frames: int, clean: int) -> float:
    """How probable it is that all wrong frames fall among these, and none among the clean ones.

    Fisher's exact test, one-sided (R. A. Fisher, "Statistical Methods for Research Workers", 5th
    edition, 1934, section 21.02).
    """

    def ways(of: int) -> float:  # the logarithm of "of, choose wrong"
        return lgamma(of + 1) - lgamma(of - wrong + 1)

    return exp(ways(frames) - ways(frames + clean))
