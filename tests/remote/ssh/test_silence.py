"""A server that falls silent at any step, and one that asks for what it is not given."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import paramiko
import pytest

from qualification.errors import HostError
from qualification.remote.ssh import connection as module
from qualification.remote.ssh.connection import Connection, connect
from qualification.topology import Ssh
from tests.remote.conftest import Sshd

pytestmark = pytest.mark.lab


class Server(paramiko.ServerInterface):
    """Lets everybody in, and answers up to a step."""

    def __init__(self, silent_at: str) -> None:
        self.silent_at = silent_at
        self.over = threading.Event()
        self.asked: list[str] = []

    def _reach(self, step: str) -> bool:
        self.asked.append(step)
        if step == self.silent_at:
            self.over.wait(30)
        return True

    def get_allowed_auths(self, _user: str) -> str:
        return "publickey"

    def check_auth_publickey(self, _user: str, _key: object) -> int:
        self._reach("authentication")
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, _kind: str, _number: int) -> int:
        self._reach("session")
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, _channel: object, _command: bytes) -> bool:
        return self._reach("command")

    def check_channel_subsystem_request(self, _channel: object, _name: str) -> bool:
        return self._reach("sftp")

    def check_channel_forward_agent_request(self, _channel: object) -> bool:
        return self._reach("agent forwarding")


Serve = Callable[[str], tuple[Ssh, Server]]


@pytest.fixture
def serve(sshd: Sshd, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """`serve(step)`: how to reach a server that is silent from that step on, and the server."""
    monkeypatch.setattr(module, "_OPEN_SECONDS", 0.5)
    with contextlib.ExitStack() as stack:

        def start(silent_at: str) -> tuple[Ssh, Server]:
            port = listener.getsockname()[1]
            sshd.trust(f"[127.0.0.1]:{port} {sshd.host_key()}")
            server = Server(silent_at)

            def accept() -> None:
                transport = paramiko.Transport(listener.accept()[0])
                stack.callback(transport.close)
                key = paramiko.Ed25519Key.from_private_key_file(str(sshd.folder / "host_key"))
                transport.add_server_key(key)
                transport.start_server(threading.Event(), server)

            thread = threading.Thread(target=accept)
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.over.set)
            return sshd.ssh(address="127.0.0.1", port=port, proxy_command=None), server

        yield start


def _command(connection: Connection) -> None:
    connection.run("exec true", timeout=1)


def _sftp(connection: Connection) -> None:
    with connection.sftp():
        pass


@pytest.mark.parametrize(
    ("step", "act", "what"),
    [
        ("authentication", _command, "timed out connecting to 127.0.0.1 port"),
        ("session", _command, "sshd does not start the command: Timeout opening channel"),
        ("command", _command, "sshd does not start the command: no answer within 0.5 s"),
        ("sftp", _sftp, "sshd offers no working SFTP: no answer within 0.5 s"),
        ("never", _command, "timed out waiting for a command to end: it still runs after 1 s"),
    ],
)
def test_every_step_has_a_time_limit(
    serve: Serve, step: str, act: Callable[[Connection], None], what: str
) -> None:
    ssh, _server = serve(step)
    started = time.monotonic()
    with pytest.raises(HostError) as caught, connect("alpha", ssh, timeout=2.0) as connection:
        act(connection)
    assert str(caught.value).startswith(f"alpha: {what}")
    assert time.monotonic() - started < 8


def test_the_users_ssh_agent_is_not_forwarded(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the user's configuration asks for it: root of a host could use all his keys."""
    (sshd.folder / "config").write_text("Host *\n  ForwardAgent yes\n")
    (sshd.folder / "config").chmod(0o600)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(sshd.folder / "agent"))
    with sshd.connect(config=str(sshd.folder / "config")) as connection:
        done = connection.run("echo agent=$SSH_AUTH_SOCK")
    assert done.stdout == b"agent=\n"
