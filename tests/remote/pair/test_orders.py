"""Orders for bursts: crafted packet sets without a tunnel, and what tells bursts apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from qualification.inventory import Ends, Nic
from qualification.messages.bursts import CraftedOrder
from qualification.messages.host import HostFacts, NicFacts
from qualification.plan.flows import Flow, crafted_flows
from qualification.remote.pair.orders import OrderBuilder
from qualification.remote.pair.states import TunnelFlows
from qualification.remote.pair.tunnel_orders import tunnel_orders
from qualification.wire.crafted.catalogue import BURST_TTLS, TUNNEL_PORTS

HOST = HostFacts("a", "6.1", "Debian", "a CPU", 2, "3.11", 1, ("p0",))


def nic(number: int) -> Nic:
    facts = NicFacts(
        interface=f"p{number}", mac=f"02:00:00:00:00:0{number}", mtu=9000 - number, up=True,
        carrier=True, driver="ice", driver_version=None, firmware=None, bus=None, pci_id=None,
        speed_mbps=None, queues={}, rings={}, devlink={}, addresses=(), features={},
    )  # fmt: skip
    return Nic("a.p", HOST, facts, None, (f"198.18.0.{number}/24", f"fd00::{number}/64"))


ENDS = Ends(nic(1), nic(2), 8472)
FLOWS = {flow.id: flow for flow in crafted_flows(frozenset({4, 6}), 8472)}


def packet_set(bursts: OrderBuilder, flow: Flow) -> CraftedOrder:
    order = bursts.packet_set(flow).flow
    assert isinstance(order, CraftedOrder)
    return order


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("l4", ["tcp", "udp"])
def test_a_plain_packet_set_goes_from_nic_to_nic(family: Literal[4, 6], l4: str) -> None:
    orders = OrderBuilder(ENDS, (7,), 1).packet_set(FLOWS[f"plain{family}/{l4}/lengths"])
    order = orders.flow
    assert isinstance(order, CraftedOrder)
    assert (order.device, order.vni, order.mtu, order.ttl) == ("p1", None, 8998, 64)
    assert (order.source_mac, order.destination_mac) == ("02:00:00:00:00:01", "02:00:00:00:00:02")
    ends = ("198.18.0.1", "198.18.0.2") if family == 4 else ("fd00::1", "fd00::2")
    assert (order.source, order.destination) == ends
    for capture in orders.sender, orders.receiver:
        assert capture.protocols == (6 if l4 == "tcp" else 17,)
        assert (capture.port, capture.flow_port) == (order.port, order.port)
        assert (capture.vxlan_port, capture.vni, capture.ttl) == (0, None, None)
        assert capture.outer_checksum


@pytest.mark.parametrize("port", TUNNEL_PORTS)
def test_bursts_to_a_port_of_their_kind_are_told_apart(port: int) -> None:
    bursts = OrderBuilder(ENDS, (7,), 1)
    flows = [FLOWS[f"plain{family}/udp/port-{port}"] for family in (4, 6)]
    marks = []
    for _ in range(len(BURST_TTLS) // 2):
        for flow in flows:
            orders = bursts.packet_set(flow)
            order = orders.flow
            assert isinstance(order, CraftedOrder)
            assert order.port == orders.receiver.port == orders.receiver.flow_port == port
            assert order.ttl == orders.receiver.ttl == orders.sender.ttl
            assert orders.receiver.vxlan_port == 0  # also where it is the tunnel's own
            marks.append(order.ttl)
    assert sorted(marks) == list(BURST_TTLS)
    assert not {64, 128, 255} & set(BURST_TTLS)  # as hosts and routers send
    assert packet_set(bursts, flows[0]).ttl == BURST_TTLS[0]


def test_what_is_late_to_a_tunnel_burst_are_all_ports_before_its_own() -> None:
    bursts = OrderBuilder(ENDS, (7,), 1)
    first = packet_set(bursts, FLOWS["outer4-csum-port8472/inner4/udp/lengths"])
    bursts.packet_set(FLOWS["plain4/udp/port-4789"])
    orders = bursts.tunnel(
        replace(FLOWS["outer4-csum-port8472/inner4/tcp/fields"], packet_set=""), 9
    )
    assert orders.receiver.late_ports == (first.port, orders.flow.port)
    assert (orders.receiver.vxlan_port, orders.receiver.ttl) == (8472, None)


def test_pairs_on_the_ports_of_the_same_hosts_share_no_vni_and_no_device() -> None:
    flows = (*FLOWS.values(),)
    made = []
    for number in range(3):
        ends = replace(ENDS, number=number)
        made.append({(one.vni, one.name) for one in tunnel_orders(ends, "dut", flows)})
        every = TunnelFlows.of(ends, flows).vnis
        assert max(every) - min(every) < ends.vni(0) - replace(ends, number=number - 1).vni(0)
    assert not made[0] & made[1] and not made[1] & made[2]
    assert len({name for some in made for _, name in some}) == sum(map(len, made))
