"""What one end of a pair receives: frames that the other end makes, right and wrong on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from qualification.inventory import Role, other
from qualification.messages.receive import ReceiveOrder, ReceiveResult
from qualification.plan.flows import Flow

from .orders import device_name, inner_address, inner_mac, nobody

if TYPE_CHECKING:
    from .session import PairSession

_ARRIVED = TypeAdapter(ReceiveResult)


def receive(pair: PairSession, flow: Flow, receiver: Role) -> ReceiveResult:
    """Has one end throw a burst at the other's tunnel.

    Args:
        pair: The pair; its tunnels are made.
        flow: What is thrown.
        receiver: The end that gets it.

    Returns:
        What became of it there.
    """
    order = _order(pair, flow, receiver)
    pair.call(receiver, "expect_received", order=order)
    pair.call(other(receiver), "inject_received", order=order)
    return _ARRIVED.validate_python(pair.call(receiver, "collect_received"))


def _order(pair: PairSession, flow: Flow, receiver: Role) -> ReceiveOrder:
    ends, sender, vni = pair.ends, other(receiver), flow.vni
    port, seed = pair.orders.own()
    return ReceiveOrder(
        vni=vni,
        protocol=flow.l4,
        device=device_name(vni),
        vxlan_port=flow.port,
        source_mac=ends.nic(sender).facts.mac,
        destination_mac=ends.nic(receiver).facts.mac,
        source=ends.outer(sender, flow.outer),
        destination=ends.outer(receiver, flow.outer),
        inner_source_mac=_NOBODYS_MAC,
        inner_destination_mac=inner_mac(receiver, vni),
        inner_source=nobody(vni, flow.inner),
        inner_destination=inner_address(receiver, vni, flow.inner),
        port=port,
        mtu=ends.mtu,
        inner_mtu=ends.mtu - flow.overhead,
        seed=seed,
    )


_NOBODYS_MAC = "02:56:58:00:00:4d"
"""Inside the tunnels, where `orders.inner_mac` makes every other address."""
