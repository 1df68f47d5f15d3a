"""What is kept beside bad frames: right ones like them, and what the driver was handed."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from qualification.inventory import Ends, Role
from qualification.judge.verdict import Demand
from qualification.lab import loopback
from qualification.messages.bursts import BadFrame
from qualification.plan.flows import Flow
from qualification.remote.agent_client import AgentClient
from qualification.remote.discover import discover
from qualification.remote.host import open_host
from qualification.remote.pair.session import PairSession
from qualification.topology import Topology
from qualification.wire.dissect import dissect
from qualification.wire.packet import TCP
from qualification.wire.verify import check

pytestmark = pytest.mark.lab

PORTS = frozenset({4789})
TCP4 = Flow(4, True, 4, "tcp", True)
UDP6 = Flow(6, True, 6, "udp", True)
SMALL = Flow(4, True, 4, "udp", False)
CRAFTED = Flow(4, True, 4, "udp", True, packet_set="boundaries")
FLOWS = (TCP4, UDP6, SMALL, CRAFTED)


@pytest.fixture(scope="module")
def session() -> Iterator[PairSession]:
    """The session of a pair whose NIC leaves the inner sum of a tenth of its frames undone."""
    hosts = {
        role: {
            "nics": {"p": {"interface": "p0", "underlay": [f"198.18.1.{n}/24", f"fd00::{n}/64"]}}
        }
        for n, role in enumerate(("dut", "peer"), 1)
    }
    topology = Topology.model_validate(
        {
            "version": 1,
            "hosts": hosts,
            "pairs": {"soft": {"dut": "dut.p", "peer": "peer.p"}},
            "lab": {
                "kind": "loopback",
                "firmwares": {"dut.p": {"model": "seed-left", "layer": "inner", "p": 0.1}},
            },
        }
    )
    with loopback.start(topology) as running:
        nics = discover(running.topology, ["soft"], lambda _: None).nics
        ends = Ends(nics["dut.p"], nics["peer.p"], 4789)
        with open_host(running.topology, "dut") as dut, open_host(running.topology, "peer") as peer:
            agents: dict[Role, AgentClient] = {"dut": dut, "peer": peer}
            here: dict[Role, bool] = {"dut": False, "peer": False}
            one = PairSession("soft", ends, FLOWS, agents, Demand(), 7, here)
            one.open()
            yield one
            one.close()


def samples(session: PairSession, flow: Flow) -> tuple[BadFrame, ...]:
    """Returns the bad frames that are kept of a burst with every offload on."""
    orders = session.endpoints.orders
    session.offloads.request(dict.fromkeys(session.ends.dut.facts.features, True))
    session.states.enter(flow)
    make = orders.packet_set if flow.packet_set else lambda of: orders.tunnel(of, 800)
    burst = session.endpoints.burst(lambda: make(flow))
    assert burst.received.captured.bad > 4
    return burst.received.captured.samples


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.id)
def test_what_is_kept_beside_bad_frames(session: PairSession, flow: Flow) -> None:
    kept = samples(session, flow)
    assert {(frame.counterpart, frame.submitted) for frame in kept[4:]} == {("", None)}
    assert sum(bool(frame.counterpart) for frame in kept[:4]) >= (1 if flow is TCP4 else 0)
    assert all(frame.submitted for frame in kept[:4])
    for frame in kept[:4]:
        bad = base64.b64decode(frame.data)
        if frame.counterpart:
            counterpart = base64.b64decode(frame.counterpart)
            right = check(counterpart, None, PORTS)
            assert (right.bad, right.unjudged, len(counterpart)) == (0, 0, len(bad))
        layout, handed = dissect(bad, None, PORTS), frame.submitted
        assert layout and layout.inner and handed
        data = base64.b64decode(handed.data)
        as_submitted = dissect(data, handed.length, PORTS)
        assert as_submitted and as_submitted.inner
        assert handed.csum_partial
        assert len(data) == min(handed.length, 256)
        one, other = as_submitted.inner, layout.inner
        assert (one.addresses, one.source_port) == (other.addresses, other.source_port)
        assert handed.length >= len(bad)
        if other.protocol == TCP:  # the bytes of the frame are in the buffer
            first, number = (
                int.from_bytes(at[packet.l4 + 4 : packet.l4 + 8], "big")
                for at, packet in ((data, one), (bad, other))
            )
            assert 0 <= (number - first) % 2**32 < handed.length
        elif flow is SMALL:
            assert data[one.l4 + 8 :] == bad[other.l4 + 8 : other.l4 + 8 + len(data) - one.l4 - 8]


def test_what_was_submitted_is_asked_for_in_time(session: PairSession) -> None:
    frame = samples(session, SMALL)[0].data
    again = session.endpoints.call("dut", "submitted", frames=[frame, "", "AAAA"])
    assert [one is None for one in again["packets"]] == [False, True, True]
