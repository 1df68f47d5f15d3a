"""The incident's NIC, captured on both sides by tcpdump: the wrong frames, and who made them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qualification.lab import loopback
from qualification.lab.loopback import RunningLab
from qualification.stack.classes import Side
from qualification.topology import load
from qualification.verify.command import verify_files
from qualification.verify.comparing import compare_files
from qualification.verify.reading import Wanted

from .conftest import run

pytestmark = pytest.mark.lab

INCIDENT = Path(__file__).parents[2] / "topologies/incident.yaml"
BYTES = 3_000_000
RECEIVE = f"""
import socket
with socket.create_server(("10.42.0.2", 5000)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    left = {BYTES}
    while left:
        left -= len(connection.recv(65536))
"""
THE_END = b"the traffic has ended"
SEND = f"""
import random, socket, sys
with socket.create_connection(("10.42.0.2", 5000)) as connection:
    connection.sendall(random.Random(1).randbytes({BYTES}))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
with socket.socket(type=socket.SOCK_DGRAM) as end:
    end.sendto({THE_END!r}, (sys.argv[1], 9))
"""


@contextmanager
def captured(namespace: str, path: Path) -> Iterator[None]:
    """Captures the interface of a host with tcpdump, and checks that nothing was lost."""
    with subprocess.Popen(
        ["ip", "netns", "exec", namespace, "tcpdump", "-Z", "root", "-i", "port0", "-s", "0", "-U",
         "-B", "65536", "--immediate-mode", "-w", str(path), "udp"],
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert any("listening on" in line for line in iter(process.stderr.readline, ""))
        try:
            yield
            until = time.monotonic() + 60
            while THE_END not in path.read_bytes():  # what is in its ring would be lost
                assert time.monotonic() < until
                time.sleep(0.1)
        finally:
            process.terminate()
        assert "\n0 packets dropped by kernel" in process.stderr.read()


def tunnel(lab: RunningLab, hosts: tuple[str, str], underlay: str) -> tuple[str, str]:
    """Makes a VXLAN with outer checksums between two hosts; returns their namespaces."""
    found = []
    for number, host in enumerate(hosts, 1):
        namespace = lab.record.namespace(host)
        ip = ("ip", "-n", namespace)
        local, remote = f"{underlay}.{number}", f"{underlay}.{3 - number}"
        run(*ip, "address", "add", f"{local}/24", "dev", "port0")
        run(*ip, "link", "set", "port0", "up")
        run(*ip, "link", "add", "vx", "type", "vxlan", "id", "42", "dstport", "4789",
            "local", local, "remote", remote, "udpcsum")  # fmt: skip
        run(*ip, "link", "set", "vx", "mtu", "1450")
        run(*ip, "address", "add", f"10.42.0.{number}/24", "dev", "vx")
        run(*ip, "link", "set", "vx", "up")
        found.append(namespace)
    return found[0], found[1]


def traffic(sender: str, receiver: str, address: str) -> None:
    """Sends a stream of TCP through the tunnel until all of it has arrived, then `THE_END`."""
    with subprocess.Popen(
        ["ip", "netns", "exec", receiver, "python3", "-c", RECEIVE],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        run("ip", "netns", "exec", sender, "python3", "-c", SEND, address)
        assert process.wait(timeout=60) == 0


def captures(
    lab: RunningLab, hosts: tuple[str, str], underlay: str, folder: Path, *, gro: str
) -> tuple[Path, Path]:
    sender, receiver = tunnel(lab, hosts, underlay)
    run("ip", "netns", "exec", receiver, "ethtool", "-K", "port0", "gro", gro)
    files = folder / f"{hosts[0]}-{gro}.pcap", folder / f"{hosts[1]}-{gro}.pcap"
    with ExitStack() as stack:
        stack.enter_context(captured(sender, files[0]))
        stack.enter_context(captured(receiver, files[1]))
        traffic(sender, receiver, f"{underlay}.2")
    return files


def document(path: Path, side: Side | None = None) -> dict[str, object]:
    lines: list[str] = []
    verify_files([path], Wanted(form="json", side=side), lines.append)
    found: dict[str, object] = json.loads("\n".join(lines))
    return found


def test_the_incident(tmp_path: Path) -> None:
    """A NIC computes 3 % of the outer sums wrong; its receiver merges what is right."""
    with loopback.start(load(INCIDENT)) as lab:
        faulty = captures(lab, ("charlie", "delta"), "198.18.2", tmp_path, gro="on")
        healthy = captures(lab, ("alpha", "bravo"), "198.18.1", tmp_path, gro="on")

    found = document(faulty[1])
    classes = found["classes"]
    assert found["exit_code"] == 1
    assert classes["wrong value"] == found["wrong"] > 10
    assert classes["merged by GRO/LRO"] > 10
    lines: list[str] = []
    compare_files(*faulty, Wanted(), lines.append)
    said = next(line for line in lines if "the sender's NIC: it was to fill in" in line)
    assert said.startswith(f"{found['wrong']:,} frames: ")

    found = document(healthy[1])
    assert found["wrong"] == 0
    assert found["classes"]["merged by GRO/LRO"] > 10
    lines.clear()
    compare_files(*healthy, Wanted(), lines.append)
    assert "no frame arrived wrong" in "\n".join(lines)
