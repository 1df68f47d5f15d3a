"""Judges the control of frames that the peer receives, whose kernel checks all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qualification.judge.receive.tally import receive_tally
from qualification.judge.receive.verdict import shares
from qualification.messages.receive import ReceiveResult, ShapeResult

from .result import ControlResult

_NAME = "received"


def judge_received_control(arrived: Mapping[str, ReceiveResult]) -> ControlResult:
    """Judges what the peer received, with its own offloads off, of the frames of a receive test.

    It shows that a kernel which checks every frame delivers the right ones and refuses the wrong
    ones.

    Args:
        arrived: What the peer received, by flow.
    """
    seen = receive_tally(arrived.values())
    why = _distrust(arrived)
    right = sum(tally.frames for tally in seen.right)
    lost = f"; {seen.missing:,} lost on the way" if seen.missing else ""
    return ControlResult(
        _NAME,
        why is None,
        why
        or f"{right:,} right frames delivered, {seen.frames - right:,} wrong ones refused{lost}",
        seen.frames,
        sum(tally.delivered for tally in seen.accepted),
        seen.missing,
        received=arrived,
    )


def not_received(why: str) -> ControlResult:
    """Returns the control where the frames could not be sent or received at all.

    Only cells in which the DUT receives rest on it, so that a lab's error here spares the others.

    Args:
        why: The lab's error, in a sentence.
    """
    return ControlResult(_NAME, False, why)


def _distrust(arrived: Mapping[str, ReceiveResult]) -> str | None:
    """Returns a sentence on what is not as it must be; None if all is."""
    if not arrived:
        return "nothing was sent that could have shown anything"
    for flow, burst in arrived.items():
        seen = receive_tally([burst])
        if seen.accepted:
            return f"the peer's kernel delivers wrong frames of {flow}: {shares(seen.accepted)}"
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


def _names(shapes: Iterable[ShapeResult]) -> str:
    return ", ".join(tally.shape for tally in shapes)
