"""The report of one capture, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qualification.stack.classes import (
    LEAST_MTU,
    Class,
    Side,
    class_of,
    is_excused,
    is_wrong_on_wire,
)
from qualification.stack.codes import How, State

from .findings import STATES
from .words import ADVICE, PROTOCOLS, address, count, is_are, sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qualification.stack.counting import KeptFrame

    from .findings import Findings, FlowTally

_PORT_HINT = "further ports with VXLAN: --port N"
_REPLIES = "its replies: what came the other way is right, or merged"
_SHOWN = 16


def headline(found: Findings) -> str:
    """Returns the result in one line, without the name of the file."""
    tally, trouble = found.tally, found.counting.trouble
    parts = []
    classes = dict(tally.classes)
    right, nothing = classes.pop(Class.RIGHT, 0), classes.pop(Class.NOTHING, 0)
    if tally.wrong:
        kinds = _wrong_kinds(found)
        parts.append(
            f"{tally.wrong:,} of {count(tally.frames)} {is_are(tally.wrong)} wrong "
            f"({', '.join(f'{number:,} {each.value}' for each, number in kinds.items())})"
        )
        for each, number in kinds.items():
            classes[each] -= number
    elif not tally.frames:
        parts.append("nothing could be judged: it holds no frame")
    elif not tally.judged:
        why = "" if tally.unjudged else ": no frame has a checksum"
        parts.append(f"nothing could be judged{why}")
    elif right == tally.frames:
        parts.append(f"all {count(right)}{_before(trouble)} right")
    else:
        mostly = "most could not be judged; " if found.mostly_unjudged else ""
        parts.append(f"{mostly}{right:,} of {count(tally.frames)} right, none wrong on the wire")
    parts += [f"{number:,} {each.value}" for each, number in classes.items() if number]
    if nothing and tally.judged:
        parts.append(f"{nothing:,} without a checksum")
    if tally.judged and not tally.vxlan:
        parts.append("no VXLAN among them")
    if trouble:
        cut = trouble.startswith("cut")
        parts.append(f"the file is {trouble}" if cut else f"not all of it was read: {trouble}")
    return "; ".join(parts)


def _before(trouble: str | None) -> str:
    if not trouble:
        return ""
    return " before the cut" if trouble.startswith("cut") else " that could be read"


def _wrong_kinds(found: Findings) -> dict[Class, int]:
    kinds: dict[Class, int] = {}
    for outcome, number in found.counting.outcomes.items():
        if is_wrong_on_wire(outcome, found.context):
            each = class_of(outcome, found.context)
            kinds[each] = kinds.get(each, 0) + number
    return {each: kinds[each] for each in Class if each in kinds}


def report(found: Findings) -> Iterator[str]:
    """Yields the lines below the headline."""
    if not found.tally.frames:
        return
    yield from _table(found)
    yield from _flows(found)
    yield from _frames(found)
    yield from _meanings(found)
    if found.reasons:
        yield ""
        yield "could not be judged"
        for why, number in found.reasons.items():
            yield f"  {count(number)}: {why}"
    if found.counting.has_others:
        yield ""
        yield "note: so many flows that later ones are not told apart; their frames are counted"
    for port, number in found.noticed.items():
        yield ""
        yield f"note: VXLAN was noticed on UDP port {port} ({count(number)}), and judged"


def _table(found: Findings) -> Iterator[str]:
    columns = [name for name in STATES if any(row[name] for row in found.layers.values())]
    if not columns:
        return
    width = max(10, *(len(name) + 2 for name in found.layers))
    yield ""
    yield f"{'layer':<{width}}" + "".join(f"{name:>{max(12, len(name) + 2)}}" for name in columns)
    for layer, row in found.layers.items():
        cells = "".join(f"{row[name]:>{max(12, len(name) + 2)},}" for name in columns)
        yield f"{layer:<{width}}{cells}"


def _flows(found: Findings) -> Iterator[str]:
    wrong = [each for each in found.flows if each.wrong] if found.tally.wrong else []
    if wrong:
        yield ""
        yield "flows with wrong frames"
        for each in wrong[:_SHOWN]:
            yield f"  {flow_text(each)}: {each.wrong:,} of {count(each.frames)}"
        if len(wrong) > _SHOWN:
            yield f"  and {len(wrong) - _SHOWN:,} others"


def flow_text(each: FlowTally) -> str:
    """Returns a flow in words."""
    flow = each.flow
    half = len(flow.addresses) // 2
    ends = f"{address(flow.addresses[:half])} → {address(flow.addresses[half:])}"
    vni = "" if flow.vni is None else f"VNI {flow.vni}, "
    name = PROTOCOLS.get(flow.protocol, f"protocol {flow.protocol}")
    return f"{ends}, {vni}IPv{flow.family} {name}"


def _frames(found: Findings) -> Iterator[str]:
    wrong = [kept for kept in found.counting.kept if found.is_wrong(kept)][:_SHOWN]
    if wrong:
        yield ""
        yield "wrong frames" if len(wrong) == found.tally.wrong else "first wrong frames"
        for kept in wrong:
            yield f"  {_frame_text(kept)}"


def _frame_text(kept: KeptFrame) -> str:
    number = f"frame {kept.number}"
    if kept.parts:
        number = f"frames {', '.join(map(str, kept.parts))} (fragments of a datagram)"
    return f"{number}: {'; '.join(sentences(kept.walk))}"


def _meanings(found: Findings) -> Iterator[str]:
    """Says what each class of frames means here, and how it was told."""
    for each in (Class.WRONG_VALUE, Class.LENGTH, Class.UNFILLED, Class.MERGED, Class.CUT):
        number = found.tally.classes.get(each, 0)
        if number:
            yield ""
            yield f"{each.value}: {count(number)}"
            yield f"  {ADVICE[each]}"
            if each == Class.WRONG_VALUE:
                yield from _longer(found)
            elif each == Class.UNFILLED:
                yield from _whose(found, number)
            elif each == Class.MERGED:
                yield (
                    f"  Told by: longer than {found.context.mtu:,} bytes, and every sum above IP "
                    "as the kernel leaves it."
                )
            shown = [kept for kept in found.counting.kept if found.class_of(kept) == each]
            if shown and not any(found.is_wrong(kept) for kept in shown):
                yield f"  The first: {_frame_text(shown[0])}"


def _longer(found: Findings) -> Iterator[str]:
    """Says that LRO may have made wrong frames: NICs leave it the checksum of the first segment."""
    mtu = max(found.context.mtu, LEAST_MTU)
    wrong = [kept for kept in found.counting.kept if found.class_of(kept) == Class.WRONG_VALUE]
    longer = sum(kept.walk.packets[0].end - kept.walk.packets[0].start > mtu for kept in wrong)
    if longer:
        yield (
            f"  {longer} of the first {len(wrong)} {is_are(longer)} longer than {mtu:,} bytes, "
            "which no packet with right checksums is: if LRO is on at the receiver, it may have "
            "put them together. Capture again with: ethtool -K IF lro off rx-gro-hw off"
        )


def _whose(found: Findings, number: int) -> Iterator[str]:
    """Says whether sums that were not filled in can have been on the wire."""
    told, side = _told(found), found.context.side
    values = {How.PARTIAL: 0, How.ZERO: 0, How.LATER: 0}
    for outcome, frames in found.counting.outcomes.items():
        if class_of(outcome, found.context) == Class.UNFILLED:
            for how in {each.how for each in outcome.sums if each.state == State.WRONG}:
                if how in values:
                    values[how] += frames
    yield (
        f"  Told by: the value; the pseudo-header's sum in {count(values[How.PARTIAL])}, 0 in "
        f"{count(values[How.ZERO])}, an outer sum that waits for the inner one in "
        f"{count(values[How.LATER])}."
    )
    if found.tally.excused:
        yield (
            f"  {count(found.tally.excused)} the capturing host sent itself ({told}): its NIC "
            "fills them in after the capture. To judge them, capture on the receiver."
        )
    left = number - found.tally.excused
    if left and side == Side.RECEIVER:
        yield f"  {count(left)} came so over the wire: the sender's NIC did not fill them in."
    elif left:
        yield (
            f"  {count(left)}: captured on the sending host, this means nothing (--side sender; "
            "capture on the receiver); captured on the receiver, the sender's NIC left them so, "
            "or the sender is a container or virtual machine on the same host (--side receiver)."
        )


def _told(found: Findings) -> str:
    """Says how it is known that the capturing host sent frames."""
    directions = {
        outcome.direction
        for outcome in found.counting.outcomes
        if class_of(outcome, found.context) == Class.UNFILLED and is_excused(outcome, found.context)
    }
    if 2 in directions:
        return "by the direction in the capture"
    return "--side sender" if found.context.side == Side.SENDER else _REPLIES
