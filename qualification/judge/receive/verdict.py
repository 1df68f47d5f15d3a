"""Judges what a NIC did with frames that it received. Pure.

The truth is in the bytes, as they were when they arrived: right frames have to be delivered, wrong
ones refused. With `rx-checksum` off the kernel verifies every checksum; with it on it believes the
receive checksum status that the NIC reports. A wrong frame that an application got is a false
accept. A right frame that the NIC dropped is a false reject where frames of that shape are missing;
where single frames of any shape are missing, they are lost, and no capture has seen on which side.

A NIC is not blamed for frames that the kernel received and did not deliver: Linux drops nothing
because of the status that a NIC reports, it sums again (`__skb_checksum_complete`,
net/core/skbuff.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qualification.judge.evidence import Evidence, no_room
from qualification.judge.signature.sign import Signature
from qualification.judge.statistics import rate_after
from qualification.judge.verdict import Demand, Judgement, Verdict, percent
from qualification.messages.receive import ReceiveResult, ShapeResult
from qualification.plan.cells import Cell
from qualification.plan.features import GRO, RX_CSUM
from qualification.wire.crafted.receive_tests import RIGHT, WRONG
from qualification.wire.layers import INNER_L4, LAYERS

from .tally import ReceiveTally, missing_of, receive_tally

_INNER_L4 = LAYERS[INNER_L4]


def judge_received(cell: Cell, evidence: Evidence, demand: Demand) -> Judgement:
    """Returns the verdict on a cell in which the DUT receives.

    As for cells in which it sends, FAIL comes first.
    """
    if evidence.refused:
        names = ", ".join(evidence.refused)
        return Judgement(Verdict.UNSUPPORTED, f"the driver refused to switch {names}")
    seen = receive_tally(evidence.received)
    accepted = sum(tally.delivered for tally in seen.accepted)
    rejected = sum(map(missing_of, seen.refused))
    bad = accepted + seen.altered + rejected
    wrong = sum(tally.frames for tally in seen.wrong)
    frames = seen.frames
    measured = rate_after(bad, max(frames, bad), demand.confidence, 1)

    def ends(verdict: Verdict, reason: str) -> Judgement:
        return Judgement(verdict, reason, frames, bad, seen.missing - rejected, measured)

    if bad:
        return ends(Verdict.FAIL, _failure(seen, accepted, rejected, wrong))
    if seen.drops:
        return ends(Verdict.INCONCLUSIVE, f"the capture lost {seen.drops:,} frames")
    # TCP delivers nothing behind a gap: where the first segment of a stream is lost, the second
    # waits.
    if seen.withheld > seen.missing or not frames:
        return ends(
            Verdict.INCONCLUSIVE,
            f"{seen.withheld:,} right frames reached the DUT's kernel and no application: does a "
            f"firewall there drop UDP port {cell.flow.port}?",
        )
    if seen.missing:
        right = sum(tally.frames for tally in seen.right)
        return ends(
            Verdict.INCONCLUSIVE,
            f"{seen.missing:,} of {right:,} right frames never reached the DUT's kernel, and not "
            f"because of their shape{_no_room(evidence)}: slower tests lost some as well; no wrong "
            "frame was delivered",
        )
    both = f"all {frames - wrong:,} right frames were delivered, all {wrong:,} wrong ones refused"
    proof = _proof_of_offload(evidence, seen)
    if proof is None:
        return ends(
            Verdict.NOT_EXERCISED,
            f"the kernel did it itself: {RX_CSUM} is on, and as far as the capture can tell the "
            f"NIC marked no frame as checked; {both}",
        )
    least = rate_after(0, min(wrong, frames - wrong), demand.confidence, 1).high
    return ends(
        Verdict.PASS,
        f"{both}; {proof}: a rate of {percent(least)} or more is excluded at "
        f"{demand.confidence:.1%}",
    )


def only_lost(result: ReceiveResult) -> bool:
    """Returns whether a test shows nothing but lost frames, of which a slower one may lose less.

    A NIC that refuses a shape refuses all frames of it. One that has no room loses some of each, or
    most of those shapes that are sent last.
    """
    seen = receive_tally([result])
    partly = any(0 < missing_of(tally) < tally.frames for tally in seen.right)
    return bool(partly or seen.drops) and not (seen.accepted or seen.altered)


def _no_room(evidence: Evidence) -> str:
    """Returns a phrase on the frames that the DUT counts as dropped; empty if it counts none."""
    drops = no_room(burst.counters for burst in evidence.received)
    named = ", ".join(f"{name} {count:,}" for name, count in sorted(drops.items()))
    return f" (the DUT had no room: {named})" if named else ""


def _failure(seen: ReceiveTally, accepted: int, rejected: int, wrong: int) -> str:
    parts = [_false_accepts(seen.accepted, wrong)] if accepted else []
    if seen.altered:
        parts.append(f"{seen.altered:,} payloads were delivered that were never sent")
    if rejected:
        right = sum(tally.frames for tally in seen.right)
        shapes = ", ".join(_share(t.shape, missing_of(t), t.frames) for t in seen.refused)
        parts.append(
            f"{rejected:,} of {right:,} right frames never reached the DUT's kernel: {shapes}"
        )
    return "; ".join(parts)


def _proof_of_offload(evidence: Evidence, seen: ReceiveTally) -> str | None:
    """Returns what shows who verified the checksums; None where rx-checksum was not exercised."""
    if not evidence.effective.get(RX_CSUM, False):
        return f"{RX_CSUM} is off: the kernel checks"
    if seen.csum_valid:
        by = ", by the NIC or by GRO" if evidence.effective.get(GRO, False) else " by the NIC"
        return f"{seen.csum_valid:,} of the right ones came marked as checked{by}"
    if any(_counts_checksums(name) for name in seen.counters):
        return "by its counters the NIC has summed them"
    return None


def sign_received(evidence: Evidence) -> Signature | None:
    """Returns what the NIC does to frames that it receives; None where nothing is wrong."""
    seen = receive_tally(evidence.received)
    accepted = sum(tally.delivered for tally in seen.accepted)
    wrong = sum(tally.frames for tally in seen.wrong)
    if accepted:
        return _blind(seen, accepted, wrong)
    if seen.altered:
        text = "payloads were delivered that were never sent, and no wrong frame was"
        return Signature("rx-altered", "payload", text, 0, seen.altered, (), seen.altered)
    if seen.refused:
        rejected = sum(map(missing_of, seen.refused))
        frames = sum(tally.frames for tally in seen.refused)
        return Signature("rx-strict", "frame", _strict(seen), rejected, frames)
    return None


def _strict(seen: ReceiveTally) -> str:
    if len(seen.refused) == len(seen.right):
        return "no right frame of the flow is let through, where others in the tunnel are"
    shapes = [f"{tally.shape} ({RIGHT.get(tally.shape, '')})" for tally in seen.refused]
    return f"right frames are not let through for their shape: {', '.join(shapes)}"


def _blind(seen: ReceiveTally, accepted: int, wrong: int) -> Signature:
    # A NIC that checks only the outer checksum accepts these and no others. The shape without an
    # outer checksum has to be refused for that.
    fooled = [t for t in seen.wrong if t.wrong == (_INNER_L4,) and t.shape != "inner-zero-outer"]
    others = [tally for tally in seen.accepted if tally not in fooled]
    if any(tally.delivered for tally in fooled) and not others:
        text = (
            "frames with a wrong inner checksum are delivered where the outer checksum is right, "
            "and refused where that is wrong or 0: the NIC reports both as valid by the outer one"
        )
        return Signature("rx-level", _INNER_L4, text, accepted, wrong)
    layers = dict.fromkeys(name for tally in seen.accepted for name in tally.wrong)
    refused = [tally.shape for tally in seen.wrong if not tally.delivered]
    text = f"wrong frames are let through as good; {', '.join(refused) or 'nothing'} is refused"
    return Signature("rx-blind", ", ".join(layers), text, accepted, wrong)


def shares(accepted: Iterable[ShapeResult]) -> str:
    """Returns the shapes of wrong frames that were delivered, with their share, as text."""
    return ", ".join(
        _share(
            tally.shape if tally.shape in WRONG else f"{tally.shape} changed on the way",
            tally.delivered,
            tally.frames,
        )
        for tally in accepted
    )


def _false_accepts(accepted: Sequence[ShapeResult], wrong: int) -> str:
    count = sum(tally.delivered for tally in accepted)
    marked = sum(min(tally.delivered, tally.csum_not_ready) for tally in accepted)
    proof = f"; {marked:,} came marked as in no need of a check" if marked else ""
    return f"{count:,} of {wrong:,} wrong frames were delivered: {shares(accepted)}{proof}"


def _share(shape: str, some: int, of: int) -> str:
    return f"{shape} ({some:,} of {of:,})" if some < of else f"{shape} (all {of:,})"


def _counts_checksums(name: str) -> bool:
    """Returns whether a NIC's counter shows that it summed or checked frames, as mlx5's do."""
    return name.startswith("nic.") and "csum" in name and name.endswith(("complete", "unnecessary"))
