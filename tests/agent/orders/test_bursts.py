"""The orders of a burst, given to an agent in this process."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from qualification.agent.traffic.pace import quiet_seconds
from qualification.messages.bursts import CaptureOrder, FlowOrder
from qualification.messages.protocol import encoded

pytestmark = pytest.mark.lab

MAC, FRAMES, PACE = "02:aa:bb:cc:dd:ee", 20, 10
CAPTURE = CaptureOrder(
    interface="w0", source_mac=MAC, protocols=(17,), port=20_005, vxlan_port=4789, vni=None,
    flow_port=20_005, our_vnis=(7001,), late_ports=(20_000, 20_005), mtu=1500,
    outer_checksum=True, ring=4 << 20,
)  # fmt: skip
FLOW = FlowOrder(
    vni=None, protocol="udp", segmented=False, source="198.18.0.2", destination="198.18.0.1",
    port=20_005, frames=FRAMES, payload=30, streams=1, seed=7, pace=PACE, deadline=10.0,
)  # fmt: skip


def test_of_frames_that_are_all_wrong_no_datagram_is_awaited(net: Any, local_agent: Any) -> None:
    host, other = net.wire()
    host.ip("address", "add", "198.18.0.1/24", "dev", "w0")
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=["198.18.0.1/24"], allow_management=False)
    wrong = (
        Ether(src=MAC, dst=host.mac("w0"))
        / IP(src=FLOW.source, dst=FLOW.destination)
        / UDP(sport=9, dport=FLOW.port, chksum=0x1234)
        / bytes(30)
    )
    orders = json.loads(encoded({"capture": CAPTURE, "flow": FLOW}))
    agent("watch", **orders)
    other.inject("w0", *[bytes(wrong)] * FRAMES)
    start = time.monotonic()
    found = agent("collect", frames=FRAMES, pace=PACE)
    took = time.monotonic() - start
    assert found["captured"]["bad"] == FRAMES
    assert found["delivered"]["received"] == 0
    assert took < quiet_seconds(PACE) / 2  # by the clock, as this wait is what is not to be
