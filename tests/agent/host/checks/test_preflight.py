"""What makes a host unfit is found before anything is changed, with the next step."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qualification.agent.host import journal
from qualification.agent.host.checks import devices, preflight
from qualification.agent.host.journal import Journal
from qualification.agent.orders.table import operations
from qualification.agent.serve import Context
from qualification.messages.protocol import AgentProblem

pytestmark = pytest.mark.lab

FOUR, SIX = "198.18.0.1/24", "fd00:18::1/64"
Agent = Callable[..., Any]


def problems(agent: Agent, interface: str = "w0", *addresses: str) -> dict[str, Any]:
    """Returns what preflight finds, by kind; each has a next step, and `prepare` refuses it."""
    args = {"interface": interface, "addresses": addresses, "allow_management": False}
    found = {problem["kind"]: problem for problem in agent("preflight", **args)}
    assert all(problem["hint"] for problem in found.values())
    if found:
        with pytest.raises(AgentProblem) as refused:
            agent("prepare", **args)
        first = found[refused.value.kind]
        assert (refused.value.message, refused.value.hint) == (first["message"], first["hint"])
        agent("bye")
    return found


# What is no NIC


def test_the_loopback_device(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    found = problems(local_agent(host), "lo")["no-nic"]
    assert found["message"].startswith("lo is the loopback device and no NIC")
    assert found["hint"].startswith("name the interface of a NIC; this host has:")


def test_a_veth(net: Any, local_agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = net.wire()
    agent = local_agent(host)
    assert problems(agent) == {}
    monkeypatch.setitem(devices.NOT_NICS, "veth", "its frames cross to the other end unfinished")
    assert problems(agent)["no-nic"]["message"] == (
        "w0 is a veth and no NIC: its frames cross to the other end unfinished"
    )


def test_veths_are_refused_outside_of_these_tests() -> None:
    assert "unfinished" in devices.NOT_NICS["veth"]


def test_a_device_without_hardware(net: Any, local_agent: Any) -> None:
    host = net.host()
    host.ip("link", "add", "x9", "type", "ifb")
    assert "x9 is a ifb and no NIC" in problems(local_agent(host), "x9")["no-nic"]["message"]
    assert "dummy" in devices.NOT_NICS  # a kernel without that device makes none


def test_a_tun_that_carries_no_ethernet(net: Any, local_agent: Any) -> None:
    host = net.host()
    host.ip("tuntap", "add", "t0", "mode", "tun")
    host.ip("tuntap", "add", "p0", "mode", "tap")
    found = problems(local_agent(host), "t0")["no-nic"]
    assert found["message"] == "t0 is a tun and no NIC: it carries no Ethernet frames"
    assert found["hint"] == "name the interface of a NIC; this host has: p0"
    with host.inside():
        devices.check_is_nic("p0")  # a soft NIC is a TAP


# What is made of others


def test_a_bridge_names_its_ports(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    net.cable(host, "x0", net.host(), "x0")
    host.ip("link", "add", "br0", "type", "bridge")
    agent = local_agent(host)
    assert "on top of no device" in problems(agent, "br0")["lower-device"]["message"]
    host.ip("link", "set", "w0", "master", "br0")
    found = problems(agent, "br0")["lower-device"]
    assert found["message"].startswith("br0 is a bridge on top of w0, so a tap on it does not show")
    assert found["hint"] == "name w0 instead of br0"
    host.ip("link", "set", "x0", "master", "br0")
    found = problems(agent, "br0")["lower-device"]
    assert "on top of w0 and x0" in found["message"]
    assert found["hint"] == "name one of these NICs instead of br0"


def test_a_device_on_top_of_another_names_it(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    host.ip("link", "add", "link", "w0", "name", "mv0", "type", "macvlan")
    found = problems(local_agent(host), "mv0")["lower-device"]
    assert found["message"].startswith("mv0 is a macvlan on top of w0,")
    assert found["hint"] == "name w0 instead of mv0"
    assert problems(local_agent(host)) == {}, "what is above a NIC does not matter"


def test_a_port_of_a_bridge(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    host.ip("link", "add", "br0", "type", "bridge")
    host.ip("link", "set", "w0", "master", "br0")
    found = problems(local_agent(host))["port-of-another"]
    assert found["message"] == (
        "w0 is a port of the bridge br0, which takes the frames that arrive"
    )
    assert found["hint"] == "take it out for the run: ip link set w0 nomaster"


# IPv6 and sysctls


@pytest.mark.parametrize("where", ["w0", "all"])
def test_ipv6_is_disabled(net: Any, local_agent: Any, where: str) -> None:
    host, _ = net.wire()
    host.run("sysctl", "-qw", f"net.ipv6.conf.{where}.disable_ipv6=1")
    agent = local_agent(host)
    found = problems(agent, "w0", FOUR, SIX)
    assert list(found) == ["ipv6-disabled"]
    assert found["ipv6-disabled"]["message"] == (
        f"IPv6 is disabled on w0, and its underlay address {SIX} needs it"
    )
    assert "sysctl -w net.ipv6.conf.w0.disable_ipv6=0" in found["ipv6-disabled"]["hint"]
    assert problems(agent, "w0", FOUR) == {}, "the tunnels have a namespace of their own"


def test_the_command_against_disabled_ipv6_heals(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    agent = local_agent(host)
    hint = problems(agent, "w0", SIX)["ipv6-disabled"]["hint"]
    host.run(*hint.partition(",")[0].split())
    assert problems(agent, "w0", SIX) == {}


def test_a_kernel_without_ipv6(
    net: Any, local_agent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    monkeypatch.setattr(preflight, "SYSCTLS", tmp_path)
    assert list(problems(local_agent(host), "w0", FOUR)) == ["no-ipv6"]


# The subnet


def test_another_interface_in_the_subnet(net: Any, local_agent: Any) -> None:
    host, other = net.wire()
    net.cable(host, "x0", other, "x0")
    for end in (host, other):
        end.ip("link", "set", "x0", "up")
    agent = local_agent(host)
    for address, shared in (
        ("198.18.0.9/24", True),
        ("198.18.0.9/25", True),  # its route is the more specific one
        ("198.18.0.9/16", False),  # ours is
        ("198.18.0.9/32", False),  # no route at all
        ("198.18.1.9/24", False),
    ):
        host.ip("address", "add", address, "dev", "x0")
        found = problems(agent, "w0", FOUR, SIX)
        assert list(found) == (["subnet-shared"] if shared else []), address
        if shared:
            assert found["subnet-shared"]["message"].startswith(f"x0 of this host has {address},")
            assert "set x0 down" in found["subnet-shared"]["hint"]
        host.ip("address", "del", address, "dev", "x0")
    host.ip("address", "add", "fd00:18::9/64", "dev", "x0", "nodad")
    assert list(problems(agent, "w0", FOUR, SIX)) == ["subnet-shared"]
    host.ip("link", "set", "x0", "down")
    assert problems(agent, "w0", FOUR, SIX) == {}


# The journal


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """`mounted(options)` mounts a small tmpfs on the directory where journals are made."""
    places: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"run{len(places)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "vxq-t", place], check=True)
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


def test_a_read_only_run(
    net: Any, local_agent: Any, mounted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    place = mounted("ro")
    monkeypatch.setattr(journal, "DIRECTORY", place / "vxqual")
    found = problems(local_agent(host))["journal-unwritable"]
    assert found["message"].startswith(f"{place} cannot be written to (Read-only file system)")
    assert f"mount -o remount,rw {place}" in found["hint"]


def test_a_run_that_is_a_file(
    net: Any, local_agent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    (tmp_path / "file").touch()
    for where in (tmp_path / "file", tmp_path / "file" / "vxqual", tmp_path / "none" / "vxqual"):
        monkeypatch.setattr(journal, "DIRECTORY", where)
        assert list(problems(local_agent(host))) == ["journal-unwritable"]


def fill(place: Path, keep: int = 0) -> None:
    with (place / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            file.truncate(file.tell() - keep)


def test_a_full_run(
    net: Any, local_agent: Any, mounted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    place = mounted("size=256k")
    monkeypatch.setattr(journal, "DIRECTORY", place / "vxqual")
    fill(place)
    found = problems(local_agent(host))["journal-full"]
    assert found["message"].startswith(f"there is no space left in {place},")
    assert f"df -h {place}" in found["hint"]
    (place / "filler").unlink()
    assert problems(local_agent(host)) == {}
    assert list(place.iterdir()) == [], "looking has written nothing"


def test_a_run_without_inodes(
    net: Any, local_agent: Any, mounted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    place = mounted("nr_inodes=1")
    monkeypatch.setattr(journal, "DIRECTORY", place / "vxqual")
    assert list(problems(local_agent(host))) == ["journal-full"]


def test_a_journal_that_fills_up_forbids_the_change(
    mounted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The entry that does not fit leaves no half of a line, on which a later one would follow."""
    place = mounted("size=256k")
    monkeypatch.setattr(journal, "DIRECTORY", place / "vxqual")
    undone: list[str] = []
    book = Journal("7-w0", {"undo": lambda name, **_: undone.append(name)})
    book.about_to("undo", name="first")
    fill(place)
    with pytest.raises(AgentProblem) as refused:
        book.about_to("undo", name="second", filler="x" * 20_000)
    assert refused.value.kind == "journal-full"
    (place / "filler").unlink()
    book.about_to("undo", name="third")
    _boot, *lines = (place / "vxqual" / "7-w0.journal").read_text().splitlines()
    assert [line.split('"name": ')[1][:7] for line in lines] == ['"first"', '"third"']
    book.close()
    assert undone == ["third", "first"]


