"""The orders of a burst, given to an agent in this process."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from qualification.agent.traffic import receiving
from qualification.agent.traffic.pace import quiet_seconds
from qualification.judge.delivery import no_socket_room, undelivered
from qualification.judge.evidence import Burst
from qualification.messages.bursts import CaptureOrder, FlowOrder, Received, Sent, Submitted
from qualification.messages.decode import decode
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


@pytest.mark.parametrize("family", [4, 6])
def test_the_kernel_counts_what_a_socket_has_no_room_for(
    net: Any, local_agent: Any, monkeypatch: pytest.MonkeyPatch, family: int
) -> None:
    frames = 5_000
    monkeypatch.setattr(receiving, "_BUFFER", 2_048)
    here, there = ("198.18.0.1", "198.18.0.2") if family == 4 else ("fd00::1", "fd00::2")
    subnet = f"{here}/{24 if family == 4 else 64}"
    host, other = net.wire()
    host.ip("address", "add", subnet, "dev", "w0", *(["nodad"] if family == 6 else []))
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=[subnet], allow_management=False)
    flow = replace(FLOW, frames=frames, source=there, destination=here, pace=0)
    ip = IP(src=there, dst=here) if family == 4 else IPv6(src=there, dst=here)
    right = Ether(src=MAC, dst=host.mac("w0")) / ip / UDP(sport=9, dport=flow.port) / bytes(30)
    agent("watch", **json.loads(encoded({"capture": CAPTURE, "flow": flow})))
    other.inject("w0", *[bytes(right)] * frames)
    found = decode(Received, agent("collect", frames=frames, pace=PACE))
    burst = Burst(Sent(Submitted(frames, frames), frames, True, 1.0, {}), found)
    assert (found.captured.frames, found.captured.bad) == (frames, 0)
    assert 0 < undelivered(burst) < frames
    assert no_socket_room(burst, "udp", tunnel=False) == undelivered(burst)
