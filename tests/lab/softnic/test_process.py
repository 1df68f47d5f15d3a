"""Soft NICs with the real kernel: queues, resets, and receive checksum status."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from qualification.lab.hosts import run
from qualification.lab.loopback import RunningLab
from qualification.lab.softnic import firmwares
from qualification.lab.softnic.events import Watch
from qualification.lab.softnic.tap import Tap, drop, inside, open_tap
from qualification.topology import Topology

pytestmark = pytest.mark.lab

HERE, THERE = "02:00:00:00:00:02", "02:00:00:00:00:01"


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"vxq-test-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        yield name
    finally:
        run("ip", "netns", "del", name)


@pytest.fixture
def tap(namespace: str) -> Iterator[Tap]:
    opened = open_tap(namespace, "p0", queues=4)
    ip = ("ip", "-n", namespace)
    run(*ip, "link", "set", "p0", "address", HERE, "up")
    run(*ip, "address", "add", "198.18.0.2/24", "dev", "p0")
    run(*ip, "neighbour", "add", "198.18.0.1", "lladdr", THERE, "dev", "p0")
    yield opened
    for fd in opened.queues:
        os.close(fd)


@pytest.fixture
def received(namespace: str, tap: Tap) -> Callable[[Packet, str], bool]:
    """Returns whether a packet gets to an application in the tunnel, by the NIC's firmware."""
    ip = ("ip", "-n", namespace)
    run(*ip, "link", "add", "vx5", "address", "02:00:00:00:00:04", "type", "vxlan", "id", "5",
        "dstport", "4789", "local", "198.18.0.2", "remote", "198.18.0.1")  # fmt: skip
    run(*ip, "address", "add", "10.5.0.2/24", "dev", "vx5")
    run(*ip, "link", "set", "vx5", "up")

    def ask(packet: Packet, model: str) -> bool:
        receive = firmwares.check(model, {}).load("n").receive
        status = receive(bytearray(bytes(packet))) if receive else None
        with inside(namespace), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("10.5.0.2", 5001))
            server.setblocking(False)
            if status is None:
                return False
            # The kernel has processed the frame completely when the write returns.
            os.writev(tap.queues[0], (status.header(tap.header_size), bytes(packet)))
            with contextlib.suppress(BlockingIOError):
                return bool(server.recv(999))
            return False

    return ask


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def tunnelled(outer: int | None = None, inner: int | None = None) -> Packet:
    """Builds a packet with the given checksums; those that are None are correct."""
    return (
        Ether(src=THERE, dst=HERE)
        / IP(src="198.18.0.1", dst="198.18.0.2")
        / UDP(sport=50000, dport=4789, chksum=outer)
        / VXLAN(vni=5, flags=8)
        / Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
        / IP(src="10.5.0.1", dst="10.5.0.2")
        / UDP(sport=5000, dport=5001, chksum=inner)
        / Raw(b"hello")
    )


def test_which_status_the_kernel_believes(received: Callable[[Packet, str], bool]) -> None:
    good, bad_inner = tunnelled(), tunnelled(inner=0x1234)
    bad_outer, bad_inner_alone = tunnelled(outer=0x1234), tunnelled(outer=0, inner=0x1234)
    zero_outer = tunnelled(outer=0)
    seen = {
        model: [
            received(packet, model)
            for packet in (good, zero_outer, bad_inner, bad_outer, bad_inner_alone)
        ]
        for model in ("rx-blind", "rx-level", "rx-strict")
    }
    assert seen == {
        "rx-blind": [True, True, True, True, True],
        "rx-level": [True, True, True, False, False],
        "rx-strict": [True, False, False, False, False],
    }


def taken(tap: Tap) -> list[int]:
    """Reads all that waits, and returns the number of frames from each queue."""
    counts = [0] * len(tap.queues)
    for queue, fd in enumerate(tap.queues):
        with contextlib.suppress(BlockingIOError):
            while os.read(fd, 1 << 17):
                counts[queue] += 1
    return counts


def test_queues_share_the_flows_and_none_of_them_changes(namespace: str, tap: Tap) -> None:
    with contextlib.ExitStack() as opened:
        flows = []
        for _ in range(40):
            with inside(namespace):
                flow = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            flow.connect(("198.18.0.1", 4789))
            flows.append(flow)
        taken(tap)
        for flow in flows:
            flow.send(b"x")
        assert all(count > 1 for count in taken(tap))
        for flow in flows[:8]:
            for _ in range(10):
                flow.send(b"x")
            assert 10 in taken(tap)


