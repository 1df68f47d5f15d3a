"""What is said of a pair's failing cells: culprits, what shows them, and what is safe. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from qualification.judge.evidence import Evidence, total
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Judgement, Verdict
from qualification.plan.cells import Cell

from .search import Removal

Device = Literal["nic", "vxlan"]

OUTER_CHECKSUM: Mapping[int, Removal] = {4: ("udpcsum",), 6: ("noudp6zerocsumtx",)}
"""What asks a VXLAN device for outer checksums, by the outer family, as `ip link` calls it."""


@dataclass(frozen=True)
class Observation:
    """How a cell came out, as far as culprits are concerned.

    Attributes:
        cell: The cell.
        verdict: Its verdict.
        failing: Whether it speaks against the NIC; None where it says neither yes nor no.
        wrong: Frames that were wrong or lost, had a checksum unasked, or whose payload was wrong.
        frames: Frames among which they were.
    """

    cell: Cell
    verdict: Verdict
    failing: bool | None
    wrong: int
    frames: int


def observe(
    cell: Cell, judgement: Judgement, evidence: Evidence | None, *, blames_nic: bool
) -> Observation:
    """What a judged cell says.

    Args:
        cell: The cell.
        judgement: Its verdict.
        evidence: What that rests on.
        blames_nic: It speaks against the NIC. A LOSS on a path that loses frames of itself
            does not, and says nothing about features either.
    """
    failing = True if blames_nic else False if judgement.verdict is Verdict.PASS else None
    wrong, frames = 0, judgement.frames
    if failing and evidence is not None:
        sums = total(evidence.bursts)
        wrong = max(sums.bad, sums.corrupt, sums.unasked, judgement.bad)
        if not wrong:
            wrong, frames = sums.lost, sums.submitted
    return Observation(cell, judgement.verdict, failing, wrong, max(frames, wrong))


@dataclass(frozen=True)
class Proof:
    """Runs with just the culprit off, and with it back on.

    Attributes:
        cell: Id of the cell that failed, and failed again.
        off_frames: Frames judged with it off, none of them wrong.
        on_frames: Frames judged with it back on.
        on_wrong: Wrong ones among these.
        chance: Probability of a difference like that if there were none (Fisher's exact test).
    """

    cell: str
    off_frames: int
    on_frames: int
    on_wrong: int
    chance: float


@dataclass(frozen=True)
class CulpritGroup:
    """Failing cells that have one thing in common.

    Attributes:
        off: The fewest features whose turning off heals them; empty where none is known.
        device: Where: on the NIC, or on the VXLAN device (`OUTER_CHECKSUM`).
        cells: Ids of the cells.
        flows: How many flows they are.
        proof: The runs that show it, of one of the flows; None where none is known.
        reason: A sentence for people.
    """

    off: Removal
    device: Device
    cells: tuple[str, ...]
    flows: int
    proof: Proof | None
    reason: str


@dataclass(frozen=True)
class Mitigation:
    """What makes a pair safe at the least cost.

    Attributes:
        off: Features of the DUT to turn off.
        on: Those that can be left on.
        healed: Failing flows that are clean then, each as seen in a run.
        failing: Failing flows in all; the others no feature of the NIC heals for certain.
    """

    off: Removal
    on: Removal
    healed: int
    failing: int


@dataclass(frozen=True)
class CulpritFindings:
    """What came of a pair's failing cells.

    Attributes:
        pair: Name of the pair.
        culprits: For each failing cell whose culprit is known, its id and the features.
        findings: Groups of failing cells.
        mitigation: The largest safe set, if there is one.
        runs: Cells that were run for it.
    """

    pair: str
    culprits: dict[str, Removal]
    findings: tuple[CulpritGroup, ...]
    mitigation: Mitigation | None
    runs: int


def merged(one: CulpritFindings, other: CulpritFindings) -> CulpritFindings:
    """What came of two searches on a pair, over features that do not depend on each other."""
    safe = [found.mitigation for found in (one, other) if found.mitigation]
    return CulpritFindings(
        one.pair,
        {**one.culprits, **other.culprits},
        one.findings + other.findings,
        Mitigation(
            tuple(name for some in safe for name in some.off),
            tuple(name for some in safe for name in some.on),
            sum(some.healed for some in safe),
            sum(some.failing for some in safe),
        )
        if safe
        else None,
        one.runs + other.runs,
    )


def explained(row: CellRow, findings: CulpritFindings | None) -> CellRow:
    """A row with its culprit, where that is known."""
    culprit = findings.culprits.get(row.id) if findings else None
    return row if culprit is None else replace(row, culprit=list(culprit))


def mitigations(found: Iterable[CulpritFindings]) -> dict[str, list[str]]:
    """What to turn off on each pair's DUT, where that is known: kernel names by pair."""
    return {one.pair: list(one.mitigation.off) for one in found if one.mitigation}
