"""The loopback lab as a whole: its hosts work like hosts, and nothing is left of them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from qualification.errors import LabError, UsageError
from qualification.lab import loopback, persistent, records
from qualification.lab.loopback import RunningLab
from qualification.lab.softnic import tap
from qualification.lab.softnic.tx_descriptor import parse
from qualification.topology import Topology, dump, load

Start = Callable[[Topology], RunningLab]
TwoHosts = Callable[..., Topology]


_STUBBORN = "trap '' TERM; setsid sleep 99 >/dev/null 2>&1 </dev/null & echo $!"


@contextlib.contextmanager
def login(topology: Topology, host: str) -> Iterator[paramiko.SSHClient]:
    """Logs in as the suite does: by the topology alone, with host keys checked."""
    ssh = topology.hosts[host].ssh
    assert ssh
    assert ssh.proxy_command
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(ssh.known_hosts_file))
        client.connect(
            ssh.address,
            username=ssh.user,
            key_filename=str(ssh.key_file),
            sock=paramiko.ProxyCommand(ssh.proxy_command),
            look_for_keys=False,
            allow_agent=False,
        )
        yield client


def ask(client: paramiko.SSHClient, command: str) -> str:
    return client.exec_command(command)[1].read().decode()


def is_gone(pid: int) -> bool:
    return records._started(pid) is None


def wait_until(true: Callable[[], bool], seconds: float = 5) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def remains(record: records.Record) -> list[str]:
    """Returns the namespaces and files that are left of a lab."""
    return record.namespaces() + [str(path) for path in [record.directory] if path.exists()]


@pytest.mark.lab
def test_hosts_are_reached_by_ssh_and_are_apart(start: Start, two_hosts: TwoHosts) -> None:
    lab = start(two_hosts())
    seen = {}
    for host in ("alpha", "bravo"):
        with login(lab.topology, host) as client:
            assert ask(client, "ls /sys/class/net").split() == ["lo", "p0"]
            assert ask(client, "cat /sys/class/net/p0/mtu").strip() == "1500"
            assert "tun" in ask(client, "ethtool -i p0")
            seen[host] = ask(client, "cat /sys/class/net/p0/address").strip()
            cache = ask(client, "echo $XDG_CACHE_HOME").strip()
            assert Path(cache).is_relative_to(lab.record.directory / "hosts" / host)
            with client.open_sftp() as sftp:
                sftp.open(f"{cache}/file", "w").close()
            assert Path(cache, "file").exists()
    assert seen["alpha"] != seen["bravo"]
    assert all(int(mac[:2], 16) & 3 == 2 for mac in seen.values())  # local, unicast


@pytest.mark.lab
def test_a_host_key_is_valid_for_one_host(start: Start, two_hosts: TwoHosts) -> None:
    lab = start(two_hosts())
    hosts = dict(lab.topology.hosts)
    assert hosts["alpha"].ssh
    wrong = hosts["alpha"].ssh.model_copy(update={"address": "bravo"})
    hosts["alpha"] = hosts["alpha"].model_copy(update={"ssh": wrong})
    with (
        pytest.raises(paramiko.BadHostKeyException),
        login(lab.topology.model_copy(update={"hosts": hosts}), "alpha"),
    ):
        pass


@pytest.mark.lab
def test_the_resolved_topology_has_no_lab(start: Start, two_hosts: TwoHosts) -> None:
    lab = start(two_hosts(alpha={"model": "random-p"}))
    assert lab.topology.lab is None
    assert Topology.model_validate(lab.topology.model_dump()) == lab.topology
    assert lab.topology.nic("alpha.port0").firmware == "random-p p=0.03"


@pytest.mark.lab
def test_a_firmware_that_the_topology_names_stays(start: Start, two_hosts: TwoHosts) -> None:
    data = two_hosts().model_dump(mode="json")
    data["hosts"]["alpha"]["nics"]["port0"]["firmware"] = "8.30"
    # A NIC in no pair has no cable, and no device.
    data["hosts"]["alpha"]["nics"]["spare"] = {"interface": "p1", "underlay": ["198.18.9.1/24"]}
    lab = start(Topology.model_validate(data))
    assert lab.topology.nic("alpha.port0").firmware == "8.30"
    assert list(lab.counters()) == ["alpha.port0", "bravo.port0"]
    with login(lab.topology, "alpha") as client:
        assert "p1" not in ask(client, "ls /sys/class/net")


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


@pytest.mark.lab
def test_stop_leaves_nothing_and_other_labs_alone(
    two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_GRACE", 0.5)
    gc.collect()
    descriptors = _descriptors()
    with loopback.start(two_hosts()) as other:
        lab = loopback.start(two_hosts())
        assert len(remains(lab.record)) == 3
        with login(lab.topology, "alpha") as client:
            stubborn = int(ask(client, _STUBBORN))
            lab.stop()
        assert remains(lab.record) == []
        assert all(is_gone(pid) for pid in (*lab.pids.values(), stubborn))
        lab.stop()
        assert len(remains(other.record)) == 3
        with login(other.topology, "bravo") as client:
            assert "p0" in ask(client, "ls /sys/class/net")
    assert remains(other.record) == []
    patience = time.monotonic() + 5  # paramiko leaves pipes to its threads and to the collector
    while _descriptors() > descriptors and time.monotonic() < patience:
        gc.collect()
        time.sleep(0.02)
    assert _descriptors() <= descriptors


@pytest.mark.lab
def test_what_a_killed_owner_leaves_is_swept(two_hosts: TwoHosts, tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    file.write_text(dump(two_hosts()))
    script = (
        "import sys, time; from qualification.lab import loopback\n"
        "from qualification.topology import load\n"
        "lab = loopback.start(load(sys.argv[1]))\n"
        "print(lab.record.tag, *lab.pids.values(), flush=True); time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        tag, *pids = owner.stdout.readline().split()
        owner.kill()
    wait_until(lambda: all(is_gone(int(pid)) for pid in pids))
    dead = records.Record(tag, owner.pid, 0)
    with loopback.start(two_hosts()):
        assert remains(dead) == []


@pytest.mark.lab
def test_what_fails_half_way_leaves_nothing(
    two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[records.Record] = []

    def remember(topology: str | None) -> records.Record:
        opened.append(records.open_record(topology))
        # The namespace of the second host exists already, so it cannot be made.
        subprocess.run(["ip", "netns", "add", opened[0].namespace("bravo")], check=True)
        return opened[0]

    monkeypatch.setattr("qualification.lab.loopback.open_record", remember)
    with pytest.raises(LabError, match="ip netns add"):
        loopback.start(two_hosts())
    assert remains(opened[0]) == []


@pytest.mark.lab
def test_persistent_lab(two_hosts: TwoHosts, tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    assert persistent.status(file) is None
    assert not persistent.down(file)
    lab = persistent.up(two_hosts(alpha={"model": "random-p"}), file)
    try:
        assert not lab.already_up
        assert persistent.up(two_hosts(), file).already_up
        assert [nic.firmware for nic in lab.nics] == ["random-p p=0.03", "good"]
        assert not any(is_gone(nic.pid or 0) for nic in lab.nics)
        command = [*shlex.split(lab.hosts[0].ssh), "ls /sys/class/net"]
        assert subprocess.check_output(command, text=True).split() == ["lo", "p0"]
        with login(load(lab.topology), "bravo") as client:
            assert ask(client, "ls /sys/class/net").split() == ["lo", "p0"]
        # Another process starts and stops a lab.
        with loopback.start(two_hosts()):
            pass
        assert persistent.status(file)
    finally:
        assert persistent.down(file)
    assert persistent.status(file) is None
    assert not lab.topology.exists()
    assert is_gone(lab.keeper)


@pytest.mark.lab
def test_keeper_that_is_killed_takes_its_lab_along(two_hosts: TwoHosts, tmp_path: Path) -> None:
    file = tmp_path / "topology.yaml"
    lab = persistent.up(two_hosts(), file)
    os.kill(lab.keeper, signal.SIGKILL)
    wait_until(lambda: all(is_gone(nic.pid or 0) for nic in lab.nics))
    assert persistent.status(file) is None
    assert not persistent.down(file)
    assert not lab.topology.exists()


def test_one_cable_to_a_nic(two_hosts: TwoHosts) -> None:
    data = two_hosts().model_dump(mode="json")
    data["hosts"]["bravo"]["nics"]["port1"] = {"interface": "p1", "underlay": ["198.18.0.3/24"]}
    data["pairs"]["back"] = {"dut": "bravo.port0", "peer": "alpha.port0"}
    assert loopback._cables(Topology.model_validate(data)) == [("alpha.port0", "bravo.port0")]
    data["pairs"]["more"] = {"dut": "alpha.port0", "peer": "bravo.port1"}
    with pytest.raises(UsageError) as caught:
        loopback.check(Topology.model_validate(data))
    text = "soft joins alpha.port0 with bravo.port0 and more joins it with bravo.port1"
    assert text in str(caught.value)


def test_a_firmware_that_is_not_there_is_found_before_anything_is_made(two_hosts: TwoHosts) -> None:
    with pytest.raises(UsageError, match=r"lab\.firmwares\.alpha\.port0: there is no firmware"):
        loopback.start(two_hosts(alpha={"model": "bad"}))


def test_an_older_kernel_grants_less(monkeypatch: pytest.MonkeyPatch) -> None:
    for refused, header_size, missing in ((0x180, 10, 1), (0x1E0, 10, 2), (0, 24, 0)):

        def ioctl(_fd: int, request: int, argument: object, refused: int = refused) -> int:
            if request == tap._TUNSETOFFLOAD and isinstance(argument, int) and argument & refused:
                raise OSError(errno.EINVAL, "Invalid argument")
            return 0

        monkeypatch.setattr(fcntl, "ioctl", ioctl)
        granted_size, lacks = tap._negotiate(3, tap._GRANTS)
        assert (granted_size, len(lacks)) == (header_size, missing)


@pytest.mark.lab
def test_the_smaller_header_works_too(
    start: Start, two_hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A TAP as on an older kernel, which this one makes too: plain header, no tunnel bits."""
    lab = start(two_hosts())
    monkeypatch.setattr(tap, "_GRANTS", tap._GRANTS[1:])
    opened = tap.open_tap(lab.record.namespace("alpha"), "old0")
    try:
        assert opened.header_size == 10
        subprocess.run(
            ["ip", "-n", lab.record.namespace("alpha"), "link", "set", "old0", "up"], check=True
        )
        # A host sends frames as soon as it has a link (multicast listener reports, RFC 3810).
        assert select.select(opened.queues, [], [], 5)[0]
        descriptor = parse(os.read(opened.queues[0], 9999), opened.header_size)
        assert descriptor.frame[:2] == bytes.fromhex("3333")
        with login(lab.topology, "alpha") as client:
            features = ask(client, "ethtool -k old0")
        assert "tx-udp_tnl-segmentation: off" in features
        assert "tx-udp-segmentation: on" in features
    finally:
        os.close(*opened.queues)
