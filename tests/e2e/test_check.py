"""`vxqual check` tells the truth: what makes a run fail is found, and nothing is changed."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qualification.agent.host.journal import Journal
from qualification.errors import LabError
from qualification.remote import lab_checks
from qualification.remote.discover import discover
from qualification.remote.readiness import readiness
from qualification.topology import load

from .conftest import SMALL, Edit, Persistent, eventually, vxqual
from .test_mistakes import ONE_FLOW, nic_of, reported, ssh_of
from .test_same_hosts import TOPOLOGY as SAME_HOSTS

pytestmark = pytest.mark.lab

Changed = Callable[[Edit], Path]
ADDRESSES = {"alpha": "198.18.0.1/24", "bravo": "198.18.0.2/24"}


def refused(done: subprocess.CompletedProcess[str], *sentences: str) -> None:
    reported(done, 10, *sentences)
    assert re.search(r"\d problems? to solve|the lab is not ready", done.stdout)
    assert "next: None" not in done.stdout


@pytest.fixture
def configured(lab: Persistent) -> Iterator[None]:
    """The underlay addresses are on the NICs before any run, as in a cluster."""
    for host, address in ADDRESSES.items():
        lab.ip(host, "address", "add", address, "dev", "port0")
    yield
    for host, address in ADDRESSES.items():
        lab.ip(host, "address", "del", address, "dev", "port0")


def settled(lab: Persistent) -> dict[str, str]:
    """The lab's state without the timers of a bridge, which `ip -d link` shows."""
    return lab.state() | {"alpha: ip -d link": lab.ip("alpha", "link")}


# One host


def test_a_bridge_as_dut(lab: Persistent, changed: Changed, tmp_path: Path) -> None:
    lab.ip("alpha", "link", "add", "br0", "type", "bridge")
    try:
        lab.ip("alpha", "link", "set", "br0", "mtu", "1500", "up")
        lab.ip("alpha", "link", "set", "port0", "master", "br0")
        # The kernel's link watch says so up to a second after the bridge's first port is up.
        eventually(lambda: "state UP" in lab.ip("alpha", "link", "show", "br0"))
        before = settled(lab)
        what = "br0 is a bridge on top of port0, so a tap on it does not show what a NIC was given"
        path = changed(nic_of("alpha", interface="br0"))
        refused(vxqual("check", path), f"alpha.port0: {what} next: name port0 instead of br0")
        path = changed(dict)
        port = "port0 is a port of the bridge br0, which takes the frames that arrive"
        refused(vxqual("check", path), f"alpha.port0: {port}")
        reported(vxqual("run", "-t", path, *SMALL, "--out", tmp_path, *ONE_FLOW), 10, port)
        assert not (tmp_path / "latest/matrix.json").exists()
        assert settled(lab) == before
    finally:
        lab.ip("alpha", "link", "del", "br0")


def test_lo_as_dut(changed: Changed) -> None:
    path = changed(nic_of("alpha", interface="lo"))
    refused(vxqual("check", path), "lo is the loopback device and no NIC", "this host has: port0")


def test_ipv6_is_disabled(lab: Persistent, changed: Changed, tmp_path: Path) -> None:
    path = changed(nic_of("alpha", underlay=["198.18.0.1/24", "fd00:18::1/64"]))
    lab.inside("alpha", "sysctl", "-qw", "net.ipv6.conf.port0.disable_ipv6=1")
    try:
        refused(
            vxqual("check", path),
            "alpha.port0: IPv6 is disabled on port0, and its underlay address fd00:18::1/64 needs "
            "it next: sysctl -w net.ipv6.conf.port0.disable_ipv6=0",
        )
    finally:
        lab.inside("alpha", "sysctl", "-qw", "net.ipv6.conf.port0.disable_ipv6=0")


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ("ro", "cannot be written to (Read-only file system)", "next: make it writable (mount -o"),
        ("size=4k", "there is no space left in", "next: free some space: df -h"),
    ],
    ids=["read-only", "full"],
)
def test_a_run_directory_that_takes_no_journal(
    lab: Persistent, changed: Changed, tmp_path: Path, options: str, what: str, hint: str
) -> None:
    """The directory of alpha's journals, in a mount namespace of its sshd."""
    script = tmp_path / "enter"
    script.write_text(f'#!/bin/sh\nmount -t tmpfs -o {options} vxq-t {tmp_path}/run\nexec "$@"\n')
    script.chmod(0o755)
    (tmp_path / "run").mkdir()
    wrapper = f"unshare --mount {script} {{}}"
    words = lab.document["hosts"]["alpha"]["ssh"]["proxy_command"].split()
    text = Path(words[-1]).read_text()
    config = tmp_path / "sshd_config"
    old = next(word for word in text.split() if word.startswith("VXQUAL_RUN="))
    config.write_text(text.replace(old, f"VXQUAL_RUN={tmp_path}/run/vxqual"))
    command = wrapper.format(" ".join([*words[:-1], str(config)]))
    path = changed(ssh_of("alpha", proxy_command=command))
    refused(vxqual("check", path), what, hint)
    out = tmp_path / "out"
    reported(vxqual("run", "-t", path, *SMALL, "--out", out, *ONE_FLOW), 10, what)
    assert not (out / "latest/matrix.json").exists()


