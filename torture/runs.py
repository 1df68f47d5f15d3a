"""The run that is disturbed, and the ones that put right what was disturbed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qualification.results import run_directory
from qualification.results.matrix import read as read_matrix
from qualification.results.run_directory import StoredRun
from qualification.results.run_files import MATRIX

from .lab import VXQUAL

FAULT = "{alpha.port0: {model: seed-left}}"
"""A fault that every selected cell with segmentation shows, so that verdicts are not all PASS."""
SELECTION = (
    *("--plan", "quick", "--rate", "0.05", "--confidence", "0.9", "--seed", "7"),
    *("-k", "(all-on/ or all-off/) and outer4-csum/inner4 and not load and not both"),
    *("-m", "not crafted"),
)
"""Six cells, three of which fail. What a run costs is its start and its controls."""
WORKERS = ("0", "1")
"""Numbers of workers: without any, as for a single pair, the controller sends orders itself."""
_PATIENCE = 180.0
"""Seconds that a run or a command may take on a busy machine."""
_TRACES = ("Traceback", "INTERNALERROR", "Logging error")


@dataclass
class Run:
    """A run that goes on.

    Attributes:
        process: The controller.
        out: Where its results go.
    """

    process: subprocess.Popen[str]
    out: Path
    _said: Path

    def ended(self) -> bool:
        """Returns whether it has ended."""
        return self.process.poll() is not None

    def wait(self) -> list[str]:
        """Waits until it has ended; returns what is wrong with how it did."""
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            return [f"the run did not end within {_PATIENCE:g} s: {self.said()[-2000:]}"]
        return traces(self.said())

    def said(self) -> str:
        """Returns what it has printed so far."""
        return self._said.read_text(errors="replace")


@contextmanager
def started(
    out: Path,
    *args: object,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Run]:
    """Starts `vxqual` with arguments, as a process that is killed at the end of the context."""
    with tempfile.NamedTemporaryFile("w+", dir=out.parent, suffix=".said") as said:
        process = subprocess.Popen(
            [VXQUAL, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
        )
        try:
            yield Run(process, out, Path(said.name))
        finally:
            process.kill()
            process.wait()


def fresh(topology: Path, out: Path, workers: str = WORKERS[0]) -> tuple[object, ...]:
    """Returns the arguments of the run on the lab of a topology."""
    return ("run", topology, *SELECTION, "--out", out, "-n", workers)


def vxqual(*args: object) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end; stderr is merged into stdout."""
    return subprocess.run(
        [VXQUAL, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_PATIENCE,
    )


def traces(said: str) -> list[str]:
    """Returns what no user may see of an error."""
    return [f"it printed {word!r}: {said[-2000:]}" for word in _TRACES if word in said]


def verdicts(out: Path) -> dict[str, str]:
    """Returns the verdicts of the latest run, by cell; none where it has not ended."""
    path = (out / "latest").resolve() / MATRIX
    if not path.exists():
        return {}
    matrix = read_matrix(path)
    return {cell.id: str(cell.verdict) for cell in matrix.cells}


def stored(out: Path) -> StoredRun | None:
    """Returns the latest run as it is stored; None where none had begun to store anything."""
    if not all((out / "latest" / name).exists() for name in ("run.json", "evidence.jsonl")):
        return None
    return run_directory.read(out)


def complete(
    topology: Path, out: Path, wanted: Mapping[str, str], workers: str = WORKERS[0]
) -> list[str]:
    """Goes on with a run to its end; returns what is then not as without the disturbance.

    Args:
        topology: The topology of its lab, whose hosts are as they were.
        out: Where the run's results are.
        wanted: The verdicts of a run that nothing disturbed.
        workers: How many workers it has.
    """
    before = stored(out)
    if before is None:
        done = vxqual(*fresh(topology, out, workers))
    else:
        done = vxqual("run", topology, "--resume", "--out", out, "-n", workers)
    problems = traces(done.stdout)
    found = verdicts(out)
    if found != wanted:
        differ = {name for name in {*wanted, *found} if wanted.get(name) != found.get(name)}
        problems.append(
            f"{len(differ)} verdicts are others than without the disturbance, such as "
            f"{min(differ)}: {found.get(min(differ))}; it printed {done.stdout[-2000:]}"
        )
    after = stored(out)
    if before is not None and after is not None:
        lost = [name for name in before.finished if name not in after.finished]
        if lost:
            problems.append(f"{len(lost)} finished cells were lost, such as {lost[0]}")
    return problems
