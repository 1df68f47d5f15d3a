"""From the failing cells of a pair to their culprits, with proofs, and to the mitigation. Pure.

A search (`.search`) says what should heal a flow. A proof shows it: with only that off the flow is
clean, with it on again the flow fails again, and by Fisher's exact test the difference is no
chance. New runs are made once for the flows that share a culprit. For the others of them, what
their own cells showed with it on and with it off has to be no chance either, or they are run again
too. A culprit that cannot be proved is reported as unknown.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from qualification.judge.statistics import fisher
from qualification.plan.features import RULES
from qualification.plan.flows import Flow

from .cell_results import CellResults, UnprovedError
from .findings import OUTER_CHECKSUM, CulpritFindings, CulpritGroup, Device, Mitigation, Proof
from .search import FeaturesOff, Settled, largest, smallest

_LOOKS = 3
"""Most times that a flow is run with and without a culprit, until the difference is no chance."""


@dataclass(frozen=True)
class _Candidate:
    """A possible culprit: the features to turn off, and the device they belong to."""

    off: FeaturesOff
    device: Device


@dataclass
class _Group:
    """Failing cells with the same proved culprit, or with the same reason why there is none."""

    culprit: _Candidate | None
    reason: str
    proof: Proof | None = None
    cells: list[str] = field(default_factory=list)
    flows: set[Flow] = field(default_factory=set)


class _RefutedError(Exception):
    """A flow failed although the candidate was off."""


class Investigation:
    """Finds the culprits of one pair.

    Args:
        cell_results: The results of its cells; runs those that are missing.
        confidence: Confidence with which chance has to be excluded.
    """

    def __init__(self, cell_results: CellResults, confidence: float) -> None:
        self._results, self._space = cell_results, cell_results.space
        self._alpha = (1 - confidence) / (_LOOKS + 1)  # shared among the looks (Bonferroni)
        # The largest set first: what heals it should heal its parts.
        self._pending = self._results.failing_sets()
        self._failing = tuple(self._pending)
        self._unhealed: set[Flow] = set()
        self._culprits: dict[str, FeaturesOff] = {}
        self._groups: dict[_Candidate | str, _Group] = {}

    def conclude(self) -> CulpritFindings:
        """Searches for the culprits, proves them, and returns the findings."""
        while tops := {flow: sets[0] for flow, sets in self._pending.items() if sets}:
            candidates = self._candidates(tops)
            groups: dict[tuple[_Candidate, Settled], list[Flow]] = {}
            for flow, top in tops.items():
                if flow in candidates:
                    groups.setdefault((candidates[flow], top), []).append(flow)
                else:
                    self._give_up(flow, top, self._why_no_candidate(flow))
            for (candidate, top), flows in groups.items():
                self._prove_all(candidate, top, flows)
        mitigation = self._mitigation()
        found = tuple(
            CulpritGroup(
                off=group.culprit.off if group.culprit else (),
                device=group.culprit.device if group.culprit else "nic",
                cells=tuple(group.cells),
                flows=len(group.flows),
                proof=group.proof,
                reason=group.reason,
            )
            for group in self._groups.values()
        )
        runs = sum(self._results.runs.values())
        return CulpritFindings(self._results.pair, self._culprits, found, mitigation, runs)

    # Search

    def _candidates(self, tops: dict[Flow, Settled]) -> dict[Flow, _Candidate]:
        """Returns what should heal each flow; of equals, what heals most flows."""
        by_flow: dict[Flow, list[_Candidate]] = {}
        shared = Counter[_Candidate]()
        for flow, top in tops.items():
            hints = [candidate.off for candidate, _ in shared.most_common()]
            found = self._candidates_of(flow, top, hints)
            if found:
                by_flow[flow] = found
                shared.update(found)
        return {flow: max(found, key=shared.__getitem__) for flow, found in by_flow.items()}

    def _candidates_of(
        self, flow: Flow, top: Settled, hints: list[FeaturesOff]
    ) -> list[_Candidate]:
        found = smallest(self._space, top, self._results.knowledge(flow), hints)
        if found:
            return [_Candidate(off, "nic") for off in found]
        unasked = replace(flow, outer_checksum=False)
        if not flow.outer_checksum or not self._results.has(unasked):
            return []
        healed = self._results.knowledge(unasked).observed(top) is False
        return [_Candidate(OUTER_CHECKSUM[flow.outer], "vxlan")] if healed else []

    def _why_no_candidate(self, flow: Flow) -> str:
        if self._results.failing(flow, self._space.settle(())):
            return "no offload heals it"
        if self._results.exhausted:
            return "the search was cut short"
        return "with offloads off it could not be judged"

    # Proof

    def _prove_all(self, candidate: _Candidate, top: Settled, flows: list[Flow]) -> None:
        """Proves a candidate on the flow that fails most, and checks it on the others."""
        proof: Proof | None = None
        for flow in sorted(flows, key=lambda flow: -self._rate(flow, top)):
            try:
                proved = self._prove(candidate, flow, top, afresh=proof is None)
            except _RefutedError:  # the next search knows of it and finds another candidate
                continue
            except UnprovedError as reason:
                self._give_up(flow, top, f"no culprit is proved: {reason}")
                continue
            proof = proof or proved
            self._note_culprit(candidate, flow, top, proof)

    def _prove(self, candidate: _Candidate, flow: Flow, top: Settled, *, afresh: bool) -> Proof:
        """Shows that a flow is clean with the candidate off, and fails with it on again.

        Args:
            candidate: What to turn off.
            flow: The flow.
            top: The set that it fails under.
            afresh: Whether only new runs count, not the cells that were run before.

        Raises:
            _RefutedError: The flow failed with the candidate off.
            UnprovedError: Neither could be shown.
        """
        clean_flow, left = self._without(candidate, flow, top)
        before_off = [] if afresh else [self._results.seen(clean_flow, left)]
        before_on = [] if afresh else [self._results.seen(flow, top)]
        off = [one for one in before_off if one is not None and one.failing is False]
        on = [one for one in before_on if one is not None] if off else []
        for look in range(_LOOKS + 1):
            wrong, frames = sum(one.wrong for one in on), sum(one.frames for one in on)
            clean = sum(one.frames for one in off)
            chance = fisher(wrong, frames, 0, clean)
            if wrong and chance <= self._alpha:
                return Proof(self._results.cell(flow, top).id, clean, frames, wrong, chance)
            if look == _LOOKS:
                break
            off.append(self._results.prove(clean_flow, left, "off"))
            if off[-1].failing:
                raise _RefutedError
            on.append(self._results.prove(flow, top, "on"))
        raise UnprovedError(
            f"with {' '.join(candidate.off)} back on {wrong:,} of {frames:,} frames were wrong, "
            f"and with it off none of {clean:,}, which may be chance"
        )

    def _note_culprit(self, culprit: _Candidate, flow: Flow, top: Settled, proof: Proof) -> None:
        """Notes the culprit of a flow's largest failing set, and of those parts that share it."""
        group = self._groups.setdefault(
            culprit,
            _Group(
                culprit,
                f"none of {proof.off_frames:,} frames is wrong with it off, "
                f"{proof.on_wrong:,} of {proof.on_frames:,} with it back on",
                proof,
            ),
        )
        group.flows.add(flow)
        if culprit.device == "vxlan":
            self._unhealed.add(flow)
        for on in [on for on in self._pending[flow] if on <= top]:
            off = tuple(name for name in culprit.off if culprit.device == "vxlan" or name in on)
            if off and (on == top or self._heals(culprit, flow, on)):
                self._pending[flow].remove(on)
                cell = self._results.cell(flow, on).id
                self._culprits[cell] = off
                group.cells.append(cell)

    def _heals(self, culprit: _Candidate, flow: Flow, on: Settled) -> bool:
        """Returns whether a culprit heals a part of the set that it was shown to heal."""
        clean_flow, left = self._without(culprit, flow, on)
        if self._results.contradictory(clean_flow):
            return self._results.knowledge(clean_flow).observed(left) is False
        return not self._results.failing(clean_flow, left)

    def _give_up(self, flow: Flow, top: Settled, reason: str) -> None:
        """Leaves a set and its parts without a culprit: what would heal those would heal it."""
        self._unhealed.add(flow)
        group = self._groups.setdefault(reason, _Group(None, reason))
        group.flows.add(flow)
        for on in [on for on in self._pending[flow] if on <= top]:
            self._pending[flow].remove(on)
            group.cells.append(self._results.cell(flow, on).id)

    # Mitigation

    def _mitigation(self) -> Mitigation | None:
        """Returns the largest set under which every flow that can be healed was seen to pass."""
        flows = [flow for flow in self._failing if flow not in self._unhealed]
        everything = self._space.settle(self._space.switchable)

        def heals(on: Settled) -> bool:
            known = [self._results.knowledge(flow) for flow in flows]
            if any(knowledge.presumed(on, everything) for knowledge in known):
                return False
            return all(knowledge.observed(on) is False for knowledge in known)

        off = largest(self._space, everything, heals) if flows else None
        if off is None:
            return None
        left = self._space.settle(everything - set(off)) & self._space.switchable
        on = tuple(name for name in RULES if name in left)
        return Mitigation(off, on, len(flows), len(self._failing))

    def _without(self, culprit: _Candidate, flow: Flow, on: Settled) -> tuple[Flow, Settled]:
        """Returns the flow and the set that are left when the culprit is turned off."""
        if culprit.device == "vxlan":
            return replace(flow, outer_checksum=False), on
        return flow, self._space.settle(on - set(culprit.off))

    def _rate(self, flow: Flow, on: Settled) -> float:
        one = self._results.seen(flow, on)
        return one.wrong / max(1, one.frames) if one else 0.0
