"""`vxqual init topology` on hosts that an SSH configuration names: what it writes is ready."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from qualification.topology import Topology, load

from .conftest import VXQUAL, Persistent, vxqual

pytestmark = pytest.mark.lab


@pytest.fixture
def config(lab: Persistent, tmp_path: Path) -> Path:
    """The command lines that `vxqual lab up` prints, as an SSH configuration of two aliases."""
    blocks = []
    for alias in ("alpha", "bravo"):
        (line,) = re.findall(rf"^  (ssh .* root@{alias})$", lab.said, re.MULTILINE)
        words = shlex.split(line)
        options = [words[at + 1] for at, word in enumerate(words) if word == "-o"]
        settings = "".join("    " + option.replace("=", " ", 1) + "\n" for option in options)
        blocks.append(f"Host {alias}\n    User root\n{settings}")
    path = tmp_path / "ssh_config"
    path.write_text("".join(blocks))
    path.chmod(0o600)
    return path


@pytest.fixture
def addresses(lab: Persistent) -> Iterator[None]:
    """Each host has an IPv4 address, not on its NIC: for these ARP probes ask."""
    for host, address in (("alpha", "192.0.2.1/32"), ("bravo", "192.0.2.2/32")):
        lab.ip(host, "address", "add", address, "dev", "lo")
        lab.ip(host, "link", "add", "mgmt", "type", "bridge")
        lab.ip(host, "address", "add", address, "dev", "mgmt")
    yield
    for host, address in (("alpha", "192.0.2.1/32"), ("bravo", "192.0.2.2/32")):
        lab.ip(host, "link", "del", "mgmt")
        lab.ip(host, "address", "del", address, "dev", "lo")


def init(*args: object, answers: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run `vxqual init topology` with answers on its standard input; stderr is merged."""
    return subprocess.run(
        [VXQUAL, "init", "topology", *map(str, args)],
        input=answers or "",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"COLUMNS": "100"},
    )


def ends(topology: Topology) -> dict[str, str]:
    """The interface of each NIC, by its name."""
    return {
        f"{host}.{name}": nic.interface
        for host, spec in topology.hosts.items()
        for name, nic in spec.nics.items()
    }


def test_from_flags_nothing_is_asked_and_the_lab_is_ready(
    lab: Persistent, config: Path, tmp_path: Path
) -> None:
    before = lab.state()
    path = tmp_path / "flags.yaml"
    named = ("--dut", "alpha:port0", "--peer", "root@bravo:port0", "--ssh-config", config)
    done = init(path, *named)
    assert done.returncode == 0, done.stdout
    assert lab.state() == before
    assert done.stdout.endswith(f"next: vxqual check {path}\n")
    assert "Interface of" not in done.stdout
    written = load(path)
    assert ends(written) == {"alpha.port0": "port0", "bravo.port0": "port0"}
    (pair,) = written.pairs.values()
    assert (pair.dut, pair.peer) == ("alpha.port0", "bravo.port0")
    underlay = [str(address) for address in written.nic("alpha.port0").underlay]
    assert underlay == ["198.18.0.1/24", "fd00:18::1/64"]
    ready = vxqual("check", path)
    assert ready.returncode == 0, ready.stdout
    # It is never written over, and before anybody is asked anything.
    path.write_text("mine")
    done = init(path)
    assert done.returncode == 4
    assert done.stdout == (
        f"vxqual: {path}: it exists already, and is not overwritten\n"
        "  next: give another name, or overwrite it with --force\n"
    )
    assert path.read_text() == "mine"


