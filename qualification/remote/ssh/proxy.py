"""Runs a proxy command: a program whose stdin and stdout are connected to a host's sshd.

`paramiko.ProxyCommand` is not used: it polls pipes, does not notice that its program has ended but
spins until a timeout, and leaves a zombie. With a socket pair, the program looks like the network
to paramiko.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile

from qualification.errors import HostError

_PATIENCE = 1.0
"""Seconds for a program to end by itself, before SIGTERM and again before SIGKILL."""


class Proxy:
    """A running proxy command.

    Args:
        command: The command. It is split into words as by a shell, but not run by one. In each
            word %h is replaced by the address, %p by the port, %r by the user, and %% by "%".
        where: The host's name in the topology, for errors.
        address: For %h.
        port: For %p.
        user: For %r.

    Attributes:
        sock: The socket that leads to the host; its user closes it.

    Raises:
        HostError: The command cannot be started.
    """

    def __init__(self, command: str, *, where: str, address: str, port: int, user: str) -> None:
        values = {"%h": address, "%p": str(port), "%r": user, "%%": "%"}
        self.sock, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `close`)
        try:
            words = [
                re.sub(r"%[hpr%]", lambda found: values[found[0]], word)
                for word in shlex.split(command)
            ]
            # A session of its own, as Ctrl-C must not end it: vxqual still has to have the agent
            # undo its changes, over this connection.
            self._process = subprocess.Popen(
                words,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._stderr,
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as error:
            self.sock.close()
            self._stderr.close()
            raise HostError(
                f"the proxy command cannot be started: {error}",
                where=where,
                hint=f"check the host's proxy_command: {command}",
            ) from None
        finally:
            theirs.close()

    def failure(self) -> str | None:
        """Returns why the command ended: the last line of its stderr; None if it still runs."""
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"it ended with status {status} and no message"

    def close(self) -> None:
        """Reaps the command; ends it first if it does not end although its socket is closed."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
                break
            os.killpg(self._process.pid, number)
        self._process.wait()
        self._stderr.close()
