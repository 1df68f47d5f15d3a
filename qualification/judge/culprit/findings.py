"""What is reported of a pair's failing cells: culprits, their proofs, and the mitigation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from qualification.judge.evidence import Evidence, total
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell

from .search import FeaturesOff

Device = Literal["nic", "vxlan"]

OUTER_CHECKSUM: Mapping[int, FeaturesOff] = {4: ("udpcsum",), 6: ("noudp6zerocsumtx",)}
"""The option of `ip link` by which a VXLAN device sends outer checksums, by the outer family."""


@dataclass(frozen=True)
class Observation:
    """How a cell came out, as far as the search for culprits is concerned.

    Attributes:
        cell: The cell.
        verdict: Its verdict.
        failing: Whether the NIC failed in it; None where that is not known.
        wrong: Frames that were wrong or lost, had an outer checksum that was not asked for, or
            carried a wrong payload.
        frames: Frames among which they were.
    """

    cell: Cell
    verdict: Verdict
    failing: bool | None
    wrong: int
    frames: int


def observation_of(
    cell: Cell, judgement: Judgement, evidence: Evidence | None, *, blames_nic: bool
) -> Observation:
    """Returns the observation that a judged cell is for a search.

    Args:
        cell: The cell.
        judgement: Its verdict.
        evidence: What the verdict rests on.
        blames_nic: Whether the verdict blames the NIC. A LOSS on a path that loses frames itself
            does not, and says nothing about features either.
    """
    # Clean frames are clean whoever segmented them: a set under which the NIC had no part in it
    # heals the flow all the same.
    clean = judgement.verdict is Verdict.PASS or (
        judgement.verdict is Verdict.NOT_EXERCISED and judgement.frames > 0
    )
    failing = True if blames_nic else False if clean else None
    wrong, frames = 0, judgement.frames
    if failing and evidence is not None:
        sums = total(evidence.bursts)
        wrong = max(sums.bad, sums.corrupt, sums.unasked, sums.rerouted, judgement.bad)
        if not wrong:
            wrong, frames = sums.lost, sums.submitted
    return Observation(cell, judgement.verdict, failing, wrong, max(frames, wrong))


@dataclass(frozen=True)
class Proof:
    """Runs with only the culprit off, and with it on again.

    Attributes:
        cell: Id of the cell that failed, and failed again.
        off_frames: Frames judged with the culprit off, none of them wrong.
        on_frames: Frames judged with it on again.
        on_wrong: Wrong frames among these.
        chance: Probability of such a difference where there is none (Fisher's exact test).
    """

    cell: str
    off_frames: int
    on_frames: int
    on_wrong: int
    chance: float


@dataclass(frozen=True)
class CulpritGroup:
    """Failing cells that share a culprit, or the reason why none is known.

    Attributes:
        off: The fewest features whose turning off heals them; empty where none is known.
        device: The device of these features: the NIC, or the VXLAN device (`OUTER_CHECKSUM`).
        cells: Ids of the cells.
        flows: Number of flows of these cells.
        proof: The runs that prove it, of one of the flows; None where no culprit is known.
        reason: A sentence for people.
    """

    off: FeaturesOff
    device: Device
    cells: tuple[str, ...]
    flows: int
    proof: Proof | None
    reason: str


@dataclass(frozen=True)
class Mitigation:
    """The features to turn off so that a pair is safe and most features are left on.

    Attributes:
        off: Features of the DUT to turn off.
        on: Features that can be left on.
        healed: Number of failing flows that are clean then, each as seen in a run.
        failing: Number of failing flows. No feature of the NIC is sure to heal the others.
    """

    off: FeaturesOff
    on: FeaturesOff
    healed: int
    failing: int


@dataclass(frozen=True)
class CulpritFindings:
    """The result of the search for the culprits of a pair.

    Attributes:
        pair: Name of the pair.
        culprits: For each failing cell whose culprit is known, its id and the features.
        findings: Groups of failing cells.
        mitigation: The largest safe set, if there is one.
        runs: Number of cells that were run for it.
    """

    pair: str
    culprits: dict[str, FeaturesOff]
    findings: tuple[CulpritGroup, ...]
    mitigation: Mitigation | None
    runs: int


def merged(one: CulpritFindings, other: CulpritFindings) -> CulpritFindings:
    """Returns the results of two searches on a pair, over features independent of each other."""
    safe = [found.mitigation for found in (one, other) if found.mitigation]
    return CulpritFindings(
        one.pair,
        {**one.culprits, **other.culprits},
        one.findings + other.findings,
        Mitigation(
            tuple(name for mitigation in safe for name in mitigation.off),
            tuple(name for mitigation in safe for name in mitigation.on),
            sum(mitigation.healed for mitigation in safe),
            sum(mitigation.failing for mitigation in safe),
        )
        if safe
        else None,
        one.runs + other.runs,
    )


def explained(row: CellRow, findings: CulpritFindings | None) -> CellRow:
    """Returns a row with its culprit, where that is known."""
    culprit = findings.culprits.get(row.id) if findings else None
    return row if culprit is None else replace(row, culprit=list(culprit))


def mitigations(found: Iterable[CulpritFindings]) -> dict[str, list[str]]:
    """Returns the features to turn off on each pair's DUT, where they are known.

    Returns:
        Kernel names of the features, by pair.
    """
    return {one.pair: list(one.mitigation.off) for one in found if one.mitigation}
