"""Receive tests on the real kernel: what it delivers if no NIC reports checksums as verified."""

from __future__ import annotations

import base64
import threading
import time
from dataclasses import asdict, replace
from typing import Any

import pytest

from qualification.agent.capture.receive_test import receive_frames_of
from qualification.agent.traffic.pace import quiet_seconds
from qualification.messages.host import TunnelOrder
from qualification.messages.protocol import AgentProblem
from qualification.messages.receive import ReceiveOrder
from qualification.wire.crafted.receive_tests import REFERENCE, RIGHT, WRONG
from qualification.wire.verify import check

pytestmark = pytest.mark.lab

UNDERLAY = {4: ("198.18.9.1", "198.18.9.2"), 6: ("fd00:1809::1", "fd00:1809::2")}
INSIDE = {4: ("10.86.77.1", "10.86.77.77"), 6: ("fd56:77::1", "fd56:77::77")}
MAC, NOBODY = "02:00:00:00:4d:01", "02:56:58:00:00:4d"


@pytest.fixture
def dut(net: Any, local_agent: Any) -> Any:
    """Returns `dut(outer)`: two hosts on a wire, and the agent of the host with a tunnel."""
    left, right = net.wire()

    def begin(outer: int) -> tuple[Any, Any, Any]:
        agent = local_agent(left)
        width = 24 if outer == 4 else 64
        address = f"{UNDERLAY[outer][0]}/{width}"
        agent("prepare", interface="w0", addresses=[address], allow_management=False)
        tunnel = TunnelOrder(
            "vx77", 77, "w0", *UNDERLAY[outer], 4789, True, MAC, NOBODY,
            ("10.86.77.1/24", "fd56:77::1/64"), (), 1430,
        )  # fmt: skip
        agent("make_tunnels", orders=[asdict(tunnel)])
        return agent, left, right

    return begin


def order(outer: int, inner: int, protocol: Any, left: Any, right: Any) -> ReceiveOrder:
    return ReceiveOrder(
        vni=77, protocol=protocol, device="vx77", vxlan_port=4789,
        source_mac=right.mac("w0"), destination_mac=left.mac("w0"),
        source=UNDERLAY[outer][1], destination=UNDERLAY[outer][0],
        inner_source_mac=NOBODY, inner_destination_mac=MAC,
        inner_source=INSIDE[inner][1], inner_destination=INSIDE[inner][0],
        port=20_000, mtu=1500, inner_mtu=1430, seed=7,
    )  # fmt: skip


@pytest.mark.parametrize("gro", ["on", "off"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(("outer", "inner"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_the_kernel_delivers_what_is_right_and_nothing_else(
    dut: Any, outer: int, inner: int, protocol: str, gro: str
) -> None:
    agent, left, right = dut(outer)
    left.run("ethtool", "-K", "w0", "gro", gro)
    burst = order(outer, inner, protocol, left, right)
    agent("expect_received", order=asdict(burst))
    made = receive_frames_of(burst)
    right.inject("w0", *(receive_frame.frame for receive_frame in made))
    result = agent("collect_received")
    assert (result["unexpected"], result["drops"], result["samples"]) == (0, 0, [])
    assert sum(tally["frames"] for tally in result["shapes"]) == len(made)
    assert {tally["shape"] for tally in result["shapes"]} <= {*RIGHT, *WRONG, REFERENCE}
    for tally in result["shapes"]:
        assert bool(tally["wrong"]) == (tally["shape"] in WRONG), tally
        expected = 0 if tally["wrong"] or tally["shape"] == REFERENCE else tally["frames"]
        assert (tally["delivered"], tally["altered"]) == (expected, 0), tally
        assert tally["captured"] == tally["frames"], tally
        if gro == "off":  # GRO leaves merged checksums incomplete and marks checked ones valid
            assert (tally["csum_valid"], tally["csum_not_ready"]) == (0, 0), tally
    wrong = sum(tally["frames"] for tally in result["shapes"] if tally["wrong"])
    counted = sum(
        value for name, value in result["counters"].items()
        if name.endswith(("InCsumErrors", "Ip.InHdrErrors"))
    )  # fmt: skip
    assert counted == wrong


def test_who_asks_late_waits_all_the_same(dut: Any) -> None:
    """The sender takes longer to make the frames than the receiver waits for the next one."""
    agent, left, right = dut(4)
    burst = order(4, 4, "udp", left, right)
    agent("expect_received", order=asdict(burst))
    frames = [receive_frame.frame for receive_frame in receive_frames_of(burst)]
    time.sleep(1.2 * quiet_seconds(0))
    sender = threading.Timer(quiet_seconds(0) / 3, right.inject, ("w0", *frames))
    sender.start()
    result = agent("collect_received")
    sender.join()
    assert sum(tally["captured"] for tally in result["shapes"]) == len(frames)


def test_a_frame_that_was_changed_on_the_way(dut: Any) -> None:
    agent, left, right = dut(4)
    burst = order(4, 4, "udp", left, right)
    agent("expect_received", order=asdict(burst))
    frames = {
        receive_frame.shape: receive_frame.frame for receive_frame in receive_frames_of(burst)
    }
    flipped = bytearray(frames["zero-outer"])
    flipped[-1] ^= 1
    # Made from another seed, with right checksums: the application receives an unexpected payload.
    other = next(a for a in receive_frames_of(replace(burst, seed=8)) if a.shape == "even")
    right.inject("w0", bytes(flipped), other.frame)
    result = agent("collect_received")
    captured = {(t["shape"], *t["wrong"]): t for t in result["shapes"] if t["captured"]}
    assert captured.keys() == {("zero-outer", "inner L4"), ("even",)}
    for tally in captured.values():
        assert (tally["captured"], tally["delivered"]) == (1, 0)
    assert captured["even",]["altered"] == 1
    assert sum(tally["altered"] for tally in result["shapes"]) == 1


def test_a_wrong_frame_that_is_delivered_is_kept(dut: Any) -> None:
    """A right frame delivers the payload of a wrong one, as if the wrong one had been accepted."""
    agent, left, right = dut(4)
    burst = order(4, 4, "udp", left, right)
    agent("expect_received", order=asdict(burst))
    wrong = next(
        receive_frame
        for receive_frame in receive_frames_of(burst)
        if receive_frame.shape == "inner-zero-outer"
    )
    layout = check(wrong.frame, None, frozenset({4789})).layout
    assert layout is not None
    assert layout.inner is not None
    substitute = bytearray(wrong.frame)
    substitute[layout.inner.l4 + 6 : layout.inner.l4 + 8] = bytes(2)
    substitute[6:12] = bytes.fromhex("020000000099")  # a sender that the capture does not accept
    right.inject("w0", bytes(substitute), wrong.frame)
    result = agent("collect_received")
    [sample] = result["samples"]
    assert sample["layers"] == ["inner L4"]
    assert sample["findings"][-1] == "it was delivered all the same (inner-zero-outer)"
    assert base64.b64decode(sample["data"]) == wrong.frame


def test_telling_of_nothing(net: Any, local_agent: Any) -> None:
    left, _ = net.wire()
    with pytest.raises(AgentProblem, match="'collect_received' without 'expect_received'"):
        local_agent(left)("collect_received")
