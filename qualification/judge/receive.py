"""What a NIC vouched for on receive, against the truth. Pure.

The truth is in the bytes, as they were when they arrived: what is right has to be delivered, what
is wrong refused. With `rx-checksum` off the kernel sees to that; with it on it believes the NIC. A
wrong frame that an application got is a false accept. A right one that the NIC kept is a false
reject where it is its shape that is missing; single frames are lost.

A NIC can't be blamed for what the kernel got and did not deliver: Linux drops nothing on the word
of a NIC, it sums again (`__skb_checksum_complete`, net/core/skbuff.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qualification.judge.signature.sign import Signature
from qualification.messages.receive import ReceiveResult, ShapeResult
from qualification.plan.cells import Cell
from qualification.plan.features import GRO, RX_CSUM
from qualification.wire.crafted.receive_tests import RIGHT, WRONG
from qualification.wire.layers import INNER_L4, LAYERS

from .evidence import Evidence
from .receive_tally import ReceiveTally, missing_of, receive_tally
from .statistics import rate_after
from .verdict import Demand, Judgement, Verdict, percent

_INNER_L4 = LAYERS[INNER_L4]


def judge_received(cell: Cell, evidence: Evidence, demand: Demand) -> Judgement:
    """The verdict on a cell of what the DUT receives; as for what it sends, FAIL comes first."""
    if evidence.refused:
        names = ", ".join(evidence.refused)
        return Judgement(Verdict.UNSUPPORTED, f"the driver refused to switch {names}")
    seen = receive_tally(evidence.arrived)
    accepted = sum(tally.delivered for tally in seen.accepted)
    rejected = sum(map(missing_of, seen.refused))
    bad = accepted + seen.altered + rejected
    wrong = sum(tally.frames for tally in seen.wrong)
    frames = seen.frames
    measured = rate_after(bad, max(frames, bad), demand.confidence, 1)

    def ends(verdict: Verdict, reason: str) -> Judgement:
        return Judgement(verdict, reason, frames, bad, seen.missing - rejected, measured)

    if bad:
        said = [_accepted(seen.accepted, wrong)] if accepted else []
        if seen.altered:
            said.append(f"{seen.altered:,} payloads were delivered that nobody has sent")
        if rejected:
            right = sum(tally.frames for tally in seen.right)
            shapes = ", ".join(_share(t.shape, missing_of(t), t.frames) for t in seen.refused)
            said.append(
                f"{rejected:,} of {right:,} right frames never reached the DUT's kernel: {shapes}"
            )
        return ends(Verdict.FAIL, "; ".join(said))
    if seen.drops:
        return ends(Verdict.INCONCLUSIVE, f"the capture lost {seen.drops:,} frames")
    # TCP delivers nothing behind a gap: of a stream whose first segment is lost the second waits.
    if seen.withheld > seen.missing or not frames:
        return ends(
            Verdict.INCONCLUSIVE,
            f"{seen.withheld:,} right frames reached the DUT's kernel and no application: does a "
            f"firewall there drop UDP port {cell.flow.port}?",
        )
    if seen.missing:
        right = sum(tally.frames for tally in seen.right)
        return ends(
            Verdict.LOSS,
            f"{seen.missing:,} of {right:,} right frames never reached the DUT's kernel, and not "
            "for their shape: lost on the path, or where the NIC had no room; no wrong one was "
            "delivered",
        )
    told = f"all {frames - wrong:,} right frames were delivered, all {wrong:,} wrong ones refused"
    if not evidence.effective.get(RX_CSUM, False):
        by = f"{RX_CSUM} is off: the kernel checks"
    elif seen.csum_valid:
        by = f"{seen.csum_valid:,} of the right ones came marked as checked"
        by += ", by the NIC or by GRO" if evidence.effective.get(GRO, False) else " by the NIC"
    elif any(_counts_sums(name) for name in seen.counters):
        by = "by its counters the NIC has summed them"
    else:
        return ends(
            Verdict.NOT_EXERCISED,
            f"the kernel did it itself: {RX_CSUM} is on, and as far as the capture can tell the "
            f"NIC vouched for no frame; {told}",
        )
    least = rate_after(0, min(wrong, frames - wrong), demand.confidence, 1).high
    return ends(
        Verdict.PASS,
        f"{told}; {by}: a rate of {percent(least)} or more is excluded at {demand.confidence:.1%}",
    )


def sign_received(evidence: Evidence) -> Signature | None:
    """What the NIC does to what it receives; None where nothing is wrong."""
    seen = receive_tally(evidence.arrived)
    accepted = sum(tally.delivered for tally in seen.accepted)
    wrong = sum(tally.frames for tally in seen.wrong)
    if accepted:
        return _blind(seen, accepted, wrong)
    if seen.altered:
        text = "payloads were delivered that nobody has sent, and no wrong frame was"
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
    # What a NIC that looks at the outer checksum alone would let through: it has to be there.
    fooled = [t for t in seen.wrong if t.wrong == (_INNER_L4,) and t.shape != "inner-zero-outer"]
    others = [tally for tally in seen.accepted if tally not in fooled]
    if any(tally.delivered for tally in fooled) and not others:
        text = (
            "what is wrong inside is delivered where the outer checksum is right, and refused "
            "where that is wrong or 0: it vouches for both by the outer one"
        )
        return Signature("rx-level", _INNER_L4, text, accepted, wrong)
    layers = dict.fromkeys(name for tally in seen.accepted for name in tally.wrong)
    kept = [tally.shape for tally in seen.wrong if not tally.delivered]
    text = f"what is wrong is let through as good; {', '.join(kept) or 'nothing'} is refused"
    return Signature("rx-blind", ", ".join(layers), text, accepted, wrong)


def distrust(arrived: Mapping[str, ReceiveResult]) -> str | None:
    """Why a control of receiving is not what it must be, in a sentence; None if it is.

    Args:
        arrived: What the peer received, by flow.
    """
    if not arrived:
        return "nothing was sent that could have shown anything"
    for flow, burst in arrived.items():
        seen = receive_tally([burst])
        if seen.accepted:
            return f"the peer's kernel delivers what is wrong, of {flow}: {_each(seen.accepted)}"
        if seen.altered:
            return f"{seen.altered:,} payloads of {flow} arrived changed"
        if seen.drops:
            return f"the capture lost {seen.drops:,} frames of {flow}"
        silent = [tally for tally in seen.right if not tally.delivered]
        if silent:
            return f"the peer's application gets no right frames of {flow}: {_names(silent)}"
        unseen = [tally for tally in seen.wrong if not tally.captured]
        if unseen:
            return f"wrong frames of {flow} do not reach the peer: {_names(unseen)}"
        if seen.withheld > seen.missing:
            return f"the peer's kernel refuses {seen.withheld:,} right frames of {flow}"
        if not seen.right or not seen.wrong:
            return f"no frames of {flow} were sent that could have shown anything"
    return None


def _accepted(accepted: Sequence[ShapeResult], wrong: int) -> str:
    count = sum(tally.delivered for tally in accepted)
    marked = sum(min(tally.delivered, tally.csum_not_ready) for tally in accepted)
    proof = f"; {marked:,} came marked as in no need of a check" if marked else ""
    return f"{count:,} of {wrong:,} wrong frames were delivered: {_each(accepted)}{proof}"


def _each(accepted: Iterable[ShapeResult]) -> str:
    return ", ".join(
        _share(
            tally.shape if tally.shape in WRONG else f"{tally.shape} changed on the way",
            tally.delivered,
            tally.frames,
        )
        for tally in accepted
    )


def _share(shape: str, some: int, of: int) -> str:
    return f"{shape} ({some:,} of {of:,})" if some < of else f"{shape} (all {of:,})"


def _names(tallies: Iterable[ShapeResult]) -> str:
    return ", ".join(tally.shape for tally in tallies)


def _counts_sums(name: str) -> bool:
    """Whether a NIC's counter tells that it has summed, or checked: mlx5 has such."""
    return name.startswith("nic.") and "csum" in name and name.endswith(("complete", "unnecessary"))