# The lease


def test_a_nic_that_is_leased(net: Any, local_agent: Any, journals: Path) -> None:
    host, _ = net.wire()
    one, other = local_agent(host), local_agent(host)
    one("prepare", interface="w0", addresses=[], allow_management=False)
    found = problems(other)["nic-leased"]
    assert found["message"].startswith("another vxqual is using this NIC (")
    one("bye")
    assert problems(other) == {}
    assert not journals.exists()


def test_looking_for_a_lease_does_not_fail_a_run(journals: Path) -> None:
    """Each `check` locks the journal for a moment; a run that starts just then tries again."""
    stop = threading.Event()
    journals.mkdir()
    (journals / "7-w0.journal").touch()  # keeps the directory
    (journals / "7-w1.journal").touch()

    def look() -> None:
        while not stop.is_set():
            with contextlib.suppress(AgentProblem):  # it has come while the run had the lease
                journal.check_free("7-w1")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(200):
            Journal("7-w1", {}).close()
            (journals / "7-w1.journal").touch()
    finally:
        stop.set()
        thread.join()


# In the whole of /run


def test_a_read_only_run_of_an_agent_with_mounts_of_its_own(net: Any, tmp_path: Path) -> None:
    """/run itself, read-only in a mount namespace of the agent's process."""
    host, _ = net.wire()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  (another process)
        try:
            libc = ctypes.CDLL(None)
            with host.inside():
                assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
                subprocess.run(["mount", "--make-rprivate", "/"], check=True)
                subprocess.run(["mount", "--bind", "/run", "/run"], check=True)
                subprocess.run(["mount", "-o", "remount,bind,ro", "/run"], check=True)
                table, _restore = operations()
                context = Context(threading.Event(), lambda _event: None)
                found = table["preflight"](
                    context, interface="w0", addresses=[], allow_management=False
                )
                text = "\n".join(problem.message for problem in found)
            os.write(write, text.encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    assert "/run" in said
    assert "cannot be written to (Read-only file system)" in said
