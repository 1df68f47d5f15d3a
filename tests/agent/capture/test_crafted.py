"""Crafted packet sets on the real kernel: sent into a tunnel, compared with the expected frames."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from qualification.agent.traffic.pace import quiet_seconds
from qualification.agent.traffic.prepared_set import packets_of, prepared_set
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.inventory import Ends
from qualification.messages.bursts import CraftedOrder
from qualification.plan.flows import crafted_flows
from qualification.remote.agent_client import AgentClient
from qualification.remote.pair.orders import OrderBuilder
from qualification.remote.pair.tunnel_orders import tunnel_orders

pytestmark = pytest.mark.lab
EVERY = crafted_flows(frozenset({4}), 4789)
FLOWS = tuple(flow for flow in EVERY if flow.tunnel)
PLAIN = [flow for flow in EVERY if flow.id in ("plain4/tcp/lengths", "plain4/udp/port-4789")]
BOUNDARIES = next(flow for flow in FLOWS if flow.packet_set == "boundaries" and flow.outer_checksum)


@pytest.fixture
def pair(remote_agent: Callable[[str], AgentClient], ends: Ends) -> tuple[AgentClient, AgentClient]:
    dut, peer = remote_agent("alpha"), remote_agent("bravo")
    for role, agent in (("dut", dut), ("peer", peer)):
        nic = ends.nic(role)
        agent.call(
            "prepare", timeout=30.0, interface=nic.facts.interface,
            addresses=list(nic.underlay), allow_management=False,
        )  # fmt: skip
        orders = [dataclasses.asdict(o) for o in tunnel_orders(ends, role, FLOWS)]
        agent.call("make_tunnels", timeout=30.0, orders=orders)
    for role, agent in (("peer", dut), ("dut", peer)):
        agent.call("reach", timeout=30.0, address=ends.outer(role, 4))
    peer.call("request_features", timeout=30.0, wanted={"rx-gro": False})
    return dut, peer


def packet_set(
    pair: tuple[AgentClient, AgentClient], ends: Ends, **watched: Any
) -> tuple[dict[str, Any], dict[str, Any], CraftedOrder]:
    dut, peer = pair
    orders = OrderBuilder(ends, (BOUNDARIES.vni,), 7).packet_set(BOUNDARIES)
    order = orders.flow
    assert isinstance(order, CraftedOrder)
    sent = dataclasses.asdict(order)
    peer.call(
        "watch",
        timeout=30.0,
        capture=dataclasses.asdict(orders.receiver),
        packet_set=sent | watched,
    )
    answer = dut.call(
        "send_crafted", timeout=30.0, capture=dataclasses.asdict(orders.sender), packet_set=sent
    )
    seen = peer.call("collect", timeout=30.0, frames=answer["submitted"]["frames"])
    return answer, seen["captured"], order


def test_super_packets_reach_the_nic_and_become_the_expected_frames(
    pair: tuple[AgentClient, AgentClient], ends: Ends
) -> None:
    sent, seen, order = packet_set(pair, ends)
    expected = sum(crafted.frames for crafted in packets_of(order))
    assert sent["complete"]
    assert sent["submitted"]["frames"] == sent["written"] == seen["frames"] == expected
    assert (
        sent["submitted"]["segments"] > expected * 0.9
    )  # a crafted packet of one segment is not segmented
    assert (seen["bad"], seen["unjudged"]) == (0, {})


def test_an_unexpected_frame_is_described_by_its_field(
    pair: tuple[AgentClient, AgentClient], ends: Ends
) -> None:
    """The peer expects another destination address than the one that is sent to."""
    sent, seen, _order = packet_set(pair, ends, destination="10.86.1.78")
    assert seen["bad"] == sent["submitted"]["frames"]
    assert seen["bad_layers"] == {"segment": seen["bad"]}
    sample = seen["samples"][0]
    assert sample["findings"][0] == "it is not one of the expected frames"
    assert "IPv4 destination address is 0x" in sample["findings"][1]


def test_without_a_tunnel(pair: tuple[AgentClient, AgentClient], ends: Ends) -> None:
    dut, peer = pair
    orders = OrderBuilder(ends, (BOUNDARIES.vni,), 7)
    for burst in map(orders.packet_set, (*PLAIN, *PLAIN)):
        both = {"packet_set": dataclasses.asdict(burst.flow)}
        peer.call("watch", timeout=30.0, capture=dataclasses.asdict(burst.receiver), **both)
        sent = dut.call(
            "send_crafted", timeout=30.0, capture=dataclasses.asdict(burst.sender), **both
        )
        submitted = sent["submitted"]
        answer = peer.call("collect", timeout=30.0, frames=submitted["frames"])
        seen = answer["captured"]
        assert (
            submitted["frames"]
            == submitted["csum_partial"]
            == sent["written"]
            == seen["frames"]
            >= 400
        )
        assert (seen["bad"], seen["unjudged"]) == (0, {})
        # The counters of the tunnel's kernel from before this burst do not matter.
        assert not [name for name in answer["counters"] if name.startswith("inner.")]


class Plain(NamedTuple):
    """Sends and captures a crafted packet set without a tunnel.

    Attributes:
        left: The host that sends it.
        agent: Orders to the one that receives it.
        order: The crafted packet set.
        capture: What is watched there, as it travels.
    """

    left: Any
    agent: Any
    order: CraftedOrder
    capture: dict[str, Any]


@pytest.fixture
def plain(net: Any, local_agent: Any) -> Plain:
    left, right = net.wire()
    order = CraftedOrder(
        packet_set="lengths", protocol="udp", segmented=False, device="w0", vni=None,
        source_mac=left.mac("w0"), destination_mac=right.mac("w0"), source="198.18.9.1",
        destination="198.18.9.77", port=20_000, mtu=1500, seed=3,
    )  # fmt: skip
    capture = {
        "interface": "w0", "source_mac": order.source_mac, "protocols": [17], "port": order.port,
        "vxlan_port": 4789, "vni": None, "flow_port": order.port, "our_vnis": [],
        "late_ports": [20_000, 20_000], "mtu": 1500, "outer_checksum": True,
    }  # fmt: skip
    agent = local_agent(right)
    agent("prepare", interface="w0", addresses=[], allow_management=False)
    return Plain(left, agent, order, capture)


def test_a_duplicate_frame_is_reported(plain: Plain) -> None:
    left, agent, order, capture = plain
    agent("watch", capture=capture, packet_set=dataclasses.asdict(order))
    with left.inside():
        prepared = prepared_set(order)
        with contextlib.closing(RawSockets()) as raw:
            assert raw.send_prepared(prepared, "w0", None) == raw.send_prepared(
                prepared, "w0", None
            )
    expected = sum(crafted.frames for crafted in packets_of(order))
    seen = agent("collect", frames=2 * expected)["captured"]
    assert (seen["frames"], seen["bad"]) == (2 * expected, expected)
    assert seen["samples"][0]["findings"] == ["it came twice"]


def test_who_asks_late_waits_all_the_same(plain: Plain) -> None:
    """A burst of which nothing arrived while it was sent may only be slow to arrive."""
    left, agent, order, capture = plain
    agent("watch", capture=capture, packet_set=dataclasses.asdict(order))

    def send_prepared() -> None:
        with left.inside(), contextlib.closing(RawSockets()) as raw:
            raw.send_prepared(prepared_set(order), "w0", None)

    time.sleep(1.2 * quiet_seconds(0))
    sender = threading.Timer(quiet_seconds(0) / 3, send_prepared)
    sender.start()
    expected = sum(crafted.frames for crafted in packets_of(order))
    seen = agent("collect", frames=expected)["captured"]
    sender.join()
    assert (seen["frames"], seen["bad"]) == (expected, 0)


@pytest.mark.parametrize("crafted", [True, False])
def test_a_missing_tag_is_reported(plain: Plain, crafted: bool) -> None:
    """It is reported for every frame, though the bytes of the frames are right."""
    left, agent, order, capture = plain
    packet_set = dataclasses.asdict(order) if crafted else None
    agent("watch", capture=capture | {"vlan": 3725}, packet_set=packet_set)
    with left.inside():
        sockets = RawSockets()
        expected = sockets.send_prepared(prepared_set(order), order.device, None)
        sockets.close()
    seen = agent("collect", frames=expected)["captured"]
    assert (seen["frames"], seen["bad"]) == (expected, expected)
    assert seen["bad_layers"] == {"segment": expected}
    assert seen["samples"][0]["findings"][0] == "VLAN tags are none, should be 81000e8d"