def test_a_nic_that_is_leased(
    lab: Persistent, changed: Changed, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = lab.document["hosts"]["alpha"]["ssh"]["proxy_command"].split()
    text = Path(words[-1]).read_text()
    folder = next(w for w in text.split() if w.startswith("VXQUAL_RUN=")).partition("=")[2]
    number = Path("/run/netns", lab.namespace("alpha")).stat().st_ino
    monkeypatch.setattr("qualification.agent.host.journal.DIRECTORY", Path(folder))
    lease = Journal(f"{number}-port0", {})
    try:
        refused(
            vxqual("check", lab.topology),
            "alpha.port0: another vxqual is using this NIC",
            "next: wait until it has ended",
        )
    finally:
        lease.close()
    reported(vxqual("check", lab.topology), 0)


def test_another_interface_in_the_subnet(lab: Persistent, changed: Changed) -> None:
    lab.ip("alpha", "link", "add", "x0", "type", "ifb")
    try:
        lab.ip("alpha", "address", "add", "198.18.0.77/24", "dev", "x0")
        lab.ip("alpha", "link", "set", "x0", "up")
        refused(
            vxqual("check", changed(dict)),
            "alpha.port0: x0 of this host has 198.18.0.77/24, which is in the subnet of underlay "
            "address 198.18.0.1/24",
            "or set x0 down",
        )
    finally:
        lab.ip("alpha", "link", "del", "x0")


# Host and controller


@pytest.mark.parametrize(("off", "said"), [(7200, "2 hours behind"), (-400, "7 minutes ahead of")])
def test_a_clock_that_is_far_off(
    lab: Persistent, monkeypatch: pytest.MonkeyPatch, off: float, said: str
) -> None:
    topology = load(lab.topology)
    real = lab_checks.time.time
    monkeypatch.setattr(lab_checks.time, "time", lambda: real() + off)
    answers = readiness(topology, ["soft"])
    found = [problem for answer in answers for problem in answer.problems.get("bravo", [])]
    assert [problem.kind for problem in found] == ["clock-off"]
    assert f"its clock is {said} the clock of this machine" in found[0].message
    with pytest.raises(LabError, match=f"(alpha|bravo): its clock is {said}.*\n  next: set the"):
        discover(topology, ["soft"], lambda _: None)


# Between two hosts


BOTH_ON_ONE = """
version: 1
hosts:
  alpha:
    nics:
      port0: {interface: port0, underlay: [198.18.0.1/24]}
      port1: {interface: port1, underlay: [198.18.0.2/24]}
pairs:
  both: {dut: alpha.port0, peer: alpha.port1}
lab: {kind: loopback}
"""


def test_both_nics_on_one_host(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(BOTH_ON_ONE)
    what = "both: alpha.port0 and alpha.port1 are in one network namespace of one host"
    refused(vxqual("check", path), what, "next: use a peer in another host")
    done = vxqual("run", "-t", path, *SMALL, "--out", tmp_path)
    refused(done, what)
    assert "another tunnel" not in done.stdout


def test_two_pairs_in_one_subnet(tmp_path: Path) -> None:
    """They would run at the same time, each as the other's second interface in the subnet."""
    path = tmp_path / "two.yaml"
    path.write_text(SAME_HOSTS.replace("198.18.2.", "198.18.1.1"))
    what = (
        "faulty: alpha.port0 and alpha.port1 of one host both have an underlay address in "
        "198.18.1.0/24, and their pairs run at the same time"
    )
    refused(vxqual("check", path), what, "next: give each pair an underlay subnet of its own")
    refused(vxqual("run", path, *SMALL, "--out", tmp_path), what)
    reported(vxqual("check", path, "--pair", "faulty"), 0)


def test_one_host_under_two_names(lab: Persistent, changed: Changed, tmp_path: Path) -> None:
    ssh = lab.document["hosts"]["alpha"]["ssh"]
    lines = Path(ssh["known_hosts"]).read_text().splitlines()
    [key] = [line.partition(" ")[2] for line in lines if line.startswith("alpha ")]
    known = tmp_path / "known_hosts"
    known.write_text(f"charlie {key}\n")
    path = changed(ssh_of("bravo", **ssh | {"address": "charlie", "known_hosts": str(known)}))
    refused(vxqual("check", path), "alpha.port0 and bravo.port0 are in one network namespace")


def test_a_port_that_cannot_be_probed_yet(lab: Persistent) -> None:
    done = vxqual("check", lab.topology)
    reported(
        done,
        0,
        "soft: whether UDP port 4789 passes over IPv4 cannot be probed yet: only the run adds "
        "198.18.0.1/24 to alpha.port0 and 198.18.0.2/24 to bravo.port0",
    )


def test_a_port_that_passes(lab: Persistent, configured: None) -> None:
    before = lab.state()
    done = vxqual("check", lab.topology)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [f"{lab.topology}: ready", "  alpha.port0: ready", "  bravo.port0: ready"],
    )
    assert lab.state() == before


@contextlib.contextmanager
def dropping(lab: Persistent, host: str) -> Iterator[None]:
    """A rule drops packets to the port of the tunnels before the stack of the host gets them."""
    rule = ("iif", "port0", "ipproto", "udp", "dport", "4789", "blackhole")
    lab.ip(host, "rule", "add", "pref", "1", *rule)
    lab.ip(host, "rule", "add", "pref", "5", "lookup", "local")
    lab.ip(host, "rule", "del", "pref", "0")
    try:
        yield
    finally:
        lab.ip(host, "rule", "add", "pref", "0", "lookup", "local")
        lab.ip(host, "rule", "del", "pref", "5")
        lab.ip(host, "rule", "del", "pref", "1")


@pytest.mark.parametrize("host", ["alpha", "bravo"])
def test_a_firewall_on_a_host(lab: Persistent, configured: None, host: str) -> None:
    other = {"alpha": "bravo", "bravo": "alpha"}[host]
    with dropping(lab, host):
        done = vxqual("check", lab.topology)
    refused(
        done,
        f"soft: UDP port 4789 is filtered on host {host}: packets from {other}.port0 (",
        "arrive at port0, and the host delivers none next: allow UDP port 4789 in the firewall",
    )


def test_a_filter_on_the_path(lab: Persistent, configured: None) -> None:
    """What a switch forwards to nobody: alpha has learnt a MAC address that is not bravo's."""
    wrong = ("198.18.0.2", "lladdr", "02:00:00:00:00:99", "dev", "port0", "nud", "permanent")
    lab.ip("alpha", "neighbour", "replace", *wrong)
    try:
        done = vxqual("check", lab.topology)
    finally:
        lab.ip("alpha", "neighbour", "del", "198.18.0.2", "dev", "port0")
    refused(
        done,
        "soft: UDP port 4789 does not pass from alpha.port0 (198.18.0.1) to bravo.port0 "
        "(198.18.0.2): no packet arrives, though both ends answer for their addresses next: allow "
        "UDP port 4789 in the firewall of host alpha and in the filters of the switches",
        "1 problem to solve",
    )


def test_a_port_that_something_uses(lab: Persistent, configured: None) -> None:
    lab.ip(
        "alpha", "link", "add", "vx9", "type", "vxlan", "id", "9", "dstport", "4789",
        "local", "198.18.0.1",
    )  # fmt: skip
    try:
        lab.ip("alpha", "link", "set", "vx9", "up")
        refused(vxqual("check", lab.topology), "soft: alpha.port0: UDP port 4789 is in use")
    finally:
        lab.ip("alpha", "link", "del", "vx9")


def test_a_peer_that_does_not_answer(lab: Persistent, configured: None) -> None:
    lab.ip("bravo", "link", "set", "port0", "arp", "off")
    try:
        done = vxqual("check", lab.topology)
    finally:
        lab.ip("bravo", "link", "set", "port0", "arp", "on")
    refused(
        done, "soft: alpha.port0: no host answers for 198.18.0.2 on port0", "1 problem to solve"
    )
