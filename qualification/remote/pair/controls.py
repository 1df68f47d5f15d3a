"""Runs the controls of a pair; `qualification.judge.controls` judges what they yield."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import replace
from functools import partial

from qualification.errors import AgentError, LabError
from qualification.judge.controls import (
    ControlResult,
    blocked,
    crafted_blocked,
    first_untrusted,
    judge_crafted,
    judge_injected,
    judge_received_control,
    judge_traffic,
    no_tags,
    not_received,
)
from qualification.judge.evidence import Burst
from qualification.messages.bursts import Family, Protocol, Sent, Submitted
from qualification.plan.cells import TAGGED, Cell
from qualification.plan.flows import Flow, crafted_flows, receive_flows

from .injected import frames as injected_frames
from .orders import BurstOrders
from .pace import find_pace
from .receive import receive_at_own_pace
from .session import SPARE, PairSession

_log = logging.getLogger("vxqual.pair")

_PLAIN: tuple[tuple[Protocol, bool], ...] = (("udp", False), ("udp", True), ("tcp", False))
"""The shapes of plain traffic: protocol, and whether it is segmented."""
_TRIES = 3
"""How often a control sends what does not get through, as a link that comes back, or a switch that
has yet to learn a VLAN, loses it once and says nothing about the path."""
_TAGGED_FRAMES = 400
_NO_VLAN = "no-vlan"
_REFUSALS = frozenset({_NO_VLAN, "vlan-taken", "address-taken", "name-taken"})
"""Kinds of the answers of an agent that cannot tag; the first is that its kernel has no tags."""


def run_controls(
    pair: PairSession, cells: Collection[Cell] | None = None
) -> dict[str, ControlResult]:
    """Runs the controls of a pair, with all offloads of the DUT off.

    Args:
        pair: The pair.
        cells: The cells that will rest on them: what none of these sends is left out, but no kind
            of control that they are distrusted for. None is for every cell that there may be.

    Returns:
        How each control came out, by its name.
    """
    pair.offloads.all_off()
    port = pair.ends.port
    flows = None if cells is None else {cell.flow for cell in cells}
    pace, flow, burst = find_pace(pair)
    tunnelled = _tunnel_bursts(pair, {flow.id: burst}, flows)
    controls = {
        "plain": judge_traffic("plain", _plain_bursts(pair), pair.demand),
        "all-off": replace(judge_traffic("all-off", tunnelled, pair.demand, port=port), pace=pace),
        "crafted": judge_crafted(_crafted_bursts(pair, flows)),
        "injected": _run_injected(pair),
    }
    if flows is None or any(flow.direction == "receive" for flow in flows):
        controls["received"] = run_received(pair)
    tags = flows is None or any(flow.vlan for flow in flows)
    if tags and pair.ends.vlan is not None and first_untrusted(controls) is None:
        controls[TAGGED] = _run_tagged(pair)
    return controls


def _plain_bursts(pair: PairSession) -> dict[str, Burst]:
    shapes: dict[str, tuple[Family, Protocol, bool]] = {
        f"plain{family}/{l4}{'-seg' if segmented else ''}": (family, l4, segmented)
        for l4, segmented in _PLAIN
        for family in sorted(pair.ends.families)
    }
    frames = _frames_of_each(pair, len(shapes))
    plain = pair.endpoints.orders.plain
    orders = {name: partial(plain, *shape, frames) for name, shape in shapes.items()}
    return _until_blocked(pair, orders, partial(blocked, port=None))


def _tunnel_bursts(
    pair: PairSession, sent: Mapping[str, Burst], needed: Set[Flow] | None
) -> dict[str, Burst]:
    """Sends a burst of each flow; the one by which the pace was found counts for its flow."""
    bursts = dict(sent)
    if any(blocked(name, burst, pair.ends.port) is not None for name, burst in bursts.items()):
        return bursts
    traffic = None if needed is None else {_traffic(flow) for flow in needed}
    chosen = [flow for flow in pair.flows if traffic is None or _traffic(flow) in traffic]
    frames = _frames_of_each(pair, max(1, len(chosen)))
    # UDP first: it shows at once that a path is blocked, where TCP would wait for its deadline.
    flows = sorted(chosen, key=lambda flow: flow.l4 == "tcp")
    orders = {
        flow.id: partial(pair.endpoints.orders.tunnel, flow, frames)
        for flow in flows
        if flow.id not in bursts
    }
    return bursts | _until_blocked(pair, orders, partial(blocked, port=pair.ends.port))


def _traffic(flow: Flow) -> tuple[object, ...]:
    """Returns what the bulk flow has in common with the flows that are compared with it."""
    return flow.outer, flow.outer_checksum, flow.inner, flow.l4


def _crafted_bursts(pair: PairSession, needed: Set[Flow] | None) -> dict[str, Burst]:
    """Sends each crafted packet set through one outer variant, once for each inner family.

    With offloads off, what the kernel does to the inner packet does not depend on the variant.
    Where no cell needs a set, one is sent all the same: it shows that frames arrive byte for byte.
    """
    outer = pair.flows[0].outer
    flows = [
        flow
        for flow in crafted_flows(pair.ends.families, pair.ends.port)
        if not flow.tunnel or (flow.outer == outer and flow.outer_checksum)
    ]
    if needed is not None:
        sets = {flow.packet_set for flow in needed} - {""} or {flows[0].packet_set}
        flows = [flow for flow in flows if flow.packet_set in sets]
    orders = {flow.id: partial(pair.endpoints.orders.packet_set, flow) for flow in flows}
    return _until_blocked(pair, orders, crafted_blocked)


def _run_tagged(pair: PairSession) -> ControlResult:
    """Sends VLAN-tagged frames: bulk, which has to reach the sockets, and a crafted packet set."""
    try:
        pair.states.tag(True)
    except AgentError as error:
        if error.kind not in _REFUSALS:
            raise  # the agent is dead or too slow: that says nothing about tags
        return no_tags(error.what, blocked=error.kind == _NO_VLAN)
    builder = pair.endpoints.orders
    orders: dict[str, Callable[[], BurstOrders]] = {}
    for outer in sorted(pair.ends.families):
        flow = Flow(outer, True, outer, "udp", False, pair.ends.port, vlan="kernel")
        packet_set = replace(flow, packet_set="lengths")
        orders[flow.id] = partial(builder.tunnel, flow, _TAGGED_FRAMES)
        orders[packet_set.id] = partial(builder.packet_set, packet_set)
    return judge_crafted(_until_blocked(pair, orders, crafted_blocked), TAGGED)


def _until_blocked(
    pair: PairSession,
    orders: Mapping[str, Callable[[], BurstOrders]],
    why_blocked: Callable[[str, Burst], str | None],
) -> dict[str, Burst]:
    """Runs bursts up to the first that never gets through, after which the others show no more.

    Args:
        pair: The pair.
        orders: Builds the orders of each burst, by the flow's id.
        why_blocked: Returns why a burst does not get through, or None if it does.
    """
    bursts: dict[str, Burst] = {}
    for name, order in orders.items():
        for attempt in range(1, _TRIES + 1):
            bursts[name] = pair.endpoints.burst(order)
            why = why_blocked(name, bursts[name])
            if why is None:
                break
            _log.info("%s: control, try %d of %d: %s", pair.name, attempt, _TRIES, why)
        else:
            break
    return bursts


def _run_injected(pair: PairSession) -> ControlResult:
    """Injects frames, right and wrong ones, until none is lost or the tries are used up.

    Every frame of the control has to be seen, and a path may lose one now and then.
    """
    for _ in range(_TRIES):
        result = _inject(pair)
        if not result.lost:
            break
    return result


def _inject(pair: PairSession) -> ControlResult:
    ends = pair.endpoints
    flow = next(flow for flow in pair.flows if flow.outer_checksum and flow.inner == 4)
    orders = ends.orders.tunnel(flow, 1)
    made, expected, good = injected_frames(pair.ends, flow, orders.flow.port)
    ends.call("peer", "watch", capture=orders.receiver, flow=None)
    encoded = [base64.b64encode(frame).decode("ascii") for frame in made]
    ends.call("dut", "inject", frames=encoded, pace=orders.pace)
    received = ends.collect(len(made), orders.pace)
    received = replace(received, captured=replace(received.captured, paths={}))  # no tap saw them
    sent = Sent(Submitted(), written=len(made), complete=True, seconds=0.0, counters={})
    return judge_injected(expected, good, {flow.id: Burst(sent, received)})


def run_received(pair: PairSession) -> ControlResult:
    """Runs the receive tests in the other direction: the DUT sends, and the peer receives.

    The peer's kernel checks every checksum itself, as its NIC's receive checksumming is off.
    """
    try:
        return judge_received_control(
            {
                flow.id: receive_at_own_pace(pair.endpoints, flow, "peer")
                for flow in receive_flows(pair.ends.families, pair.ends.port)
            }
        )
    except LabError as error:  # only the cells of receive tests depend on this control
        return not_received(str(error))


def _frames_of_each(pair: PairSession, flows: int) -> int:
    """Returns the frames of each flow with which all flows of a control meet the demand."""
    return int(pair.demand.frames * SPARE) // flows + 64
