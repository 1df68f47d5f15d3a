"""One SSH connection to a host, and what can go wrong with it in words for people.

No command line is ever made from data: commands are constants, data goes over stdin.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Self

import paramiko

from qualification.errors import HostError

from .host_keys import HostKeys
from .login import load_key, log_in
from .proxy import Proxy

if TYPE_CHECKING:
    from qualification.topology import Ssh

_OPEN_SECONDS = 15.0
_KEEPALIVE = 15
"""Seconds between signs of life; NAT and firewalls forget quiet connections."""
_UNACKNOWLEDGED_MS = 60_000
"""What the kernel waits for an acknowledgement; its own default is a quarter of an hour."""
_AFTERMATH = 0.2
"""Seconds in which a lost connection, having closed its channels, owns up to it."""

# Without a handler, logging would print paramiko's tracebacks to the terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Completed(NamedTuple):
    """A command that ended; `status` is -1 if a signal ended it."""

    status: int
    stdout: bytes
    stderr: str


class Connection:
    """An SSH connection whose host key was verified and whose user was let in.

    Attributes:
        name: The host's name in the topology.
    """

    def __init__(
        self, name: str, transport: paramiko.Transport, closing: contextlib.ExitStack
    ) -> None:
        self.name = name
        self._transport = transport
        self._closing = closing

    def open(self, command: str) -> paramiko.Channel:
        """Start a constant command; its stdin, stdout and stderr are the channel's.

        Raises:
            HostError: The connection is lost, or sshd starts no command.
        """
        try:
            channel = self._transport.open_session(timeout=_OPEN_SECONDS)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._broken(error) from error
        return channel

    def run(self, command: str, *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        """Run a constant command to its end.

        Raises:
            HostError: It did not end within `timeout` seconds, or the connection is lost.
        """
        deadline = time.monotonic() + timeout
        with contextlib.closing(self.open(command)) as channel:
            try:
                channel.settimeout(timeout)
                _give(channel, stdin)
                stdout = _read(channel, channel.recv, deadline)
                stderr = _read(channel, channel.recv_stderr, deadline)
                if not channel.status_event.wait(_left(deadline)):
                    raise TimeoutError
                if lost(channel):
                    raise EOFError
            except TimeoutError:
                raise HostError(
                    f"a command did not end within {timeout:g} s", where=self.name
                ) from None
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise self._broken(error) from error
            return Completed(channel.exit_status, stdout, stderr.decode(errors="replace").strip())

    def sftp(self) -> paramiko.SFTPClient:
        """A file transfer session; who asks closes it.

        Raises:
            HostError: The host's sshd has no SFTP subsystem, or something spoils its channel.
        """
        try:
            client = paramiko.SFTPClient.from_transport(self._transport)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise HostError(
                f"sshd offers no working SFTP: {error or 'it closed the channel'}",
                where=self.name,
                hint="sshd_config needs `Subsystem sftp internal-sftp`, and the user's shell must "
                "print nothing at its start",
            ) from error
        if client is None:
            raise self._broken(EOFError())
        client.get_channel().settimeout(60.0)  # type: ignore[union-attr]
        return client

    def alive(self) -> bool:
        """Whether the connection still stands."""
        return self._transport.is_active()

    def close(self) -> None:
        """End the connection and all that belongs to it."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _broken(self, error: Exception) -> HostError:
        why = str(error) or "closed by the other side"
        if self.alive():
            return HostError(f"sshd does not start the command: {why}", where=self.name)
        return HostError(f"the SSH connection is lost: {why}", where=self.name)


def _give(channel: paramiko.Channel, stdin: bytes) -> None:
    """Hand a command its input, unless it has ended before it took it: its answer counts."""
    try:
        channel.sendall(stdin)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        if not channel.closed:
            raise


def lost(channel: paramiko.Channel) -> bool:
    """Whether a channel that ended has done so because its whole connection is lost."""
    if channel.exit_status >= 0:
        return False
    transport = channel.get_transport()
    transport.join(_AFTERMATH)
    return not transport.is_active()


