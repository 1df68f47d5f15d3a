"""Labs that are tortured at the same time, and the run on them that nothing disturbs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self, TypeVar

from qualification.errors import LabError

from .lab import Lab, lab
from .runs import FAULT, WORKERS, fresh, verdicts, vxqual

LABS = 3
"""How many. Half of the time of a trial is spent in waiting for a host, or for a process to end."""

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Calm:
    """The run that nothing disturbs.

    Attributes:
        verdicts: Its verdicts, by cell.
        seconds: How long it takes beside others, by the number of its workers.
    """

    verdicts: Mapping[str, str]
    seconds: Mapping[str, float]


class Labs:
    """Persistent labs, all alike, of which each trial takes one; built for the first.

    Args:
        scratch: Where their topology files and the results of the calm runs are written.
        say: Prints a line of progress.
    """

    def __init__(self, scratch: Path, say: Callable[[str], object]) -> None:
        self._scratch, self._say = scratch, say
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def try_all(
        self, trial: Callable[[Lab, Task], Result], tasks: Iterable[Task]
    ) -> Iterator[Result]:
        """Carries out tasks, each on a lab that no other uses; yields results in their order."""
        free = self._free

        def taken(task: Task) -> Result:
            built = free.get()
            try:
                return trial(built, task)
            finally:
                free.put(built)

        with ThreadPoolExecutor(LABS) as pool:
            yield from pool.map(taken, tasks)

    @cached_property
    def calm(self) -> Calm:
        """The run that nothing disturbs, made with and without workers, as busy as trials are.

        Raises:
            LabError: Its verdicts are not the same each time.
        """
        tasks = [(f"calm-{n}", workers) for n, workers in enumerate((*WORKERS, WORKERS[0]))]
        # The first start compiles what all others load.
        (_, found), *_ = self.try_all(self._calm_run, [("calm", WORKERS[-1])])
        runs = list(self.try_all(self._calm_run, tasks))
        if not found or any(other != found for _, other in runs):
            raise LabError(
                f"runs that nothing disturbs have other verdicts than each other: {runs}",
                where="the loopback lab",
            )
        seconds = {workers: took for (_, workers), (took, _) in zip(tasks, runs, strict=True)}
        self._say(
            f"a run that nothing disturbs takes {seconds['0']:.0f} s, with a worker "
            f"{seconds['1']:.0f} s, and has {len(found)} cells"
        )
        return Calm(found, seconds)

    def _calm_run(self, lab: Lab, task: tuple[str, str]) -> tuple[float, dict[str, str]]:
        out, start = self._scratch / task[0], time.monotonic()
        vxqual(*fresh(lab.topology, out, task[1]))
        return time.monotonic() - start, verdicts(out)

    @cached_property
    def _free(self) -> SimpleQueue[Lab]:
        free: SimpleQueue[Lab] = SimpleQueue()
        for number in range(LABS):
            free.put(self._stack.enter_context(lab(self._scratch, f"lab-{number}", FAULT)))
        return free
