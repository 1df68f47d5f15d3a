"""What is wrong with a lab is reported in one message, with an exit code and no traceback."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import SMALL, SOME, TOPOLOGIES, Edit, Persistent, eventually, rows, vxqual

pytestmark = pytest.mark.lab

Changed = Callable[[Edit], Path]

ONE_FLOW = ("-k", "all-off/outer4-nocsum/inner4/udp]")


@pytest.fixture
def link(lab: Persistent) -> Iterator[None]:
    """A second link of alpha: the veth s0, whose other end s1 is down in bravo."""
    alpha, bravo = lab.namespace("alpha"), lab.namespace("bravo")
    lab.ip("alpha", "link", "add", "s0", "type", "veth", "peer", "name", "s1", "netns", bravo)
    yield
    subprocess.run(["ip", "-n", alpha, "link", "del", "s0"], check=True)


def reported(done: subprocess.CompletedProcess[str], code: int, *sentences: str) -> None:
    """It ended with this exit code, and printed each of these sentences once."""
    flat = " ".join(done.stdout.split())
    assert done.returncode == code, done.stdout
    assert "Traceback" not in flat
    assert "INTERNALERROR" not in flat
    for sentence in sentences:
        assert flat.count(sentence) == 1, done.stdout


def ssh_of(host: str, **changes: Any) -> Edit:
    return lambda document: document["hosts"][host]["ssh"].update(changes)


def nic_of(host: str, **changes: Any) -> Edit:
    return lambda document: document["hosts"][host]["nics"]["port0"].update(changes)


# The file


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("pairs:", "pairs: [", "malformed YAML"),
        ("interface:", "interfaec:", "unknown key 'interfaec'; did you mean 'interface'?"),
        ("peer: bravo.port0", "peer: bravo.port7", "host 'bravo' has no NIC 'port7'"),
        ("peer: bravo.port0", "peer: alpha.port0", "dut and peer are the same NIC, alpha.port0"),
        ("kind: loopback", "kind: loopbakc", "did you mean 'loopback'?"),
        ("  # firmwares:", "  firmwares: {alpha.port0: {model: godo}} #", "no firmware 'godo'"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, old: str, new: str, what: str) -> None:
    path = tmp_path / "topology.yaml"
    path.write_text((TOPOLOGIES / "loopback.yaml").read_text().replace(old, new, 1))
    reported(vxqual("run", "-t", path, "--out", tmp_path), 4, what)
    reported(vxqual("check", path), 4, what)
    assert [file.name for file in tmp_path.iterdir()] == ["topology.yaml"]


# The connection to a host: examples; tests/remote has all of them


def test_a_host_that_refuses(changed: Changed, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = changed(ssh_of("bravo", address="127.0.0.1", port=port, proxy_command=None))
    what = f"bravo: 127.0.0.1 port {port} refuses connections"
    reported(
        vxqual("run", "-t", path, *SMALL, "--out", tmp_path), 10, what, "next: is sshd running"
    )
    reported(vxqual("plan", "-t", path, *SMALL), 10, what)
    checked = vxqual("check", path)
    reported(checked, 10, what, "1 problem to solve")
    assert "alpha.port0: ready" in checked.stdout, (
        "the problem of one host does not hide the others"
    )
    assert (tmp_path / "latest/vxqual.log").exists()
    assert not (tmp_path / "latest/matrix.json").exists()


def test_a_host_key_that_has_changed(lab: Persistent, changed: Changed, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    lines = Path(lab.document["hosts"]["alpha"]["ssh"]["known_hosts"]).read_text().splitlines()
    keys = dict(line.split(maxsplit=1) for line in lines)
    known.write_text(f"alpha {keys['bravo']}\n")
    path = changed(ssh_of("alpha", known_hosts=str(known)))
    done = vxqual("run", "-t", path, *SMALL, "--out", tmp_path)
    reported(
        done, 10, "alpha: host key changed: it shows ssh-ed25519 SHA256:", "ssh-keygen -R alpha"
    )


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (None, "alpha: python3 is not on the PATH of an SSH session"),
        (
            """echo 'vxqual-probe {"python": [3, 8, 20], "uid": 0, "path": "", "intact": false,"""
            """ "problem": null, "ssh_connection": ""}'""",
            "alpha: its python3 is Python 3.8.20, too old for the agent",
        ),
        ("echo 'libpython3.so: not found' >&2; exit 126", "libpython3.so: not found"),
    ],
    ids=["missing", "old", "broken"],
)
def test_a_python3_that_will_not_do(
    lab: Persistent, changed: Changed, tmp_path: Path, script: str | None, what: str
) -> None:
    """A host whose PATH has another python3, or none."""
    if script is not None:
        fake = tmp_path / "python3"
        fake.write_text(f"#!/bin/sh\n{script}\n")
        fake.chmod(0o755)
    words = lab.document["hosts"]["alpha"]["ssh"]["proxy_command"].split()
    config = tmp_path / "sshd_config"
    original = Path(words[-1]).read_text()
    config.write_text(original.replace("SetEnv ", f"SetEnv HOME={tmp_path} PATH={tmp_path} "))
    path = changed(ssh_of("alpha", proxy_command=" ".join([*words[:-1], str(config)])))
    reported(vxqual("run", "-t", path, *SMALL, "--out", tmp_path), 10, what)


# The interface


def test_an_interface_that_is_not_there(changed: Changed, tmp_path: Path) -> None:
    path = changed(nic_of("alpha", interface="eth7"))
    what = "alpha.port0: there is no interface 'eth7'"
    for done in (vxqual("run", "-t", path, *SMALL, "--out", tmp_path), vxqual("check", path)):
        reported(done, 10, what, "this host has: port0")