@pytest.mark.usefixtures("addresses")
def test_by_answers_with_what_is_taken_and_linked(
    lab: Persistent, config: Path, tmp_path: Path
) -> None:
    lab.ip("bravo", "address", "add", "198.18.0.77/24", "dev", "port0")
    lab.ip("alpha", "link", "add", "veth1", "type", "veth", "peer", "name", "veth2")
    path = tmp_path / "answers.yaml"
    try:
        # The first answer is no interface, so that the question comes again.
        answers = "alpha\nbravo\neth9\n1\nport0\n"
        done = init(path, "--ssh-config", config, "--force", answers=answers)
        assert done.returncode == 0, done.stdout
        for said in (
            r"^alpha: .+, kernel ",
            r"^  1  port0  tun, no firmware reported, .*link up, linked with port0 of bravo$",
            r"^  -  mgmt is a bridge on top of no device",
            r"^  -  2 more are no NICs, such as veths$",
            r"'eth9' is none of them: type a number, or a name",
            r"linked with port0 of alpha$",
            rf"^next: vxqual check {path}$",
        ):
            assert re.search(said, done.stdout, re.MULTILINE), f"{said}\n{done.stdout}"
        written = load(path)
        # Somebody has 198.18.0.0/24 already.
        assert [str(a) for a in written.nic("bravo.port0").underlay] == [
            "198.18.1.2/24",
            "fd00:18:1::2/64",
        ]
        ready = vxqual("check", path)
        assert ready.returncode == 0, ready.stdout
    finally:
        lab.ip("alpha", "link", "del", "veth1")
        lab.ip("bravo", "address", "del", "198.18.0.77/24", "dev", "port0")


def test_an_address_that_somebody_else_has_is_not_proposed(
    lab: Persistent, config: Path, tmp_path: Path
) -> None:
    """On the interface of the other host that is not asked for: found by ARP probes alone."""
    lab.ip("bravo", "address", "add", "198.18.0.1/32", "dev", "lo")
    try:
        path = tmp_path / "taken.yaml"
        done = init(path, "--dut", "alpha:port0", "--peer", "bravo:port0", "--ssh-config", config)
        assert done.returncode == 0, done.stdout
        assert str(load(path).nic("alpha.port0").underlay[0]) == "198.18.1.1/24"
    finally:
        lab.ip("bravo", "address", "del", "198.18.0.1/32", "dev", "lo")


def test_what_cannot_be_is_said(lab: Persistent, config: Path, tmp_path: Path) -> None:
    ssh = ("--ssh-config", config)
    path = tmp_path / "none.yaml"
    for args, code, what in (
        (
            ("--dut", "alpha:eth9", "--peer", "bravo:port0"),
            4,
            "alpha: there is no interface 'eth9'",
        ),
        (
            ("--dut", "alpha:port0", "--peer", "alpha:port0"),
            4,
            "the host of the DUT and of its peer",
        ),
        (("--dut", "alpha", "--peer", "bravo"), 4, "nobody answers the question 'Interface of the"),
        ((), 4, "nobody answers the question 'Host of the DUT"),
        (("--dut", "al:pha:x:y/z"), 4, "is not [USER@]HOST[:INTERFACE]"),
        (("--dut", "charlie.invalid:a", "--peer", "bravo:port0"), 10, "charlie.invalid: "),
        (("--dut", "bravo:port0", "--peer", "charlie.invalid:a"), 10, "charlie.invalid: "),
        (("--dut", "one.invalid:a", "--peer", "two.invalid:a"), 10, "\ntwo.invalid: "),
    ):
        done = init(path, *args, *ssh)
        assert (done.returncode, what in done.stdout) == (code, True), done.stdout
        assert "Traceback" not in done.stdout
        assert not path.exists()


def test_the_interface_of_our_own_session_is_never_offered(
    lab: Persistent, config: Path, tmp_path: Path
) -> None:
    """The session comes through a proxy, so that it is the one of the default route."""
    why = "port0 carries our own SSH session (the default route: "
    path = tmp_path / "none.yaml"
    lab.ip("alpha", "route", "add", "default", "dev", "port0")
    try:
        asked = init(path, "--dut", "alpha", "--peer", "bravo:port0", "--ssh-config", config)
        assert f"\n  -  {why}" in asked.stdout
        assert "vxqual: alpha: no interface of this host can be used; each has its" in asked.stdout
        named = init(path, "--dut", "alpha:port0", "--peer", "bravo:port0", "--ssh-config", config)
        assert f"vxqual: alpha: {why}" in named.stdout
        assert (asked.returncode, named.returncode, path.exists()) == (10, 4, False)
    finally:
        lab.ip("alpha", "route", "del", "default", "dev", "port0")
