"""Several captures judged by several processes, and printed as one process does: in file order.

Each process writes what it would print to a file, so that the output of any number of wrong frames
needs no memory here. Each is a pool of its own: if it dies, it is known over which capture.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from qualification.errors import LabError

from .reading import QUIET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from .reading import Wanted

_WORTH_IT = 64 << 20
"""Bytes of captures from which on several processes are faster than one: starting them costs half a
second of CPU, in which one judges that much."""


@dataclass(frozen=True)
class Judged:
    """What a process has made of a capture.

    Attributes:
        exit_code: As of `Findings`.
        interrupted: Whether somebody interrupted the count.
        output: Files with what is to be printed to stdout and to stderr.
    """

    exit_code: int
    interrupted: bool
    output: tuple[Path, Path]


def jobs_for(paths: Sequence[Path], jobs: int | None) -> int:
    """Returns how many processes judge captures.

    Args:
        paths: The captures.
        jobs: As many as somebody wants; None for one a CPU, if they are worth it.
    """
    if jobs is None:
        sizes = (path.stat().st_size for path in paths if path.is_file())
        jobs = len(os.sched_getaffinity(0)) if sum(sizes) >= _WORTH_IT else 1
    return min(jobs, len(paths))


def judged_by_processes(
    judge: Callable[[Path, Wanted, Callable[[str], None]], tuple[int, bool]],
    paths: Sequence[Path],
    wanted: Wanted,
    jobs: int,
) -> Iterator[Judged]:
    """Yields what was found in captures, in their order, but for those that an interrupt kept back.

    Args:
        judge: Judges a capture and prints what it finds; returns the exit code, and whether it
            was interrupted. It is called in other processes.
        paths: The captures.
        wanted: What to report.
        jobs: The number of processes.

    Raises:
        UsageError: A capture cannot be read; those before it have been yielded.
        LabError: A process died; the error names the capture.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vxqual-")))
        workers = _Workers(jobs)
        stack.enter_context(workers.interrupted_together())
        threads = stack.enter_context(ThreadPoolExecutor(jobs))
        stack.callback(workers.end)  # before it waits for the threads, which wait for them
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        calls = [
            threads.submit(workers.call, judge, path, wanted, folder / str(number))
            for number, path in enumerate(paths)
        ]
        for done in _with_progress(calls):
            judged = done.result()
            if judged is not None:
                yield judged
                for path in judged.output:
                    path.unlink()


def print_output(judged: Judged) -> None:
    """Prints what a process has to say."""
    for path, stream in zip(judged.output, (sys.stdout, sys.stderr), strict=True):
        with path.open(encoding="utf-8", newline="") as file:
            shutil.copyfileobj(file, stream)
        stream.flush()


class _Workers:
    """Processes that each judge one capture at a time.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker() for _ in range(count)]
        for each in self._all:
            self._idle.put(each)
        self._stopping = False

    def call(
        self,
        judge: Callable[[Path, Wanted, Callable[[str], None]], tuple[int, bool]],
        path: Path,
        wanted: Wanted,
        target: Path,
    ) -> Judged | None:
        """Has the next idle process judge a capture; None if it was interrupted before that."""
        worker = self._idle.get()
        try:
            if self._stopping:
                return None
            return worker.pool.submit(_in_worker, judge, path, wanted, target).result()
        except BrokenProcessPool:
            if self._stopping:
                return None
            raise LabError(
                "the process that judged it was killed or crashed",
                where=str(path),
                hint="look whether memory ran out (dmesg); one process at a time: --jobs 1",
            ) from None
        except KeyboardInterrupt:
            return None
        finally:
            self._idle.put(worker)

    @contextlib.contextmanager
    def interrupted_together(self) -> Iterator[None]:
        """Has Control-C end the counts of all processes, and the second one everything."""

        def interrupt(*_: object) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True
            for each in self._all:
                each.interrupt()

        former = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)

    def end(self) -> None:
        """Ends all processes, whatever they do."""
        self._stopping = True
        for each in self._all:
            each.end()


class _Worker:
    """A process that judges captures."""

    def __init__(self) -> None:
        self.pool = ProcessPoolExecutor(1, get_context("spawn"))
        # A terminal sends Control-C to all processes: outside of a count, this one leaves it be.
        with _blocked():
            self._pid = self.pool.submit(os.getpid)  # starts it, with the signals of this thread

    def interrupt(self) -> None:
        """Interrupts what it does, or is about to do."""
        self._signal(signal.SIGINT)

    def end(self) -> None:
        """Ends it."""
        self._signal(signal.SIGTERM)
        self.pool.shutdown(wait=True, cancel_futures=True)

    def _signal(self, number: signal.Signals) -> None:
        def send(pid: Future[int]) -> None:
            with contextlib.suppress(ProcessLookupError):
                if pid.exception() is None:
                    os.kill(pid.result(), number)

        self._pid.add_done_callback(send)  # at once, if it has started


@contextlib.contextmanager
def _blocked() -> Iterator[None]:
    """Keeps SIGINT waiting."""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _in_worker(
    judge: Callable[[Path, Wanted, Callable[[str], None]], tuple[int, bool]],
    path: Path,
    wanted: Wanted,
    target: Path,
) -> Judged:
    def once(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's comes besides the parent's
        raise KeyboardInterrupt

    tempfile.tempdir = str(target.parent)  # which is removed even if this process is killed
    output = target.with_suffix(".out"), target.with_suffix(".err")
    with (
        output[0].open("w", encoding="utf-8", newline="") as out,
        output[1].open("w", encoding="utf-8", newline="") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        signal.signal(signal.SIGINT, once)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        try:
            code, interrupted = judge(path, wanted, print)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    return Judged(code, interrupted, output)


def _with_progress(calls: Sequence[Future[Judged | None]]) -> Iterator[Future[Judged | None]]:
    """Yields calls in their order as they end; a terminal is shown how many have."""
    shown = False
    for call in calls:
        while True:
            with contextlib.suppress(TimeoutError):
                call.exception(timeout=QUIET)
                break
            if sys.stderr.isatty():
                shown, done = True, sum(each.done() for each in calls)
                print(f"\r{done} of {len(calls)} files judged", end="", file=sys.stderr, flush=True)
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            shown = False
        yield call
