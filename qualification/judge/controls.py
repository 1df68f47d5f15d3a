"""Controls before trust: runs that must come out one way for the others to mean anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qualification.messages.receive import ReceiveResult
from qualification.plan.cells import CONTROLS_OF, TAGGED, Cell
from qualification.plan.flows import Direction

from .evidence import Burst, Evidence, total
from .receive import distrust
from .receive_tally import receive_tally
from .verdict import Demand


@dataclass(frozen=True)
class ControlResult:
    """How one control came out.

    Attributes:
        name: One of `qualification.plan.cells.CONTROLS`.
        trusted: It came out the one way it must.
        reason: A sentence for people.
        frames: Frames judged.
        bad: Wrong ones among them.
        lost: Frames that never arrived.
        bursts: What it rests on, by flow.
        expected: Of frames injected, those made bad on purpose, by the one layer wrong in them.
        good: Of frames injected, those made right.
        arrived: What the peer received, by flow.
        blocked: The path takes no such frames, which is no fault of it; only of the one for tags.
    """

    name: str
    trusted: bool
    reason: str
    frames: int = 0
    bad: int = 0
    lost: int = 0
    bursts: Mapping[str, Burst] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    good: int = 0
    arrived: Mapping[str, ReceiveResult] = field(default_factory=dict)
    blocked: bool = False

    @property
    def evidence(self) -> Evidence:
        """What it rests on, in the form of a cell's."""
        return Evidence(
            effective={},
            bursts=tuple(self.bursts.values()),
            arrived=tuple(self.arrived.values()),
        )


def judge_traffic(
    name: str, bursts: Mapping[str, Burst], demand: Demand, *, port: int | None = None
) -> ControlResult:
    """A control of traffic: clean, and enough of it to notice what the cells are to exclude.

    Args:
        name: The control.
        bursts: One for each flow, by its id.
        demand: What the cells are to exclude; over all flows together the control must, too.
        port: The tunnel's UDP port, for the hint when nothing comes through.
    """
    sums = total(tuple(bursts.values()))

    def ends(trusted: bool, reason: str) -> ControlResult:
        return ControlResult(name, trusted, reason, sums.frames, sums.bad, sums.lost, bursts)

    if sums.bad:
        dirty = [flow for flow, burst in bursts.items() if burst.received.captured.bad]
        return ends(
            False,
            f"{sums.bad:,} of {sums.frames:,} frames are wrong with every offload off "
            f"({', '.join(dirty)}): the path or the peer corrupts, or the NIC does unasked",
        )
    if sums.unasked:
        return ends(
            False,
            f"{sums.unasked:,} frames carry an outer checksum where none was asked for, with every "
            "offload off: the path or the peer adds it, or the NIC does unasked",
        )
    if sums.corrupt:
        return ends(False, f"{sums.corrupt:,} payloads arrived changed with every offload off")
    for flow, burst in bursts.items():
        why = blocked(flow, burst, port)
        if why is not None:
            return ends(False, why)
    if sums.drops:
        return ends(False, f"the capture lost {sums.drops:,} frames")
    if sums.inner_csum_errors:
        return ends(
            False,
            f"the peer's kernel refused {sums.inner_csum_errors:,} inner checksums, "
            "and the capture saw none wrong",
        )
    if sums.unjudged:
        return ends(False, f"{sum(sums.unjudged.values()):,} frames cannot be judged")
    if sums.frames < demand.frames:
        return ends(
            False,
            f"{sums.frames:,} frames are too few to trust the path: it takes {demand.frames:,}",
        )
    lost = f"; {sums.lost:,} lost on the way" if sums.lost else ""
    return ends(True, f"{sums.frames:,} frames, all right{lost}")


def judge_crafted(bursts: Mapping[str, Burst], name: str = "crafted") -> ControlResult:
    """The control that shows what is due of a crafted packet set: with every offload off, the kernel makes it.

    Args:
        bursts: One for each crafted packet set, by its flow's id.
        name: "crafted", or `TAGGED` for flows behind a VLAN tag, which a path need not let through.
    """
    sums = total(tuple(bursts.values()))

    def ends(trusted: bool, reason: str, *, blocked: bool = False) -> ControlResult:
        counts = sums.frames, sums.bad, sums.lost
        return ControlResult(name, trusted, reason, *counts, bursts, blocked=blocked)

    for flow, burst in bursts.items():
        seen = burst.received.captured
        if seen.bad:
            said = seen.samples[0].findings[-1] if seen.samples else "?"
            return ends(
                False,
                f"{seen.bad:,} of {seen.frames:,} frames of {flow} are not as they must be with "
                f"every offload off, such as: {said}",
            )
        why = crafted_blocked(flow, burst)
        if why is not None:
            return ends(False, why, blocked=name == TAGGED)
    if sums.drops or sums.unjudged:
        return ends(
            False,
            f"the capture lost {sums.drops:,} frames, "
            f"and {sum(sums.unjudged.values()):,} cannot be judged",
        )
    lost = f"; {sums.lost:,} lost on the way" if sums.lost else ""
    return ends(True, f"{sums.frames:,} frames, each as it must be{lost}")