def test_no_link(changed: Changed, lab: Persistent, link: None) -> None:
    lab.ip("alpha", "link", "set", "s0", "up")
    path = changed(nic_of("alpha", interface="s0", underlay=["198.18.0.7/24"]))
    reported(vxqual("check", path), 10, "s0 is up and has no link", "next: check the cable")


def test_an_mtu_that_is_too_small(lab: Persistent, changed: Changed, tmp_path: Path) -> None:
    path = changed(dict)
    lab.ip("alpha", "link", "set", "port0", "mtu", "1340")
    try:
        for args in (
            ("check", path),
            ("run", "-t", path, *SMALL, "--out", tmp_path, *ONE_FLOW),
        ):
            reported(
                vxqual(*args), 10, "the MTU of port0 is 1340, and inner IPv6 in a tunnel needs 1350"
            )
        assert not (tmp_path / "latest/matrix.json").exists()
    finally:
        lab.ip("alpha", "link", "set", "port0", "mtu", "1500")


def test_underlay_addresses_that_are_taken(
    lab: Persistent, changed: Changed, link: None, tmp_path: Path
) -> None:
    path = changed(dict)
    lab.ip("alpha", "address", "add", "198.18.0.1/24", "dev", "s0")
    reported(vxqual("check", path), 10, "198.18.0.1/24 is taken: s0 of this host carries it")
    lab.ip("alpha", "address", "del", "198.18.0.1/24", "dev", "s0")

    lab.ip("bravo", "address", "add", "198.18.0.1/24", "dev", "port0")
    try:
        before = lab.state()
        for args in (
            ("check", path),
            ("run", "-t", path, *SMALL, "--out", tmp_path, *ONE_FLOW),
        ):
            done = vxqual(*args)
            assert re.search(
                r"198\.18\.0\.1/24 is taken: [\da-f:]{17} answers for it",
                " ".join(done.stdout.split()),
            )
            reported(done, 10)
        assert lab.state() == before
    finally:
        lab.ip("bravo", "address", "del", "198.18.0.1/24", "dev", "port0")


@pytest.fixture
def own_way(lab: Persistent, tmp_path: Path) -> Iterator[dict[str, str]]:
    """How SSH reaches alpha from bravo, over the NIC under test itself."""
    words = lab.document["hosts"]["alpha"]["ssh"]["proxy_command"].split()
    for number, host in enumerate(("alpha", "bravo"), 1):
        lab.ip(host, "address", "add", f"198.18.0.{number}/24", "dev", "port0")
    inside = ["ip", "netns", "exec", lab.namespace("alpha")]
    options = ["-o", "ListenAddress=198.18.0.1", "-o", "Port=2222"]
    with subprocess.Popen(
        [*inside, "/usr/sbin/sshd", "-D", "-e", "-f", words[-1], *options]
    ) as server:
        try:
            eventually(lambda: "198.18.0.1:2222" in lab.inside("alpha", "ss", "-ltn"))
            relay = Path(__file__).with_name("relay.py")
            yield {
                "proxy_command": f"ip netns exec {lab.namespace('bravo')} {sys.executable} {relay} "
                "198.18.0.1 2222"
            }
        finally:
            server.terminate()
    for number, host in enumerate(("alpha", "bravo"), 1):
        lab.ip(host, "address", "del", f"198.18.0.{number}/24", "dev", "port0")


def test_the_interface_of_our_own_session(
    lab: Persistent, changed: Changed, own_way: dict[str, str], tmp_path: Path
) -> None:
    before = lab.state()
    path = changed(ssh_of("alpha", **own_way))
    what = "port0 carries our own SSH session (198.18.0.1)"
    hint = "name another interface, or set allow_management: true for this NIC"
    reported(vxqual("check", path), 10, what, hint)
    reported(vxqual("run", "-t", path, *SMALL, "--out", tmp_path, *ONE_FLOW), 10, what)
    assert not (tmp_path / "latest/matrix.json").exists()
    assert lab.state() == before

    def allow(document: dict[str, Any]) -> None:
        ssh_of("alpha", **own_way)(document)
        nic_of("alpha", allow_management=True)(document)

    allowed = changed(allow)
    reported(vxqual("check", allowed), 0)
    reported(vxqual("run", "-t", allowed, *SMALL, "--out", tmp_path, *ONE_FLOW, SOME), 0)
    assert lab.state() == before


# The path


@pytest.mark.parametrize("host", [pytest.param("alpha", marks=pytest.mark.slow), "bravo"])
def test_a_firewall_is_found_before_anything_is_sent(
    lab: Persistent, changed: Changed, tmp_path: Path, host: str
) -> None:
    """A rule drops packets to the port of the tunnels before the stack of a host gets them."""
    rule = ("iif", "port0", "ipproto", "udp", "dport", "4789", "blackhole")
    lab.ip(host, "rule", "add", "pref", "1", *rule)
    lab.ip(host, "rule", "add", "pref", "5", "lookup", "local")
    lab.ip(host, "rule", "del", "pref", "0")
    path = changed(dict)
    try:
        done = vxqual("run", "-t", path, *SMALL, "--out", tmp_path, *ONE_FLOW)
    finally:
        lab.ip(host, "rule", "add", "pref", "0", "lookup", "local")
        lab.ip(host, "rule", "del", "pref", "5")
        lab.ip(host, "rule", "del", "pref", "1")
    reported(done, 10)
    (cell,) = rows(tmp_path).values()
    assert cell["verdict"] == "ERROR"
    assert f"UDP port 4789 is filtered on host {host}: packets from " in cell["reason"]
    assert "allow UDP port 4789 in the firewall there" in " ".join(done.stdout.split())
