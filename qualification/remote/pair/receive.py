"""Runs a receive test on a pair: one end injects right and wrong frames, the other receives."""

from __future__ import annotations

import logging

from qualification.inventory import Role, other
from qualification.judge.pace import SLOWEST
from qualification.judge.receive.verdict import only_lost
from qualification.messages.receive import ReceiveOrder, ReceiveResult
from qualification.plan.flows import Flow

from .addresses import NOBODY_MAC, device_name, inner_address, inner_mac, nobody
from .endpoints import Endpoints

_TRIES = 7
"""Tests of one flow, each at half the pace of the last, after which its losses have another cause
than the pace."""

_log = logging.getLogger("vxqual.pair")


def receive_at_own_pace(endpoints: Endpoints, flow: Flow, receiver: Role) -> ReceiveResult:
    """As `receive`, again at half the pace while frames are lost and nothing is wrong with them.

    The pace of a pair is that of the other direction: what receives here may be slower. The pace
    that loses nothing is kept for later tests; where none does, the first one is.
    """
    paces = endpoints.orders.receive_paces
    first = pace = paces.get(receiver, endpoints.orders.pace)
    for _ in range(_TRIES):
        paces[receiver] = pace
        result = receive(endpoints, flow, receiver)
        if not only_lost(result):
            return result
        if pace // 2 < SLOWEST:
            break
        _log.info("%s: %s: frames lost at %d frames/s", endpoints.name, flow.id, pace)
        pace //= 2
    paces[receiver] = first
    return result


def receive(endpoints: Endpoints, flow: Flow, receiver: Role) -> ReceiveResult:
    """Has one end of a pair inject a flow's test frames into the other end's tunnel.

    Args:
        endpoints: The pair; its tunnels exist.
        flow: The flow whose test frames are sent.
        receiver: The end that receives them.

    Returns:
        How many frames of each shape the receiver's stack delivered, and how many it refused.
    """
    order = _order(endpoints, flow, receiver)
    endpoints.call(receiver, "expect_received", order=order)
    endpoints.call(other(receiver), "inject_received", order=order)
    return endpoints.ask(receiver, ReceiveResult, "collect_received")


def _order(endpoints: Endpoints, flow: Flow, receiver: Role) -> ReceiveOrder:
    ends, sender, vni = endpoints.ends, other(receiver), endpoints.ends.vni(flow.vni)
    port, seed = endpoints.orders.allotment.port_and_seed()
    return ReceiveOrder(
        vni=vni,
        protocol=flow.l4,
        device=device_name(vni),
        vxlan_port=flow.port,
        source_mac=ends.nic(sender).facts.mac,
        destination_mac=ends.nic(receiver).facts.mac,
        source=ends.outer(sender, flow.outer),
        destination=ends.outer(receiver, flow.outer),
        inner_source_mac=NOBODY_MAC,
        inner_destination_mac=inner_mac(receiver, vni),
        inner_source=nobody(vni, flow.inner),
        inner_destination=inner_address(receiver, vni, flow.inner),
        port=port,
        mtu=ends.mtu,
        inner_mtu=ends.mtu - flow.overhead,
        seed=seed,
        pace=endpoints.orders.receive_paces.get(receiver, endpoints.orders.pace),
    )
