"""Compares the verdict on a cell with recordings of the wire, where a lab made any.

The peer's capture is what verdicts rest on; a recording shows whether it tells the truth. They are
made outside of both hosts, so nothing that a NIC or a kernel does can change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from qualification.wire.layers import LAYERS
from qualification.wire.recording import WireTally

from .evidence import Evidence, total
from .verdict import Judgement, Verdict


def recorded(evidence: Evidence | None) -> WireTally | None:
    """Returns the sums of a cell's recordings; None if there are none, or not of every burst."""
    tallies = [burst.wire for burst in evidence.bursts] if evidence else []
    known = [each for each in tallies if each is not None]
    if not known or len(known) < len(tallies):
        return None
    layers: Counter[str] = Counter()
    unjudged: Counter[str] = Counter()
    for each in known:
        layers.update(each.bad_layers)
        unjudged.update(each.unjudged)
    return WireTally(
        sum(each.frames for each in known),
        sum(each.bad for each in known),
        dict(layers),
        dict(unjudged),
        sum(each.fragments for each in known),
        tuple(sample for each in known for sample in each.samples),
    )


def note(evidence: Evidence | None) -> str:
    """Returns what the recordings of a cell show, as a note; empty if it was not recorded."""
    wire = recorded(evidence)
    if wire is None:
        return ""
    parts = [f"{wire.frames:,} frames, {wire.bad:,} wrong"]
    if wire.bad:
        parts[0] += ": " + ", ".join(f"{name} ({n:,})" for name, n in wire.bad_layers.items())
    parts += [f"{count:,} not judged: {reason}" for reason, count in wire.unjudged.items()]
    if wire.fragments:
        parts.append(f"{wire.fragments:,} fragments")
    return "; ".join(parts)


def confirm(judgement: Judgement, evidence: Evidence) -> Judgement:
    """Returns the judgement; INCONCLUSIVE if recordings of the wire contradict it."""
    wire = recorded(evidence)
    if wire is None:
        return judgement
    objection = next(_objections(judgement, evidence, wire), None)
    if objection is None:
        return judgement
    reason = f"the recording of the wire contradicts {judgement.verdict}: {objection}"
    return replace(judgement, verdict=Verdict.INCONCLUSIVE, reason=reason)


def _objections(judgement: Judgement, evidence: Evidence, wire: WireTally) -> Iterator[str]:
    sums = total(evidence.bursts)
    carried = wire.frames + sum(wire.unjudged.values())
    captured = sums.frames + sum(sums.unjudged.values())
    if captured > carried + wire.fragments:
        yield f"the peer captured {captured:,} frames, and the wire carried {carried:,}"
    if judgement.verdict is Verdict.FAIL:
        for name, count in sums.bad_layers.items():
            if name in LAYERS.values() and count > wire.bad_layers.get(name, 0):
                yield (
                    f"{count:,} frames were captured with a wrong {name}, and"
                    f" {wire.bad_layers.get(name, 0):,} crossed the wire"
                )
    elif judgement.verdict is Verdict.LOSS:
        if carried >= sums.submitted and not wire.bad:
            yield (
                f"all {sums.submitted:,} frames submitted to the driver were sent, and the peer"
                f" did not take in {sums.lost:,} of them"
            )
    elif wire.bad and judgement.verdict in (Verdict.PASS, Verdict.NOT_EXERCISED):
        yield f"{wire.bad:,} of {wire.frames:,} frames on the wire are wrong"
