"""Runs the controls of a pair: what must come out one way before any cell is judged."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
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
)
from qualification.judge.evidence import Burst
from qualification.messages.bursts import Family, Protocol, Sent, Submitted
from qualification.plan.cells import TAGGED
from qualification.plan.flows import Flow, crafted_flows, receive_flows

from .injected import frames as injected_frames
from .orders import BurstOrders
from .receive import receive
from .session import SPARE, PairSession

_PLAIN: tuple[tuple[Protocol, bool], ...] = (("udp", False), ("udp", True), ("tcp", False))
"""What plain traffic is made of: protocol, segmented."""
_INJECTIONS = 3
_TAGGED_FRAMES = 400


def run_controls(pair: PairSession) -> dict[str, ControlResult]:
    """Runs every control, with all offloads of the DUT off."""
    pair.all_off()
    controls = {
        "plain": _plain_control(pair),
        "all-off": _tunnel_control(pair),
        "crafted": _crafted_control(pair),
        "injected": _injected_control(pair),
        "received": run_received(pair),
    }
    if pair.ends.vlan is not None and first_untrusted(controls) is None:
        controls[TAGGED] = _tagged_control(pair)
    return controls


def _plain_control(pair: PairSession) -> ControlResult:
    shapes: dict[str, tuple[Family, Protocol, bool]] = {
        f"plain{family}/{l4}{'-seg' if segmented else ''}": (family, l4, segmented)
        for l4, segmented in _PLAIN
        for family in sorted(pair.ends.families)
    }
    share = _share(pair, len(shapes))
    orders = {name: partial(pair.orders.plain, *shape, share) for name, shape in shapes.items()}
    bursts = _until_blocked(pair, orders, partial(blocked, port=None))
    return judge_traffic("plain", bursts, pair.demand)


def _tunnel_control(pair: PairSession) -> ControlResult:
    share = _share(pair, len(pair.flows))
    # UDP first: a path that is blocked shows at once, where TCP would wait for its deadline.
    flows = sorted(pair.flows, key=lambda flow: flow.l4 == "tcp")
    orders = {flow.id: partial(pair.orders.tunnel, flow, share) for flow in flows}
    port = pair.ends.port
    bursts = _until_blocked(pair, orders, partial(blocked, port=port))
    return judge_traffic("all-off", bursts, pair.demand, port=port)


def _crafted_control(pair: PairSession) -> ControlResult:
    """Every crafted packet set, once for each inner family: outside of that, the kernel does the same."""
    outer = pair.flows[0].outer
    flows = [
        flow
        for flow in crafted_flows(pair.ends.families, pair.ends.port)
        if not flow.tunnel or (flow.outer == outer and flow.outer_checksum)
    ]
    orders = {flow.id: partial(pair.orders.packet_set, flow) for flow in flows}
    return judge_crafted(_until_blocked(pair, orders, crafted_blocked))


def _tagged_control(pair: PairSession) -> ControlResult:
    """Frames behind a VLAN tag: bulk, which has to reach the sockets, and a crafted packet set."""
    try:
        pair.states.tag(True)
    except AgentError as error:
        return no_tags(error.what)
    orders: dict[str, Callable[[], BurstOrders]] = {}
    for outer in sorted(pair.ends.families):
        flow = Flow(outer, True, outer, "udp", False, pair.ends.port, vlan="kernel")
        packet_set = replace(flow, packet_set="lengths")
        orders[flow.id] = partial(pair.orders.tunnel, flow, _TAGGED_FRAMES)
        orders[packet_set.id] = partial(pair.orders.packet_set, packet_set)
    return judge_crafted(_until_blocked(pair, orders, crafted_blocked), TAGGED)


def _until_blocked(
    pair: PairSession,
    orders: Mapping[str, Callable[[], BurstOrders]],
    why: Callable[[str, Burst], str | None],
) -> dict[str, Burst]:
    """Runs bursts up to the first that does not get through: the rest would tell no more."""
    bursts: dict[str, Burst] = {}
    for name, order in orders.items():
        bursts[name] = pair.burst(order)
        if why(name, bursts[name]) is not None:
            break
    return bursts


def _injected_control(pair: PairSession) -> ControlResult:
    """Each frame of it counts, so a path that loses one now and then gets another try."""
    for _ in range(_INJECTIONS):
        result = _inject(pair)
        if not result.lost:
            break
    return result


def _inject(pair: PairSession) -> ControlResult:
    flow = next(flow for flow in pair.flows if flow.outer_checksum and flow.inner == 4)
    orders = pair.orders.tunnel(flow, 1)
    made, expected, good = injected_frames(pair.ends, flow, orders.flow.port)
    pair.call("peer", "watch", capture=orders.receiver, flow=None)
    encoded = [base64.b64encode(frame).decode("ascii") for frame in made]
    pair.call("dut", "inject", frames=encoded)
    received = pair.collect(len(made))
    made_by_us = Sent(Submitted(), written=len(made), complete=True, seconds=0.0, counters={})
    return judge_injected(expected, good, {flow.id: Burst(made_by_us, received)})


def run_received(pair: PairSession) -> ControlResult:
    """What the DUT is going to receive, the other way: the peer's NIC vouches for nothing."""
    try:
        return judge_received_control(
            {
                flow.id: receive(pair, flow, "peer")
                for flow in receive_flows(pair.ends.families, pair.ends.port)
            }
        )
    except LabError as error:  # nothing but the cells of what is received hang on it
        return ControlResult("received", False, str(error))


def _share(pair: PairSession, parts: int) -> int:
    """Frames of each flow so that all flows of a control together meet the demand."""
    return int(pair.demand.frames * SPARE) // parts + 64
