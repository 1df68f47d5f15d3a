"""A proxy command: any program whose stdin and stdout lead to a host's sshd.

Not `paramiko.ProxyCommand`: that one polls pipes, does not see that its program has ended but
spins until a time limit, and leaves a zombie. A socket pair makes the program look like the
network to paramiko.
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
"""Seconds a program gets to end by itself before it is told to, and then made to."""


class Proxy:
    """A running proxy command.

    Args:
        command: Split into words as a shell does, but no shell runs it. In each word %h becomes
            the address, %p the port, %r the user and %% a per cent sign.
        where: The host's name in the topology, for errors.
        address: For %h.
        port: For %p.
        user: For %r.

    Attributes:
        sock: The way to the host. Who uses it closes it.

    Raises:
        HostError: The command cannot be started.
    """

    def __init__(self, command: str, *, where: str, address: str, port: int, user: str) -> None:
        values = {"%h": address, "%p": str(port), "%r": user, "%%": "%"}
        self.sock, theirs = socket.socketpair()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as we do)
        try:
            words = [
                re.sub(r"%[hpr%]", lambda found: values[found[0]], word)
                for word in shlex.split(command)
            ]
            # A session of its own: Ctrl-C must reach us, who then undo, and not our way there.
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
        """Why it ended, if it did: the last line that it wrote to stderr."""
        try:
            status = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return None
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else f"it ended with status {status} and said nothing"

    def close(self) -> None:
        """End it, if it does not end by itself now that its socket is closed, and reap it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
                break
            os.killpg(self._process.pid, number)
        self._process.wait()
        self._stderr.close()
