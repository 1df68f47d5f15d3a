"""Commands as whole processes: what each costs, from its start to its end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qualification.errors import LabError

_LAUNCHER = str(Path(__file__).with_name("launcher.py"))
_PATIENCE = 20.0
"""Seconds for a command to end after it was told to."""

VXQUAL = str(Path(sys.executable).with_name("vxqual"))
"""The command, as users start it."""


@dataclass(frozen=True)
class Cost:
    """What a command came to, those of its children that it waited for included (wait4).

    Attributes:
        exit_code: Negative for the signal that ended it.
        cpu: Seconds of CPU time, user and system.
        wall: Seconds from start to end.
        peak: Most bytes of memory that one of its processes had resident.
        output: What it wrote to standard output, if that was kept.
        errors: What it wrote to standard error, if that was kept.
    """

    exit_code: int
    cpu: float
    wall: float
    peak: int
    output: str = ""
    errors: str = ""


class Running:
    """A command under way; `started` makes it."""

    def __init__(
        self,
        command: Sequence[str],
        process: subprocess.Popen[bytes],
        said: IO[str],
        errors: IO[str],
        told: IO[str],
    ) -> None:
        self._command, self._process = command, process
        self._said, self._errors, self._told = said, errors, told

    def errors(self) -> str:
        """What it has written to standard error so far."""
        return _content(self._errors)

    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Has it end as Ctrl-C would; the second time it is killed."""
        self._process.terminate()

    def end(self) -> None:
        """Has it end, and waits until it has."""
        self.stop()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.stop()
        self._process.wait()

    def finish(self) -> Cost:
        """Waits for its end.

        Raises:
            LabError: It could not be started.
        """
        self._process.wait()
        cost = self._told.read()
        if not cost:
            raise LabError(f"cannot run {self._command[0]}: {self.errors().strip()[-300:]}")
        return Cost(**json.loads(cost), output=_content(self._said), errors=self.errors())


@contextlib.contextmanager
def started(command: Sequence[str], *, keep: bool = False) -> Iterator[Running]:
    """Starts a command, which does not outlive the block if that fails.

    Args:
        command: Program and arguments.
        keep: Whether to keep what it writes to standard output; else it goes to /dev/null.
    """
    # Files, for nobody may be reading yet when a pipe is full.
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as errors:
        told, telling = os.pipe()
        with os.fdopen(told) as answer:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", _LAUNCHER, str(telling), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=said if keep else subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(telling,),
                    start_new_session=True,  # Ctrl-C is for us, and we tell it
                )
            finally:
                os.close(telling)
            running = Running(command, process, said, errors, answer)
            try:
                yield running
            except BaseException:
                running.end()
                raise


def run(command: Sequence[str], *, keep: bool = False) -> Cost:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        keep: Whether to keep its standard output.

    Raises:
        LabError: It ended with another exit code than 0, or could not be started.
    """
    with started(command, keep=keep) as running:
        cost = running.finish()
    if cost.exit_code:
        said = (cost.errors or cost.output).strip().splitlines()[-3:]
        raise LabError(f"`{' '.join(command)}` ended with {cost.exit_code}: {' '.join(said)}")
    return cost


def own_code(module: str, *arguments: str, bare: bool = False) -> list[str]:
    """The command that runs a module of this package in a process of its own.

    Args:
        module: Its name.
        *arguments: What it is given.
        bare: Without site-packages, as an agent is started on its host.
    """
    python = [sys.executable, "-S"] if bare else [sys.executable]
    root = Path(__file__).parents[1]
    return ["env", f"PYTHONPATH={root}", *python, "-m", module, *arguments]


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """The command that runs another in a network namespace that `ip netns` knows."""
    return ["ip", "netns", "exec", namespace, *command]


def _content(file: IO[str]) -> str:
    """All of a file that somebody else writes."""
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")
