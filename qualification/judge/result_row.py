"""The result row of a cell: what was requested, what was in effect, how it ended. JSON types."""

from __future__ import annotations

from dataclasses import dataclass

from qualification.judge.receive.verdict import sign_received
from qualification.judge.signature.sign import (
    Signature,
    duplicated,
    outer_port,
    right_unasked,
    sign,
)
from qualification.plan.cells import Cell

from .blame.duplication import duplicated as duplicate_frames
from .evidence import Evidence, total
from .verdict import Judgement, Verdict
from .wire_check import note


@dataclass(frozen=True)
class FlowRow:
    """See `qualification.plan.flows.Flow`."""

    id: str
    outer: int
    outer_checksum: bool
    inner: int
    l4: str
    segmentation: bool
    port: int
    packet_set: str = ""
    tunnel: bool = True
    state: str = ""
    direction: str = "send"
    vlan: str = ""
    load: str = ""


@dataclass(frozen=True)
class CellRow:
    """One cell of `matrix.json`.

    Attributes:
        id: "pair/set/flow", stable between runs.
        pair: Name of the pair.
        requested: Features that were requested on or off, by kernel name.
        effective: Features that were on or off while it ran; empty if it did not run.
        flow: The flow that was sent.
        verdict: One of `Verdict`.
        frames: Frames judged, of those that the NIC had its part in; where it receives, the frames
            sent to it.
        bad: Wrong frames among them; where it receives, false accepts and false rejects.
        lost: Frames submitted to the driver that the peer never saw; where the NIC receives, right
            frames that it never got.
        rate: bad / frames; null where there are no frames.
        rate_low: Lower bound of the rate at the run's confidence.
        rate_high: Upper bound; for a PASS, the rate it excludes.
        signature: What the hardware did, as the bytes of the wrong frames show; null without any.
        culprit: The fewest features whose turning off heals the flow, where they are known; or the
            option by which its VXLAN device sends outer checksums, "udpcsum" or
            "noudp6zerocsumtx".
        reason: A sentence for people.
        expectation: Name of the entry of the expectations file that hides a failure, or did until
            it expired.
        wire: What a recording of the wire shows of the cell's frames; empty without one.
        wrong: Frames with any fault: `bad`, or payloads that are not those sent under valid
            checksums, or outer checksums that nobody asked for.
        note: What else is to be said of how the cell ran: that it was tried twice, because an
            agent, its sshd or a link went away. Empty for nothing.
    """

    id: str
    pair: str
    requested: dict[str, bool]
    effective: dict[str, bool]
    flow: FlowRow
    verdict: Verdict
    frames: int
    bad: int
    lost: int
    rate: float | None
    rate_low: float
    rate_high: float
    signature: str | None
    culprit: list[str] | None
    reason: str
    expectation: str | None
    wire: str = ""
    wrong: int = 0
    note: str = ""

    @property
    def set_id(self) -> str:
        """The offload set, a row of the matrix: the middle of "pair/set/flow"."""
        return self.id[len(self.pair) + 1 : -len(self.flow.id) - 1]


def signature_of(cell: Cell, judgement: Judgement, evidence: Evidence | None) -> Signature | None:
    """Returns what the hardware did in a cell that fails; None where no wrong frame was kept."""
    if judgement.verdict not in (Verdict.FAIL, Verdict.KNOWN) or evidence is None:
        return None
    if cell.flow.direction == "receive":
        return sign_received(evidence)
    frames = [frame for burst in evidence.bursts for frame in burst.received.captured.samples]
    unasked = sum(burst.received.captured.unasked for burst in evidence.bursts)
    if not frames and unasked:
        return right_unasked(unasked)
    moved = total(evidence.bursts).rerouted
    if not frames and moved:
        return outer_port(moved)
    doubled = duplicate_frames(evidence.bursts)
    if not frames and doubled:
        return duplicated(doubled)
    return sign(frames, cell.flow)


def row(
    cell: Cell,
    judgement: Judgement,
    evidence: Evidence | None = None,
    expectation: str | None = None,
    remark: str = "",
) -> CellRow:
    """Returns the result row of a cell.

    Args:
        cell: The cell.
        judgement: Its verdict.
        evidence: What the verdict rests on; None where the cell was not run.
        expectation: Name of the expectation that hides the failure, or did until it expired.
        remark: The note on the row.
    """
    flow = cell.flow
    signature = signature_of(cell, judgement, evidence)
    requested = cell.offloads.requested | dict.fromkeys(cell.unsupported, True)
    return CellRow(
        id=cell.id,
        pair=cell.pair,
        requested=requested,
        effective=evidence.effective if evidence else {},
        flow=FlowRow(
            flow.id,
            flow.outer,
            flow.outer_checksum,
            flow.inner,
            flow.l4,
            flow.segmentation,
            flow.port,
            flow.packet_set,
            flow.tunnel,
            flow.state,
            flow.direction,
            flow.vlan,
            flow.load,
        ),
        verdict=judgement.verdict,
        frames=judgement.frames,
        bad=judgement.bad,
        lost=judgement.lost,
        rate=judgement.rate.value,
        rate_low=judgement.rate.low,
        rate_high=judgement.rate.high,
        signature=str(signature) if signature else None,
        culprit=None,
        reason=judgement.reason,
        expectation=expectation,
        wire=note(evidence),
        wrong=_wrong(judgement, evidence),
        note=remark,
    )


def _wrong(judgement: Judgement, evidence: Evidence | None) -> int:
    if judgement.verdict not in (Verdict.FAIL, Verdict.KNOWN) or evidence is None:
        return judgement.bad
    sums = total(evidence.bursts)
    return max(judgement.bad, sums.corrupt, sums.unasked, sums.rerouted)