def test_a_frame_without_room_is_counted_by_the_driver(namespace: str, tap: Tap) -> None:
    for _ in range(3):
        drop(tap.queues[1], 1514)
    said = output("ip", "-n", namespace, "-s", "-j", "link", "show", "p0")
    [counted] = json.loads(said)
    assert (counted["stats64"]["rx"]["dropped"], counted["stats64"]["rx"]["packets"]) == (3, 0)


def test_a_nic_without_offloads_refuses_each(namespace: str) -> None:
    opened = open_tap(namespace, "p1", offloads=False)
    try:
        for name in ("tx-checksum-ip-generic", "tx-udp_tnl-segmentation", "tso"):
            subprocess.run(
                ["ip", "netns", "exec", namespace, "ethtool", "-K", "p1", name, "on"], check=False
            )
        said = output("ip", "netns", "exec", namespace, "ethtool", "-k", "p1")
        on = [line for line in said.splitlines() if "tx" in line and ": on" in line]
        assert not [line for line in on if "csum" in line or "checksum" in line or "tnl" in line]
    finally:
        os.close(opened.queues[0])


def test_queues_cost_no_feature(namespace: str, tap: Tap) -> None:
    single = open_tap(namespace, "p1")
    try:
        features = [
            subprocess.check_output(
                ["ip", "netns", "exec", namespace, "ethtool", "-k", name], text=True
            ).splitlines()[1:]
            for name in ("p0", "p1")
        ]
    finally:
        os.close(*single.queues)
    assert features[0] == features[1]
    assert (tap.header_size, tap.missing) == (single.header_size, single.missing)


def test_a_nic_notices_resets_toggles_and_another_mtu(namespace: str) -> None:
    opened = open_tap(namespace, "p0", queues=2)
    watch = Watch(namespace, "p0")
    ip, ethtool = ("ip", "-n", namespace), ("ip", "netns", "exec", namespace, "ethtool")
    try:
        run(*ip, "link", "set", "p0", "mtu", "1400", "up")
        run(*ip, "link", "set", "lo", "up")
        run(*ip, "link", "set", "lo", "down")
        assert watch.heard() == (0, 0, 0)
        run(*ethtool, "-K", "p0", "tx-udp_tnl-segmentation", "off")
        run(*ip, "address", "add", "198.18.0.2/24", "dev", "p0")
        assert watch.heard() == (0, 1, 0)
        run(*ip, "link", "set", "p0", "down")
        run(*ip, "link", "set", "p0", "up")
        assert watch.heard() == (1, 0, 0)
        run(*ip, "link", "set", "p0", "mtu", "1464")
        run(*ip, "link", "set", "p0", "mtu", "1400")
        run(*ip, "link", "set", "lo", "mtu", "1400")
        assert watch.heard() == (0, 0, 2)
        assert watch.heard() == (0, 0, 0)
    finally:
        watch.close()
        for fd in opened.queues:
            os.close(fd)


def test_a_reset_makes_every_port_unknown(
    two_hosts: Callable[..., Topology],
    tunnel: Callable[..., None],
    start: Callable[[Topology], RunningLab],
) -> None:
    lab = start(two_hosts(alpha={"model": "after-reset"}))
    tunnel(lab, vni=30, family=4, csum=False)
    name = lab.record.namespace("alpha")
    with inside(lab.record.namespace("bravo")):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind(("10.30.0.2", 5001))

        def arrives() -> bool:
            with inside(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", ("10.30.0.2", 5001))
            return bool(select.select([server], [], [], 1)[0]) and bool(server.recv(99))

        assert arrives()
        run("ip", "-n", name, "link", "set", "p0", "down")
        run("ip", "-n", name, "link", "set", "p0", "up")
        before = _errors(lab)
        until = time.monotonic() + 5
        while _errors(lab) == before and time.monotonic() < until:
            assert not arrives()
        assert _errors(lab) > before


def _errors(lab: RunningLab) -> int:
    """Returns how many inner datagrams bravo's kernel found wrong."""
    with inside(lab.record.namespace("bravo")):
        text = Path("/proc/thread-self/net/snmp").read_text()
    names, values = (line.split() for line in text.splitlines() if line.startswith("Udp:"))
    return int(values[names.index("InCsumErrors")])
