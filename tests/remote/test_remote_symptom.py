"""The symptom on loopback labs: none of a good NIC, and plain to see of a bad one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from qualification.inventory import Ends
from qualification.judge.symptom import Symptom, summarise
from qualification.judge.verdict import Demand
from qualification.lab import loopback
from qualification.lab.loopback import RunningLab
from qualification.plan.flows import all_flows
from qualification.remote.discover import discover
from qualification.remote.host import open_host
from qualification.remote.pair import PairSession
from qualification.remote.symptom import CALLS, run_symptom
from qualification.topology import Topology

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


@pytest.fixture
def symptom(lab: RunningLab) -> Callable[[str, float], Symptom]:
    """`symptom(pair, deadline)`: a session of its own, from open to close."""

    def run(pair: str, deadline: float) -> Symptom:
        nics = discover(lab.topology, [pair], lambda _: None).nics
        ends = Ends(nics[f"{pair}-dut.p"], nics[f"{pair}-peer.p"], 4789)
        flows = all_flows(ends.families, 4789)
        with (
            open_host(lab.topology, f"{pair}-dut") as dut,
            open_host(lab.topology, f"{pair}-peer") as peer,
        ):
            hosts = {"dut": dut, "peer": peer}
            here = {"dut": False, "peer": False}
            session = PairSession(pair, ends, flows, hosts, Demand(), 7, here)  # type: ignore[arg-type]
            session.open()
            runs = run_symptom(session, deadline)
            session.close()
        for made in (runs.tunnel, runs.all_off, runs.one_host):
            assert len(made.ways) == 4
        return summarise(pair, runs)

    return run


def test_a_good_nic_has_none(symptom: Callable[[str, float], Symptom]) -> None:
    told = symptom("good", 10.0)
    for run in (told.tunnel, told.all_off, told.one_host):
        assert (run.calls, run.errors, run.corrupt) == (CALLS, 0, 0)
        assert run.p50 and run.p99 and run.p999
        assert run.retransmitted < run.segments * 0.02
    assert told.tunnel.segments > 10 * told.one_host.segments, "lo has larger ones"


def test_a_bad_nic_sends_again(symptom: Callable[[str, float], Symptom]) -> None:
    told = symptom("bad", 10.0)
    assert told.tunnel.retransmitted > told.tunnel.segments * 0.04
    for run in (told.all_off, told.one_host):
        assert (run.calls, run.errors, run.corrupt) == (CALLS, 0, 0)
        assert run.retransmitted < run.segments * 0.02
    assert told.tunnel.corrupt == 0, "a wrong outer checksum loses, and delivers nothing wrong"


def test_a_nic_that_kills_every_segment_misses_deadlines(
    symptom: Callable[[str, float], Symptom],
) -> None:
    told = symptom("dead", 2.0)
    assert told.tunnel.errors == told.tunnel.missed > 0
    assert told.tunnel.p999 == 2.0
    assert told.tunnel.errors_by_way
    assert all(way.startswith("outer4-csum/") for way in told.tunnel.errors_by_way)
    assert (told.all_off.errors, told.one_host.errors) == (0, 0)
    assert "missed their 2 s deadline through the tunnel" in told.errors
    assert told.errors.endswith("none with all off, none on one host")