def connect(name: str, ssh: Ssh, *, timeout: float = 10.0) -> Connection:
    """Connect to a host, verify its key and log in.

    Args:
        name: The host's name in the topology, for errors.
        ssh: How it is reached.
        timeout: Seconds for all of it.

    Raises:
        HostError: Says which step failed, and what to do.
    """
    deadline = time.monotonic() + timeout
    host_keys = HostKeys(name, ssh)
    key = load_key(name, ssh)
    with contextlib.ExitStack() as stack:
        proxy = None
        if ssh.proxy_command is None:
            sock = _dial(name, ssh, timeout)
        else:
            proxy = Proxy(
                ssh.proxy_command, where=name, address=ssh.address, port=ssh.port, user=ssh.user
            )
            stack.callback(proxy.close)
            sock = proxy.sock
        stack.callback(sock.close)
        try:
            transport = paramiko.Transport(sock)
            stack.callback(transport.close)
            stack.callback(_end, sock)
            _negotiate(transport, host_keys, deadline)
            log_in(name, ssh, transport, key=key, deadline=deadline)
        except (paramiko.SSHException, OSError, EOFError) as error:
            if proxy and (failure := proxy.failure()):
                raise HostError(
                    f"the proxy command failed: {failure}",
                    where=name,
                    hint=f"check the host's proxy_command: {ssh.proxy_command}",
                ) from error
            if time.monotonic() >= deadline:
                raise _timed_out(name, ssh, timeout) from error
            raise HostError(
                f"sshd closed the connection: {error or 'without a word'}",
                where=name,
                hint="its own log on the host says why (journalctl -u ssh)",
            ) from error
        transport.set_keepalive(_KEEPALIVE)
        return Connection(name, transport, stack.pop_all())
    raise AssertionError  # the stack swallows nothing


def _dial(name: str, ssh: Ssh, timeout: float) -> socket.socket:
    where = f"{ssh.address} port {ssh.port}"
    try:
        sock = socket.create_connection((ssh.address, ssh.port), timeout)
    except socket.gaierror as error:
        raise HostError(
            f"{ssh.address} does not resolve: {error.strerror}",
            where=name,
            hint="correct the host's `address`, or write its IP address",
        ) from None
    except ConnectionRefusedError:
        raise HostError(
            f"{where} refuses connections",
            where=name,
            hint="is sshd running there, and on that port?",
        ) from None
    except TimeoutError:
        raise _timed_out(name, ssh, timeout) from None
    except OSError as error:
        raise HostError(
            f"{where} is unreachable: {error.strerror}",
            where=name,
            hint="check the address, the route to it and that the host is up",
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return sock


def _negotiate(transport: paramiko.Transport, host_keys: HostKeys, deadline: float) -> None:
    """Agree on keys with sshd, and check who it is."""
    seconds = _left(deadline)
    transport.banner_timeout = transport.handshake_timeout = seconds
    options = transport.get_security_options()
    options.key_types = host_keys.preferred(options.key_types)
    transport.start_client(timeout=seconds)
    host_keys.check(transport.get_remote_server_key())


def _end(sock: socket.socket) -> None:
    """Tell the other side at once; paramiko's thread would hold a closed socket for a while."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _read(channel: paramiko.Channel, receive: Callable[[int], bytes], deadline: float) -> bytes:
    """Read one of a channel's two streams to its end."""
    content = bytearray()
    while True:
        channel.settimeout(_left(deadline))
        chunk = receive(1 << 16)
        if not chunk:
            return bytes(content)
        content += chunk


def _left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0)


def _timed_out(name: str, ssh: Ssh, timeout: float) -> HostError:
    return HostError(
        f"no SSH session with {ssh.address} port {ssh.port} within {timeout:g} s",
        where=name,
        hint="check the address, firewalls on the way and that the host is up",
    )
