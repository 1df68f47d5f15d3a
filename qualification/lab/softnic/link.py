"""Starting and stopping the process of two soft NICs and the link between them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict

from qualification.errors import LabError

from .process import End

_PATIENCE = 10.0
"""Seconds that a soft NIC may take to end before it is killed."""


class SoftNicLink:
    """A running process of two soft NICs and the cable between them.

    Args:
        left: One end of the cable.
        right: The other end.

    Attributes:
        ends: Both ends.
        pid: Process id of the process.
    """

    def __init__(self, left: End, right: End) -> None:
        self.ends = (left, right)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "qualification.lab.softnic.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # it has ended; `missing` reports that
            self._process.stdin.write(json.dumps([asdict(end) for end in self.ends]) + "\n")
            self._process.stdin.flush()

    def missing(self) -> list[str]:
        """Waits until the TAPs are there. It must be called exactly once.

        Returns:
            Sentences on what this kernel cannot offload to them.

        Raises:
            LabError: The TAPs cannot be made.
        """
        assert self._process.stdout
        reply = json.loads(self._process.stdout.readline() or "{}")
        if "missing" not in reply:
            names = " and ".join(end.nic for end in self.ends)
            raise LabError(
                reply.get("error", "the soft NIC process ended before its TAPs were made"),
                where=names,
            )
        return list(reply["missing"])

    def stop(self) -> None:
        """Closes the process's standard input, which ends it and removes the TAPs."""
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
