"""Runs commands as processes and measures the cost of each from its start to its end."""

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
"""Seconds that a command may take to end after SIGTERM."""

VXQUAL = str(Path(sys.executable).with_name("vxqual"))
"""The command that users start."""


@dataclass(frozen=True)
class Cost:
    """The cost of a command, including the children that it waited for (wait4).

    Attributes:
        exit_code: Negative for the signal that ended it.
        cpu: Seconds of CPU time, user and system.
        wall: Seconds from start to end.
        peak: The largest resident memory of one of its processes, bytes.
        output: Its standard output, if that was kept.
        errors: Its standard error.
    """

    exit_code: int
    cpu: float
    wall: float
    peak: int
    output: str = ""
    errors: str = ""


class Running:
    """A running command; `started` creates it."""

    def __init__(
        self,
        command: Sequence[str],
        process: subprocess.Popen[bytes],
        output: IO[str],
        errors: IO[str],
        cost: IO[str],
    ) -> None:
        self._command, self._process = command, process
        self._output, self._errors, self._cost = output, errors, cost

    def errors(self) -> str:
        """Returns what it has written to standard error so far."""
        return _content(self._errors)

    def over(self) -> bool:
        """Returns whether it has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """Ends it as Ctrl-C would; a second call kills it."""
        self._process.terminate()

    def end(self) -> None:
        """Ends it and waits until it has ended."""
        self.stop()
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.stop()
        self._process.wait()

    def finish(self) -> Cost:
        """Waits for its end and returns its cost.

        Raises:
            LabError: The command could not be started.
        """
        self._process.wait()
        cost = self._cost.read()
        if not cost:
            raise LabError(f"cannot run {self._command[0]}: {self.errors().strip()[-300:]}")
        return Cost(**json.loads(cost), output=_content(self._output), errors=self.errors())


@contextlib.contextmanager
def started(command: Sequence[str], *, keep: bool = False) -> Iterator[Running]:
    """Starts a command; if the block raises, the command is ended.

    Args:
        command: Program and arguments.
        keep: Whether to keep its standard output, which otherwise goes to /dev/null.
    """
    # Files, because a pipe could fill up before anything reads it.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        read_end, write_end = os.pipe()
        with os.fdopen(read_end) as cost:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-I", "-S", _LAUNCHER, str(write_end), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=output if keep else subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=(write_end,),
                    start_new_session=True,  # Ctrl-C reaches this process only, which passes it on
                )
            finally:
                os.close(write_end)
            running = Running(command, process, output, errors, cost)
            try:
                yield running
            except BaseException:
                running.end()
                raise


def run(command: Sequence[str], *, keep: bool = False, fine: Sequence[int] = (0,)) -> Cost:
    """Runs a command to its end and returns its cost.

    Args:
        command: Program and arguments.
        keep: Whether to keep its standard output.
        fine: Exit codes that are no failure.

    Raises:
        LabError: The command failed, or could not be started.
    """
    with started(command, keep=keep) as running:
        cost = running.finish()
    if cost.exit_code not in fine:
        lines = (cost.errors or cost.output).strip().splitlines()[-3:]
        raise LabError(f"`{' '.join(command)}` ended with {cost.exit_code}: {' '.join(lines)}")
    return cost


def own_code(module: str, *arguments: str, bare: bool = False) -> list[str]:
    """Returns the command that runs a module of this repository in a process of its own.

    Args:
        module: The name of the module.
        *arguments: Its arguments.
        bare: Whether to run it without site-packages, as an agent runs on its host.
    """
    python = [sys.executable, "-S"] if bare else [sys.executable]
    root = Path(__file__).parents[1]
    return ["env", f"PYTHONPATH={root}", *python, "-m", module, *arguments]


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """Returns the command that runs another one in a network namespace of `ip netns`."""
    return ["ip", "netns", "exec", namespace, *command]


def _content(file: IO[str]) -> str:
    """Returns the content of a file that another process writes."""
    descriptor = file.fileno()
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")