def blocked(flow: str, burst: Burst, port: int | None) -> str | None:
    """Why a flow of a control does not get through, in a sentence; None if it does.

    Args:
        flow: Its id.
        burst: What was sent and seen of it.
        port: The tunnel's UDP port; None for plain traffic.
    """
    what = f"UDP port {port}" if port else "it"
    submitted = burst.sent.submitted.frames
    arrived = burst.received.captured.frames
    if submitted == 0:
        return f"nothing of {flow} left the sender"
    if arrived * 2 < submitted:
        return (
            f"{submitted - arrived:,} of {submitted:,} frames of {flow} are lost: is {what} filtered on "
            "the way?"
        )
    if arrived >= submitted and not burst.received.delivered.complete:
        return (
            f"{flow} reaches the peer's NIC but not its sockets: does a firewall on the peer "
            f"drop {what}?"
        )
    return None


def crafted_blocked(flow: str, burst: Burst) -> str | None:
    """The same of a crafted packet set; buffers that the kernel does not take say nothing of the path."""
    return blocked(flow, burst, None) if burst.sent.written else None


def judge_injected(
    expected: Mapping[str, int], good: int, bursts: Mapping[str, Burst]
) -> ControlResult:
    """The control that shows the capture sees what is wrong, and only that.

    Args:
        expected: Frames made bad on purpose, by the one layer that is wrong in them.
        good: Frames made right.
        bursts: What the capture made of them, by flow.
    """
    bad = sum(expected.values())
    seen = total(tuple(bursts.values()))

    def ends(trusted: bool, reason: str) -> ControlResult:
        lost = max(0, bad + good - seen.frames)
        return ControlResult(
            "injected", trusted, reason, seen.frames, seen.bad, lost, bursts, expected, good
        )

    if not bad or not good:
        return ends(False, "no frame was injected that could have shown anything")

    if seen.frames < bad + good:
        return ends(False, f"{seen.frames} of {bad + good} injected frames arrived")
    missed = [layer for layer, count in expected.items() if seen.bad_layers.get(layer, 0) < count]
    if missed:
        return ends(
            False,
            f"frames made wrong on purpose were not seen as wrong: {', '.join(missed)}; "
            "something between sender and capture repairs checksums",
        )
    if seen.bad != bad:
        return ends(False, f"{seen.bad} frames are called wrong where {bad} were made so")
    return ends(
        True, f"{bad} frames made wrong on purpose, and {good} right ones, all seen as such"
    )


def judge_received_control(arrived: Mapping[str, ReceiveResult]) -> ControlResult:
    """The control that shows what is due of frames received: the peer's kernel checks all of them.

    Args:
        arrived: What it received, by flow.
    """
    seen = receive_tally(arrived.values())
    why = distrust(arrived)
    right = sum(tally.frames for tally in seen.right)
    lost = f"; {seen.missing:,} lost on the way" if seen.missing else ""
    return ControlResult(
        "received",
        why is None,
        why
        or f"{right:,} right frames delivered, {seen.frames - right:,} wrong ones refused{lost}",
        seen.frames,
        sum(tally.delivered for tally in seen.accepted),
        seen.missing,
        arrived=arrived,
    )


def judge_again(result: ControlResult, demand: Demand, port: int) -> ControlResult:
    """Judges a control by what it rests on, as if it had just been run.

    Args:
        result: It, with its bursts.
        demand: What the cells are to exclude now.
        port: The tunnel's UDP port.
    """
    if result.name == "injected":
        return judge_injected(result.expected, result.good, result.bursts)
    if result.blocked and not result.bursts:
        return result  # there was nothing to judge
    if result.name in ("crafted", TAGGED):
        return judge_crafted(result.bursts, result.name)
    if result.name == "received":
        # What could not be run at all stays as it was.
        return judge_received_control(result.arrived) if result.arrived else result
    in_tunnel = None if result.name == "plain" else port
    return judge_traffic(result.name, result.bursts, demand, port=in_tunnel)


def no_tags(why: str) -> ControlResult:
    """The control for tags where none could be given to any frame.

    Args:
        why: In a sentence.
    """
    return ControlResult(TAGGED, False, why, blocked=True)


def distrusted(cell: Cell, controls: Mapping[str, ControlResult]) -> ControlResult | None:
    """The control that forbids a cell of its pair a verdict; None if none does."""
    failed = first_untrusted(controls, cell.flow.direction)
    if failed is None and cell.flow.vlan:
        tagged = controls.get(TAGGED, ControlResult(TAGGED, False, "it was not run"))
        failed = None if tagged.trusted else tagged
    return failed


def first_untrusted(
    controls: Mapping[str, ControlResult], direction: Direction = "send"
) -> ControlResult | None:
    """The first control that did not come out the one way it must; one that was not run did not.

    Args:
        controls: Those of a pair, by name.
        direction: Only those are asked that its cells rest on.
    """
    for name in CONTROLS_OF[direction]:
        result = controls.get(name, ControlResult(name, False, "it was not run"))
        if not result.trusted:
            return result
    return None


def not_received(why: str) -> ControlResult:
    """Returns the result of the control "received" when it could not be run.

    Args:
        why: The reason, in a sentence.
    """
    return ControlResult("received", False, why)
