"""Opens an SSH connection to a host; each error says which step failed and what to do.

No command line is ever made from data: commands are constants, and data is sent on stdin.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Self

import paramiko

from qualification.errors import HostError

from .channel import MOST_OUTPUT, give, left, limited, lost, read
from .target import Target, target
from .transport import open_transport

if TYPE_CHECKING:
    from qualification.topology import Ssh

_OPEN_SECONDS = 15.0
_SESSION_SECONDS = 3.0
"""How long sshd may take to count a session that we have closed as ended; with MaxSessions 1 it
refuses another one until then."""
_COMMAND_SHOWN = 60

_log = logging.getLogger("vxqual.ssh")

# Without a handler, logging would print paramiko's tracebacks to the terminal.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class Completed(NamedTuple):
    """The result of a command that has ended; `status` is -1 if a signal ended it."""

    status: int
    stdout: bytes
    stderr: str


class Connection:
    """An SSH connection whose host key was verified and whose user was authenticated.

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
        """Starts a constant command; its stdin, stdout and stderr are those of the channel.

        Raises:
            HostError: The connection is lost, or sshd does not start the command.
        """
        try:
            channel = self._session()
            with limited(channel, _OPEN_SECONDS):
                channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise self._broken(error) from error
        _log.debug("%s: command started: %s", self.name, _shown(command))
        return channel

    def run(self, command: str, *, stdin: bytes = b"", timeout: float = 10.0) -> Completed:
        """Runs a constant command to its end.

        Args:
            command: The command, for the user's shell on the host.
            stdin: Its input.
            timeout: Seconds.

        Raises:
            HostError: The command did not end in time, or the connection is lost.
        """
        started = time.monotonic()
        deadline = started + timeout
        with contextlib.closing(self.open(command)) as channel:
            try:
                channel.settimeout(timeout)
                give(channel, stdin)
                stdout = read(channel, channel.recv, deadline)
                stderr = read(channel, channel.recv_stderr, deadline)
                if not channel.status_event.wait(left(deadline)):
                    raise TimeoutError
                if lost(channel):
                    raise EOFError
            except TimeoutError:
                raise HostError(
                    f"timed out waiting for a command to end: it still runs after {timeout:g} s "
                    f"({_shown(command)})",
                    where=self.name,
                    hint="check the load of the host and what its shell runs at the start of a "
                    "session",
                ) from None
            except OverflowError:
                raise HostError(
                    f"a command writes more than {MOST_OUTPUT >> 20} MiB ({_shown(command)})",
                    where=self.name,
                    hint="see what the user's shell prints at the start of a session there",
                ) from None
            except (paramiko.SSHException, OSError, EOFError) as error:
                raise self._broken(error) from error
        _log.debug(
            "%s: command ended with status %d after %.3f s: %s",
            *(self.name, channel.exit_status, time.monotonic() - started, _shown(command)),
        )
        return Completed(channel.exit_status, stdout, stderr.decode(errors="replace").strip())

    @contextlib.contextmanager
    def sftp(self, *, timeout: float = 120.0) -> Iterator[paramiko.SFTPClient]:
        """Opens an SFTP session for the time of its body.

        Args:
            timeout: Seconds, also for the body; then its calls raise `EOFError` or `OSError`.

        Raises:
            HostError: The host's sshd has no SFTP subsystem, or its channel carries other output.
        """
        with contextlib.ExitStack() as stack:
            client = self._sftp(timeout, stack)
            yield client

    def _sftp(self, timeout: float, stack: contextlib.ExitStack) -> paramiko.SFTPClient:
        try:
            channel = stack.enter_context(contextlib.closing(self._session()))
            stack.enter_context(limited(channel, timeout))
            with limited(channel, _OPEN_SECONDS):
                channel.invoke_subsystem("sftp")
                return paramiko.SFTPClient(channel)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise HostError(
                f"sshd offers no working SFTP: {error or 'it closed the channel'}",
                where=self.name,
                hint="add `Subsystem sftp internal-sftp` to sshd_config, and make the user's shell "
                "print nothing at its start",
            ) from error

    def alive(self) -> bool:
        """Returns whether the connection is still open."""
        return self._transport.is_active()

    def close(self) -> None:
        """Closes the connection, with its proxy command if it has one."""
        self._closing.close()
        _log.debug("%s: connection closed", self.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _session(self) -> paramiko.Channel:
        """Opens a session; waits for an earlier one to end where sshd allows no more of them."""
        end = time.monotonic() + _SESSION_SECONDS
        while True:
            try:
                return self._transport.open_session(timeout=_OPEN_SECONDS)
            except paramiko.ChannelException:
                if time.monotonic() < end:
                    time.sleep(0.05)
                    continue
            raise HostError(
                "sshd refuses to open a session on this connection: its MaxSessions allows none",
                where=self.name,
                hint="set MaxSessions 10, its default, in sshd_config there, and reload sshd",
            )

    def _broken(self, error: Exception) -> HostError:
        why = str(error) or "closed by the other side"
        if self.alive():
            what, hint = f"sshd does not start the command: {why}", "see sshd's log on the host"
        else:
            what, hint = f"the SSH connection is lost: {why}", "check that the host is still up"
        _log.info("%s: %s", self.name, what)
        return HostError(what, where=self.name, hint=hint)


def connect(name: str, ssh: Ssh, *, timeout: float = 10.0) -> Connection:
    """Connects to a host, verifies its key and logs in.

    Args:
        name: The host's name in the topology, for errors and the log.
        ssh: How it is reached.
        timeout: Seconds for all steps together.

    Raises:
        HostError: A step failed; says which, and what to do.
    """
    started = time.monotonic()
    there = target(name, ssh)
    try:
        connection, method = _connect(name, there, timeout)
    except HostError as error:
        seconds = time.monotonic() - started
        _log.info("%s: no connection to %s after %.3f s: %s", *(name, there, seconds, error.what))
        raise
    seconds = time.monotonic() - started
    _log.info("%s: connected to %s in %.3f s, with %s", *(name, there, seconds, method))
    return connection


def _connect(name: str, there: Target, timeout: float) -> tuple[Connection, str]:
    """Returns the connection, and what the user was authenticated with."""
    with contextlib.ExitStack() as stack:
        transport, method = open_transport(name, there, timeout, stack)
        return Connection(name, transport, stack.pop_all()), method
    raise AssertionError  # the stack suppresses no exception


def _shown(command: str) -> str:
    """Returns the beginning of a command: the agent's programs are long, and always the same."""
    line = " ".join(command[: 2 * _COMMAND_SHOWN].split())
    return line if len(line) <= _COMMAND_SHOWN else line[: _COMMAND_SHOWN - 3] + "..."
