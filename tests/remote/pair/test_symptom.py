"""The symptom on loopback labs: a good NIC has none, and a bad one clearly has."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from qualification.inventory import Ends, Role
from qualification.judge.culprit.cost import summarise as summarise_cost
from qualification.judge.symptom import Symptom, summarise
from qualification.judge.verdict import Demand
from qualification.lab import loopback
from qualification.lab.loopback import RunningLab
from qualification.plan.flows import bulk_flows
from qualification.remote.agent_client import AgentClient
from qualification.remote.discover import discover
from qualification.remote.host import open_host
from qualification.remote.pair.beside.cost import SECONDS, TURNS, measure_cost
from qualification.remote.pair.beside.symptom import CALLS, calls_order, run_symptom
from qualification.remote.pair.session import PairSession
from qualification.topology import Topology

from . import grpc_calls

pytestmark = pytest.mark.lab

FIRMWARES = {
    "good": {"model": "good"},
    "bad": {"model": "random-p", "p": 0.3},
    "dead": {"model": "random-p", "p": 1.0},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """A pair for each firmware."""
    hosts = {
        f"{name}-{role}": {
            "nics": {"p": {"interface": "p0", "underlay": [f"198.18.{number}.{end}/24"]}}
        }
        for number, name in enumerate(FIRMWARES, 1)
        for end, role in enumerate(("dut", "peer"), 1)
    }
    topology = Topology.model_validate(
        {
            "version": 1,
            "hosts": hosts,
            "pairs": {n: {"dut": f"{n}-dut.p", "peer": f"{n}-peer.p"} for n in FIRMWARES},
            "lab": {
                "kind": "loopback",
                "firmwares": {f"{name}-dut.p": chosen for name, chosen in FIRMWARES.items()},
            },
        }
    )
    with loopback.start(topology) as running:
        yield running


@contextlib.contextmanager
def _session(lab: RunningLab, pair: str) -> Iterator[tuple[PairSession, dict[Role, AgentClient]]]:
    nics = discover(lab.topology, [pair], lambda _: None).nics
    ends = Ends(nics[f"{pair}-dut.p"], nics[f"{pair}-peer.p"], 4789)
    with (
        open_host(lab.topology, f"{pair}-dut") as dut,
        open_host(lab.topology, f"{pair}-peer") as peer,
    ):
        hosts: dict[Role, AgentClient] = {"dut": dut, "peer": peer}
        here: dict[Role, bool] = {"dut": False, "peer": False}
        flows = bulk_flows(ends.families, 4789)
        session = PairSession(pair, ends, flows, hosts, Demand(), 7, here)
        session.open()
        yield session, hosts
        session.close()


@pytest.fixture
def symptom(lab: RunningLab) -> Callable[[str, float], Symptom]:
    """`symptom(pair, deadline)`: a session of its own, from open to close."""

    def run(pair: str, deadline: float) -> Symptom:
        with _session(lab, pair) as (session, _):
            runs = run_symptom(session, deadline)
        for made in (runs.tunnel, runs.all_off, runs.one_host):
            assert len(made.ways) == 4
        return summarise(pair, runs)

    return run


def test_a_good_nic_has_none(symptom: Callable[[str, float], Symptom]) -> None:
    found = symptom("good", 10.0)
    for run in (found.tunnel, found.all_off, found.one_host):
        assert (run.calls, run.errors, run.corrupt) == (CALLS, 0, 0)
        assert run.p50 and run.p99 and run.p999
        assert run.retransmitted < run.segments * 0.02
    assert found.tunnel.segments > 10 * found.one_host.segments, "lo has larger ones"


def test_a_bad_nic_sends_again(symptom: Callable[[str, float], Symptom]) -> None:
    found = symptom("bad", 10.0)
    assert found.tunnel.retransmitted > found.tunnel.segments * 0.04
    for run in (found.all_off, found.one_host):
        assert (run.calls, run.errors, run.corrupt) == (CALLS, 0, 0)
        assert run.retransmitted < run.segments * 0.02
    assert found.tunnel.corrupt == 0, "a wrong outer checksum loses, and delivers nothing wrong"


def test_what_turning_features_off_costs(lab: RunningLab) -> None:
    """On a NIC that corrupts what one feature makes, more gets through without it.

    It corrupts all of it: of a share, what gets through depends on the CPU that others leave.
    """
    off = ("tx-udp_tnl-csum-segmentation",)
    with _session(lab, "dead") as (session, _):
        turns = measure_cost(session, off)
        assert not session.offloads.effective[off[0]], "a mitigated turn was the last one"
    assert turns.flow == "outer4-csum/inner4/tcp"
    assert (len(turns.all_on), len(turns.mitigated)) == (TURNS, TURNS)
    for turn in (*turns.all_on, *turns.mitigated):
        assert SECONDS <= turn.seconds < 10 * SECONDS
    assert all(turn.octets > 1_000_000 and turn.cpu_seconds > 0 for turn in turns.mitigated)
    found = summarise_cost(turns)
    assert found.throughput_mitigated.median > 2 * found.throughput_all_on.median
    assert re.fullmatch(r"gives (over 100|\d+(\.\d)?) times the throughput, .+", str(found))


@pytest.mark.slow
def test_a_nic_that_kills_every_segment_misses_deadlines(
    symptom: Callable[[str, float], Symptom],
) -> None:
    found = symptom("dead", 2.0)
    assert found.tunnel.errors == found.tunnel.missed > 0
    assert found.tunnel.p999 == 2.0
    assert found.tunnel.errors_by_way
    assert all(way.startswith("outer4-csum/") for way in found.tunnel.errors_by_way)
    assert (found.all_off.errors, found.one_host.errors) == (0, 0)
    assert "missed their 2 s deadline through the tunnel" in found.errors
    assert found.errors.endswith("none with all off, none on one host")


@pytest.mark.slow
def test_grpc_feels_what_our_own_calls_feel(lab: RunningLab) -> None:
    """The same calls by gRPC: deadlines are missed under the same offloads, and only there."""
    with _session(lab, "dead") as (session, hosts):
        order = replace(calls_order(session, "peer", 2.0), port=61_002, seconds=3.0)
        here, there = (grpc_calls.tunnel_namespace(hosts[r].greeting.pid) for r in ("dut", "peer"))
        with grpc_calls.serving(there, order):
            session.offloads.all_on()
            on = grpc_calls.call(here, order)
            session.offloads.all_off()
            off = grpc_calls.call(here, order)
    # Two channels to a way; the first two ways have outer checksums, which this NIC gets wrong.
    hit = [channel.missed + channel.broken > 0 for channel in on.channels]
    assert hit == [True, True, False, False] * 2
    assert not any(channel.corrupt for channel in on.channels)
    for channel in off.channels:
        assert (len(channel.latencies), channel.missed, channel.broken) == (CALLS // 8, 0, 0)
