"""Judges the controls of plain and tunnelled traffic."""

from __future__ import annotations

from collections.abc import Mapping

from qualification.judge.delivery import no_socket_room, undelivered
from qualification.judge.evidence import Burst, first_wrong, left_to_nic, rerouted, total
from qualification.judge.verdict import Demand
from qualification.plan.flows import traffic_of

from .result import ControlResult


def judge_traffic(
    name: str, bursts: Mapping[str, Burst], demand: Demand, *, port: int | None = None
) -> ControlResult:
    """Judges traffic with every offload off: it must be clean, in as many frames as a cell needs.

    Args:
        name: The control.
        bursts: One for each flow, by its id.
        demand: What the cells are to exclude; over all flows together the control must, too.
        port: The tunnel's UDP port, for the hint when nothing comes through; None for plain
            traffic.
    """
    sums = total(tuple(bursts.values()))

    def ends(trusted: bool, reason: str) -> ControlResult:
        return ControlResult(name, trusted, reason, sums.frames, sums.bad, sums.lost, bursts)

    dirty = {flow: burst for flow, burst in bursts.items() if burst.received.captured.bad}
    left = bool(dirty) and all(map(left_to_nic, dirty.values()))
    if dirty and not left:
        return ends(
            False,
            f"{sums.bad:,} of {sums.frames:,} frames are wrong with every offload off "
            f"({', '.join(dirty)}): the path or the peer corrupts them, or the NIC does although "
            f"its offloads are off{first_wrong(dirty.values())}",
        )
    if sums.unasked:
        return ends(
            False,
            f"{sums.unasked:,} frames carry an outer checksum where none was asked for, with every "
            "offload off: the path or the peer adds it, or the NIC does although its offloads are "
            "off",
        )
    if sums.rerouted:
        return ends(
            False,
            f"{rerouted(bursts.values())}, with every offload off: the path or the peer changes "
            "it, or the NIC does although its offloads are off",
        )
    if sums.corrupt:
        return ends(False, f"{sums.corrupt:,} payloads arrived changed with every offload off")
    for flow, burst in bursts.items():
        # What is wrong in itself is not delivered, and was found above not to be the path's.
        why = None if flow in dirty else blocked(flow, burst, port)
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
    no_room = sum(_no_room(flow, burst) for flow, burst in bursts.items())
    lost += f"; the peer's sockets had no room for {no_room:,} datagrams" if no_room else ""
    if left:
        return ends(
            True,
            f"{sums.bad:,} of {sums.frames:,} frames are wrong, of those that the kernel left to "
            f"the NIC, which has a feature fixed on: the path is not to blame{lost}",
        )
    return ends(True, f"{sums.frames:,} frames, all right{lost}")


def blocked(flow: str, burst: Burst, port: int | None) -> str | None:
    """Returns a sentence on why a flow of a control does not get through; None if it does.

    Datagrams that the peer's sockets had no room for are no sign of a blocked path.

    Args:
        flow: Its id.
        burst: What was sent and seen of it.
        port: The tunnel's UDP port; None for plain traffic.
    """
    what = f"UDP port {port}" if port else "it"
    submitted = burst.sent.submitted.frames
    arrived = burst.received.captured.frames
    delivered = burst.received.delivered
    if submitted == 0:
        return f"nothing of {flow} left the sender"
    if arrived * 2 < submitted:
        return (
            f"{submitted - arrived:,} of {submitted:,} frames of {flow} are lost: is {what} "
            "filtered on the way?"
        )
    if delivered.complete:
        return None
    if not delivered.received:
        return (
            f"{flow} reaches the peer's NIC but not its sockets: does a firewall on the peer "
            f"drop {what}?"
        )
    if traffic_of(flow)[0] == "tcp":
        if arrived < submitted:
            return None  # a stream that lost frames may have run into its deadline
        return f"{flow} reaches the peer's NIC, but not its sockets to the end"
    lacking = undelivered(burst) - _no_room(flow, burst)
    if lacking <= 0:
        return None
    return (
        f"{lacking:,} of {arrived:,} datagrams of {flow} reach the peer's NIC but not its sockets, "
        f"which had room for them: does a firewall on the peer limit {what}?"
    )


def _no_room(flow: str, burst: Burst) -> int:
    l4, tunnel = traffic_of(flow)
    return no_socket_room(burst, l4, tunnel=tunnel)
