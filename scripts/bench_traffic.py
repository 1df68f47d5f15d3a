"""How fast the soft NIC and the traffic generator are, with the C twin and without. Needs root.

    .venv/bin/python scripts/bench_traffic.py

Prints one JSON object a row. Everything else on the machine should be at rest.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

from qualification.agent.messages import FlowOrder
from qualification.agent.sending import send
from qualification.lab import loopback
from qualification.lab.hosts import run
from qualification.lab.loopback import RunningLab
from qualification.lab.tap import open_tap
from qualification.topology import Topology
from qualification.wire.twin import SWITCH

_VNI, _PORT = 30, 5001
_FLOW = FlowOrder(
    vni=None, protocol="udp", segmented=True, source="10.30.0.1", destination="10.30.0.2",
    port=_PORT, frames=200_000, payload=1350, streams=16, seed=1, pace=10**9, deadline=60.0,
)  # fmt: skip


def soft_nic(seconds: float = 3.0) -> dict[str, object]:
    """TCP in bulk through a VXLAN with outer checksums between two hosts, all offloads on."""
    gbit = {}
    for engine in ("twin", "python"):
        with _engine(engine), loopback.start(_two_hosts()) as lab:
            _tunnel(lab.record.namespace("alpha"), 1)
            _tunnel(lab.record.namespace("bravo"), 2)
            gbit[engine] = round(_bulk(lab, seconds), 2)
    return {"row": "soft NIC, TCP through VXLAN, Gbit/s", **gbit}


def generator() -> dict[str, object]:
    """Datagrams a second into a VXLAN whose NIC drops all, beside a loop of `sendto`."""
    name = f"vxq-bench-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        tap = open_tap(name, "port0")
        run("ip", "-n", name, "link", "set", "port0", "up")
        _tunnel(name, 1)
        # There is nobody to answer for the other end of the wire.
        nobody = ("198.18.30.2", "lladdr", "02:00:00:00:00:02", "dev", "port0")
        run("ip", "-n", name, "neighbour", "add", *nobody)
        rates = {}
        for engine in ("twin", "python"):
            with _engine(engine):
                command = ["ip", "netns", "exec", name, sys.executable, __file__, "generate"]
                rates[engine] = json.loads(subprocess.check_output(command))
        for fd in tap.queues:
            os.close(fd)
    finally:
        run("ip", "netns", "del", name)
    return {"row": "generator, datagrams/s", **rates}


def _generate() -> dict[str, int]:
    """Inside of the namespace: the rates of a plain loop and of the generator."""
    datagram, there = bytes(_FLOW.payload), (_FLOW.destination, _PORT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        start = time.monotonic()
        for _ in range(_FLOW.frames):
            sock.sendto(datagram, there)
        rates = {"sendto": round(_FLOW.frames / (time.monotonic() - start))}
    for name, segmented in (("UDP_SEGMENT", True), ("single", False)):
        sent = send(replace(_FLOW, segmented=segmented), None, lambda: False)
        rates[name] = round(sent.written / sent.seconds)
    return rates


_RECEIVE = """
import socket, time
server = socket.create_server((%r, %d)); print(flush=True)
stream, _ = server.accept(); buffer = bytearray(1 << 20); total = 0; start = time.monotonic()
while count := stream.recv_into(buffer): total += count
print(total * 8e-9 / (time.monotonic() - start))
"""
_SEND = """
import socket, time
stream = socket.create_connection((%r, %d)); data = bytes(1 << 20); end = time.monotonic() + %f
while time.monotonic() < end: stream.sendall(data)
"""


def _bulk(lab: RunningLab, seconds: float) -> float:
    """Gbit/s of one stream's payload from alpha to bravo."""
    inside = [["ip", "netns", "exec", lab.record.namespace(host)] for host in ("alpha", "bravo")]
    python = [sys.executable, "-c"]
    receive = [*inside[1], *python, _RECEIVE % (_FLOW.destination, _PORT)]
    with subprocess.Popen(receive, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout
        receiver.stdout.readline()
        send_it = [*inside[0], *python, _SEND % (_FLOW.destination, _PORT, seconds)]
        subprocess.run(send_it, check=True)
        return float(receiver.stdout.readline())


@contextlib.contextmanager
def _engine(name: str) -> Iterator[None]:
    """Processes that are started in here have the C twin, or do without."""
    before = os.environ.pop(SWITCH, None)
    if name == "python":
        os.environ[SWITCH] = "off"
    try:
        yield
    finally:
        os.environ.pop(SWITCH, None)
        if before is not None:
            os.environ[SWITCH] = before


def _two_hosts() -> Topology:
    def host(number: int) -> dict[str, object]:
        return {"nics": {"port0": {"interface": "port0", "underlay": [f"198.18.30.{number}/24"]}}}

    return Topology.model_validate(
        {
            "version": 1,
            "hosts": {"alpha": host(1), "bravo": host(2)},
            "pairs": {"soft": {"dut": "alpha.port0", "peer": "bravo.port0"}},
            "lab": {"kind": "loopback"},
        }
    )


def _tunnel(namespace: str, number: int) -> None:
    """Make one end of the VXLAN on `port0`, with an outer checksum."""
    ip, other = ("ip", "-n", namespace), 3 - number
    run(*ip, "address", "add", f"198.18.30.{number}/24", "dev", "port0")
    run(
        *ip, "link", "add", "vx30", "address", f"02:00:00:00:30:0{number}", "type", "vxlan",
        "id", str(_VNI), "dstport", "4789", "local", f"198.18.30.{number}",
        "remote", f"198.18.30.{other}", "udpcsum",
    )  # fmt: skip
    run(*ip, "address", "add", f"10.30.0.{number}/24", "dev", "vx30")
    run(*ip, "link", "set", "vx30", "up")
    neighbour = (f"10.30.0.{other}", "lladdr", f"02:00:00:00:30:0{other}", "dev", "vx30")
    run(*ip, "neighbour", "add", *neighbour)


if __name__ == "__main__":
    if sys.argv[1:] == ["generate"]:
        print(json.dumps(_generate()))
    else:
        for row in (soft_nic, generator):
            print(json.dumps(row()), flush=True)
