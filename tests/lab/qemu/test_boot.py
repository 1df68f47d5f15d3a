"""The QEMU lab for real: guests boot, their wires can be recorded, and nothing is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qualification.errors import HostError, LabError
from qualification.lab.qemu import accelerator, lab
from qualification.lab.qemu.lab import RunningQemuLab
from qualification.lab.records import ROOT, Record, open_record, sweep
from qualification.remote.host import open_agent
from qualification.remote.ssh.connection import connect
from qualification.topology import Topology, dump

from .conftest import ask

pytestmark = pytest.mark.real_drivers

Guests = Callable[..., Topology]

_SEND = """python3 -c '
import socket, sys
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind((sys.argv[1], 0))
for number in range(200):
    sender.send(bytes.fromhex("ffffffffffff") + bytes.fromhex(sys.argv[2]) + b"\\x88\\xb5"
        + number.to_bytes(2, "big") * 700)
' """


def frames(file: Path, mac: str) -> list[bytes]:
    """List the frames of a pcap file that a MAC address sent under the experimental type."""
    content = file.read_bytes()
    at, found = 24, []
    while at < len(content):
        length = int.from_bytes(content[at + 8 : at + 12], "little")
        found.append(content[at + 16 : at + 16 + length])
        at += 16 + length
    return [each for each in found if each[6:14] == bytes.fromhex(mac) + b"\x88\xb5"]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def wait_until(true: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_guests_are_ordinary_hosts(booted: RunningQemuLab) -> None:
    assert booted.topology.lab is None
    for host in ("alpha", "bravo"):
        ssh = booted.topology.hosts[host].ssh
        assert ssh
        with open_agent(host, ssh) as agent:
            assert agent.greeting.uid == 0
        for interface, model in (("p0", "igb"), ("p1", "e1000e")):
            assert f"driver: {model}" in ask(booted, host, f"ethtool -i {interface}")
            firmware = booted.topology.nic(f"{host}.{model}").firmware or ""
            assert firmware.startswith(f"{model} QEMU ")
        assert ask(booted, host, "hostname").strip() == host


def test_the_wire_is_what_both_ends_record(booted: RunningQemuLab, tmp_path: Path) -> None:
    for host in ("alpha", "bravo"):
        ask(booted, host, "ip link set p0 up")
    until = (
        "for i in $(seq 200); do [ $(cat /sys/class/net/p0/carrier) = 1 ] && break; sleep .1; done"
    )
    for host in ("alpha", "bravo"):
        ask(booted, host, until)
    mac = ask(booted, "alpha", "cat /sys/class/net/p0/address").strip().replace(":", "")
    ends = [booted.taps[f"{host}.igb"] for host in ("alpha", "bravo")]
    with (
        ends[0].recording(tmp_path / "alpha.pcap") as sent,
        ends[1].recording(tmp_path / "bravo.pcap") as arrived,
    ):
        ask(booted, "alpha", f"{_SEND} p0 {mac}")
        received = "cat /sys/class/net/p0/statistics/rx_packets"
        wait_until(lambda: int(ask(booted, "bravo", received)) >= 200)
    assert [each[14:16] for each in frames(sent, mac)] == [n.to_bytes(2, "big") for n in range(200)]
    assert frames(arrived, mac) == frames(sent, mac)
    with pytest.raises(LabError, match="record-wire"):
        ends[0].end()


def test_memory_of_a_guest(booted: RunningQemuLab) -> None:
    for pid in booted.pids.values():
        words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
        assert int(words[words.index("Pss:") + 1]) < 350 * 1024


def test_a_guest_that_is_killed_is_an_error_of_that_host(ready: None, guests: Guests) -> None:
    with lab.start(guests("e1000e")) as running:
        ssh = running.topology.hosts["bravo"].ssh
        assert ssh
        with open_agent("bravo", ssh) as agent:
            os.kill(running.pids["bravo"], signal.SIGKILL)
            with pytest.raises(LabError, match="bravo"):
                agent.call("facts", interfaces=[], timeout=5.0)
        with pytest.raises(HostError, match="bravo"):
            connect("bravo", ssh, timeout=5.0)
        assert ask(running, "alpha", "hostname").strip() == "alpha"
        directory = running.record.directory
    assert not directory.exists()
    assert all(map(is_gone, running.pids.values()))


def test_the_owner_that_is_killed_takes_its_guests_along(
    ready: None, guests: Guests, tmp_path: Path
) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(dump(guests("e1000e")))
    script = (
        "import sys, time; from qualification.lab.qemu import lab;"
        "from qualification.topology import load; running = lab.start(load(sys.argv[1]));"
        "print(running.record.tag, *running.pids.values(), flush=True); time.sleep(300)"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        tag, *pids = owner.stdout.readline().split()
        owner.kill()
    wait_until(lambda: all(is_gone(int(pid)) for pid in pids))
    sweep()
    assert not (ROOT / tag).exists()


def test_a_guest_that_does_not_boot_says_why(
    ready: None, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a kernel without its disk's driver does.
    monkeypatch.setattr("qualification.lab.qemu.image.initrd.BOOT", ("virtio_pci", "overlay"))
    opened = []

    def remember(topology: str | None) -> Record:
        opened.append(open_record(topology))
        return opened[0]

    monkeypatch.setattr("qualification.lab.qemu.lab.open_record", remember)
    with pytest.raises(HostError, match=r"no root file system: the kernel needs .*virtio_blk"):
        lab.start(guests("e1000e"))
    assert not opened[0].directory.exists()


def test_kvm_that_is_asked_for_and_does_not_work(
    ready: None, guests: Guests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_works", lambda _qemu, _kernel: False)
    with pytest.raises(LabError, match=r"lab\.accel: KVM does not work"):
        lab.start(guests("e1000e", accel="kvm"))


def test_a_model_that_this_qemu_lacks(ready: None, guests: Guests) -> None:
    with pytest.raises(LabError, match="has no model x710"):
        lab.start(guests("x710"))
