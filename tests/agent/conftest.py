"""Two environments: bare namespaces that a test makes, and the loopback lab with its agents."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qualification.agent.host import journal, namespaces
from qualification.agent.host.checks import devices
from qualification.agent.orders.table import operations
from qualification.agent.serve import Context
from qualification.errors import AgentError
from qualification.inventory import Ends
from qualification.lab import loopback
from qualification.lab.loopback import RunningLab
from qualification.messages.protocol import encoded
from qualification.remote.agent_client import AgentClient
from qualification.remote.discover import discover
from qualification.remote.ssh.connection import connect
from qualification.topology import load

_NUMBERS = itertools.count(1)
_SLAIN: set[AgentClient] = set()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr or done.stdout}"
    return done.stdout


def _until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "the condition did not hold in time"
        time.sleep(0.005)


@dataclass(frozen=True)
class Host:
    """A network namespace that a test has made."""

    name: str

    def run(self, *command: str) -> str:
        return _run("ip", "netns", "exec", self.name, *command)

    def ip(self, *arguments: str) -> str:
        return _run("ip", "-n", self.name, *arguments)

    def mac(self, interface: str) -> str:
        return self.run("cat", f"/sys/class/net/{interface}/address").strip()

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Puts the calling thread into this host."""
        descriptor = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            with namespaces.inside(descriptor):
                yield
        finally:
            os.close(descriptor)

    def inject(self, interface: str, *frames: bytes) -> None:
        """Puts finished frames on the wire."""
        with self.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((interface, 0))
            for frame in frames:
                raw.send(frame)


class Net:
    """Makes hosts and the wires between them."""

    def __init__(self, undo: contextlib.ExitStack) -> None:
        self._undo = undo

    def host(self) -> Host:
        """Makes a namespace that adds no addresses by itself; it is removed when the test ends."""
        host = Host(f"vxq-t{os.getpid()}-{next(_NUMBERS)}")
        _run("ip", "netns", "add", host.name)
        self._undo.callback(_run, "ip", "netns", "del", host.name)
        host.run("sysctl", "-qw", "net.ipv6.conf.default.addr_gen_mode=1")
        host.run("sysctl", "-qw", "net.ipv6.conf.default.router_solicitations=0")
        host.ip("link", "set", "lo", "up")
        return host

    def wire(self, *, offloads: bool = False, up: bool = True) -> tuple[Host, Host]:
        """Makes two hosts and a veth, `w0` at both ends; without offloads it acts like a wire."""
        left, right = self.host(), self.host()
        self.cable(left, "w0", right, "w0")
        for host in (left, right):
            if not offloads:
                host.run("ethtool", "-K", "w0", "tx", "off", "gso", "off", "gro", "off")
            if up:
                host.ip("link", "set", "w0", "up")
        if up:
            for host in (left, right):
                _until(lambda host=host: "LOWER_UP" in host.ip("link", "show", "w0"))
        return left, right

    def cable(self, left: Host, left_end: str, right: Host, right_end: str) -> None:
        left.ip(
            "link", "add", left_end, "type", "veth",
            "peer", "name", right_end, "netns", right.name,
        )  # fmt: skip


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    return _run


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits until a condition holds, or fails."""
    return _until


@pytest.fixture
def net() -> Iterator[Net]:
    with contextlib.ExitStack() as undo:
        yield Net(undo)


@pytest.fixture
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the agents in this process a directory of their own for journals."""
    monkeypatch.setattr(journal, "DIRECTORY", tmp_path / "journals")
    return tmp_path / "journals"


@pytest.fixture
def local_agent(journals: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`agent(host)` returns a function that carries out an order in a host, in this process.

    It takes a veth for a NIC: a wire of `net` has no offloads that would leave frames unfinished.
    """
    import threading  # noqa: PLC0415

    monkeypatch.delitem(devices.NOT_NICS, "veth")
    with contextlib.ExitStack() as undo:

        def begin(host: Host) -> Callable[..., Any]:
            table, restore = operations()
            context = Context(threading.Event(), lambda _event: None)

            def order(op: str, **args: Any) -> Any:
                with host.inside():
                    answer = restore() if op == "bye" else table[op](context, **args)
                return json.loads(encoded({"result": answer}))["result"]

            undo.callback(order, "bye")
            return order

        yield begin


@pytest.fixture(scope="session")
def lab() -> Iterator[RunningLab]:
    """The loopback lab. It is shared: the tests check that its users restore it."""
    topology = load(Path(__file__).parents[2] / "topologies" / "loopback.yaml")
    with loopback.start(topology) as running:
        for name in topology.hosts:
            # A former namespace with the same inode number may have left a journal.
            number = Path("/run/netns", running.record.namespace(name)).stat().st_ino
            for stale in journal.DIRECTORY.glob(f"{number}-*.journal"):
                stale.unlink()
        yield running


@pytest.fixture(scope="session")
def ends(lab: RunningLab) -> Ends:
    nics = discover(lab.topology, ["soft"], lambda _: None).nics
    return Ends(nics["alpha.port0"], nics["bravo.port0"], 4789)


@pytest.fixture
def remote_agent(lab: RunningLab) -> Iterator[Callable[[str], AgentClient]]:
    """`agent(name)` starts an agent over SSH; it is ended when the test ends."""
    with contextlib.ExitStack() as undo:

        def begin(name: str) -> AgentClient:
            ssh = lab.topology.hosts[name].ssh
            assert ssh
            client = AgentClient.start(connect(name, ssh))
            undo.callback(end, client)
            return client

        def end(client: AgentClient) -> None:
            with contextlib.suppress(AgentError) if client in _SLAIN else contextlib.nullcontext():
                client.close()

        yield begin


@pytest.fixture(scope="session")
def slay() -> Callable[[AgentClient], None]:
    """Kills an agent with SIGKILL, and waits until it is gone."""

    def kill(agent: AgentClient) -> None:
        pid = agent.greeting.pid
        _SLAIN.add(agent)
        os.kill(pid, signal.SIGKILL)

        def dead() -> bool:
            try:
                text = Path(f"/proc/{pid}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                return True
            return text.rpartition(")")[2].split()[0] == "Z"

        _until(dead)

    return kill
