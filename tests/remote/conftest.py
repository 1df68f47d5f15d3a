"""A host to connect to: a real OpenSSH server with keys of its own, reached over a pipe."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shlex
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from qualification.remote.agent_client import AgentClient
from qualification.remote.ship import Application, application
from qualification.remote.ssh.connection import Connection, connect
from qualification.topology import Ssh

OPERATIONS = """
import os
import time

from qualification.messages.protocol import AgentProblem


def operations():
    marks = []

    def echo(context, **args):
        return args

    def variable(context, name):
        return os.environ.get(name)

    def count(context, to):
        for number in range(to):
            context.emit(number)
        return to

    def refuse(context):
        raise AgentProblem("no-such-interface", "there is no eth9", "see ip link", known=["eth0"])

    def crash(context):
        raise ZeroDivisionError("by hand")

    def chatter(context, lines):
        for number in range(lines):
            print("line", number)
        return "quiet"

    def babble(context):
        os.write(STDOUT, b"no json\\n")

    def mark(context, path):
        marks.append(path)

    def wait(context):
        context.emit("waiting")
        context.stop.wait()

    def leave(context, status):
        os.write(2, b"something\\nbroke\\n")
        os._exit(status)

    def undo():
        for path in marks:
            if path == "fail":
                raise AgentProblem("undo-failed", "eth0 cannot be put back")
            with open(path, "a") as file:
                file.write("undone")
        return {"marks": len(marks)}

    return {name: value for name, value in locals().items() if callable(value)}, undo
"""


def agent_with(
    operations: str, changes: Mapping[str, tuple[str, str]] = MappingProxyType({})
) -> Application:
    """Returns this installation's agent with other operations, and some of its text replaced.

    Args:
        operations: The source of its table of orders.
        changes: By file, a text and what replaces it.
    """
    buffer = io.BytesIO()
    table = "qualification/agent/orders/table.py"
    replaced = {f"qualification/{name}": texts for name, texts in changes.items()}
    changed = {table, *replaced}
    with (
        zipfile.ZipFile(io.BytesIO(application().content)) as source,
        zipfile.ZipFile(buffer, "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            if name == table:
                content = operations.encode()
            elif name in replaced:
                old, new = (text.encode() for text in replaced[name])
                assert old in content
                content = content.replace(old, new)
            if name.removesuffix("c") not in changed or name in changed:
                target.writestr(zipfile.ZipInfo(name), content)
    return Application.of(buffer.getvalue())


@dataclass(frozen=True)
class Sshd:
    """An OpenSSH server, its configuration and its keys in a folder of its own."""

    folder: Path
    name: str = "alpha"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def bin(self) -> Path:
        """The first folder on the PATH of its sessions."""
        return self.folder / "bin"

    @property
    def cache(self) -> Path:
        return self.home / ".cache" / "vxqual"

    def configure(self, **settings: str) -> None:
        lines = {
            "HostKey": str(self.folder / "host_key"),
            "AuthorizedKeysFile": str(self.folder / "user_key.pub"),
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            "UsePAM": "no",
            "Subsystem": "sftp internal-sftp",
            "SetEnv": f"HOME={self.home} PATH={self.bin}:/usr/sbin:/usr/bin:/sbin:/bin",
        } | settings
        text = "".join(f"{name} {value}\n" for name, value in lines.items() if value)
        (self.folder / "sshd_config").write_text(text)

    def ssh(self, **changes: Any) -> Ssh:
        config = shlex.quote(str(self.folder / "sshd_config"))
        return Ssh.model_validate(
            {
                "address": "192.0.2.1",
                "key": str(self.folder / "user_key"),
                "known_hosts": str(self.folder / "known_hosts"),
                "config": "none",
                "proxy_command": f"/usr/sbin/sshd -i -e -f {config}",
            }
            | changes
        )

    def connect(self, **changes: Any) -> Connection:
        return connect(self.name, self.ssh(**changes))

    def start(self, app: Application, *, sudo: bool = False) -> AgentClient:
        return AgentClient.start(self.connect(), sudo=sudo, app=app)

    def command(self, name: str, script: str) -> None:
        """Puts a command first on the PATH."""
        file = self.bin / name
        file.unlink(missing_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def host_key(self) -> str:
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def trust(self, line: str) -> None:
        (self.folder / "known_hosts").write_text(line + "\n")


def keygen(file: Path, *options: str, kind: str = "ed25519") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", *options, "-f", str(file)], check=True
    )
    return file


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("sshd needs root to let anybody in")
    _OTHERS.clear()
    _OTHERS.update(_all_children())
    separation = Path("/run/sshd")  # sshd does not start without
    ours = not separation.exists()
    separation.mkdir(exist_ok=True)
    host = Sshd(tmp_path / "sshd")
    keygen(host.folder / "host_key")
    keygen(host.folder / "user_key")
    host.home.mkdir()
    host.bin.mkdir()
    (host.bin / "python3").symlink_to(os.path.realpath(sys.executable))
    host.configure()
    host.trust(f"192.0.2.1 {host.host_key()}")
    yield host
    if ours:
        with contextlib.suppress(OSError):
            separation.rmdir()
    assert not children(), "every proxy has ended and was reaped"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def listening(sshd: Sshd, listener: socket.socket) -> Iterator[int]:
    """A port on which sshd accepts any number of connections, as under (x)inetd."""

    def serve() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                config = str(sshd.folder / "sshd_config")
                started.append(
                    subprocess.Popen(
                        ["/usr/sbin/sshd", "-i", "-f", config],
                        stdin=connection.fileno(),
                        stdout=connection.fileno(),
                    )
                )

    started: list[subprocess.Popen[bytes]] = []
    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    for child in started:
        child.wait(10)


@pytest.fixture(scope="session")
def app() -> Application:
    return agent_with(OPERATIONS)


@pytest.fixture
def agent(sshd: Sshd, app: Application) -> Iterator[AgentClient]:
    with sshd.start(app) as client:
        yield client


def await_end(pid: int) -> None:
    """Waits for the end of a process that is not a child of ours."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 10)[0], f"process {pid} lives on"
    finally:
        os.close(descriptor)


_OTHERS: set[str] = set()
"""Children of this process from before the test: those of a shared lab, for example."""


def children() -> set[str]:
    """Returns the processes that this test started and has not reaped."""
    return _all_children() - _OTHERS


def _all_children() -> set[str]:
    found: set[str] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found.update(file.read_text().split())
    return found
