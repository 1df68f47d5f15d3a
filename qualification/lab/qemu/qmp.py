"""QEMU's own control channel: JSON lines over a unix socket.

Only what the lab needs: one command at a time, events passed over. See QEMU's docs/interop/
qmp-spec.rst. QEMU serves one client per socket; a second one waits until the first has left.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qualification.errors import LabError


class Monitor:
    """A conversation with a running QEMU; `connected` opens one."""

    def __init__(self, path: Path, channel: socket.socket) -> None:
        self._path = path
        self._lines = channel.makefile("rw", encoding="utf-8")
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def command(self, name: str, **arguments: object) -> Any:
        """Has a command carried out.

        Args:
            name: The command.
            **arguments: Its arguments; an underscore in a name stands for the hyphen.

        Raises:
            LabError: QEMU refuses it or has ended.
        """
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        try:
            self._lines.write(json.dumps({"execute": name, "arguments": given}) + "\n")
            self._lines.flush()
            answer = self._read()
            while "event" in answer:
                answer = self._read()
        except OSError as error:
            raise LabError(
                f"QEMU does not answer {name!r}: {error}", where=str(self._path)
            ) from error
        if "error" in answer:
            raise LabError(
                f"QEMU refuses {name!r}: {answer['error']['desc']}", where=str(self._path)
            )
        return answer["return"]

    def forwarded_port(self) -> int:
        """Returns the port of 127.0.0.1 that leads to the guest's SSH server.

        Raises:
            LabError: QEMU does not tell.
        """
        told = self.command("human-monitor-command", command_line="info usernet")
        found = re.search(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", told)
        if found is None:
            raise LabError("QEMU forwards no port to the guest's sshd", where=str(self._path))
        return int(found[1])

    def _read(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise LabError("QEMU has ended", where=str(self._path))
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.contextmanager
def connected(path: Path, *, timeout: float = 10.0) -> Iterator[Monitor]:
    """Talks to the QEMU whose control socket that is.

    Args:
        path: The socket.
        timeout: Seconds that each answer may take.

    Raises:
        LabError: It does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(timeout)
        try:
            channel.connect(str(path))
        except OSError as error:
            raise LabError(f"QEMU does not answer: {error.strerror}", where=str(path)) from error
        yield Monitor(path, channel)
