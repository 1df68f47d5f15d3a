"""Reads captures, and prints what was found."""

from __future__ import annotations

import contextlib
import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qualification.errors import (
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_QUALIFIED,
    UsageError,
)
from qualification.wire.capture_file import reader_of

from .frames import Spool, in_bulk, print_frames
from .inputs import STDIN, captures_of, opened, rereadable
from .reading import UNLIMITED, Wanted, counted, findings_in, progress_shown
from .report import headline, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from qualification.stack.counting import Counting

    from .findings import Findings

_GRAVEST_FIRST = (EXIT_NOT_QUALIFIED, EXIT_INTERRUPTED, EXIT_LAB, EXIT_QUALIFIED)


def verify_files(
    paths: Iterable[Path],
    wanted: Wanted | None = None,
    echo: Callable[[str], None] = print,
    jobs: int | None = 1,
) -> int:
    """Judges every checksum of captures and reports the results.

    Args:
        paths: Files, pcap or pcapng, compressed or not; directories of such; "-" for standard
            input.
        wanted: What to report.
        echo: Prints a line. Several processes print to stdout.
        jobs: The most processes at a time; None for one a CPU, if the captures are worth it.

    Returns:
        The exit code: the gravest of all captures, 1 before 2 before 10 before 0. See
        `Findings.exit_code`.

    Raises:
        UsageError: A file cannot be read as a capture file.
        LabError: A process died; the error names the capture that it judged.
    """
    wanted = wanted or Wanted()
    found = list(_captures_or_error(paths))
    captures = [path for path in found if not isinstance(path, UsageError)]
    answers = list(_answers(captures, wanted, echo, 1 if STDIN in captures else jobs))
    codes = {code for code, _ in answers}
    if len(answers) < len(captures):
        codes.add(EXIT_INTERRUPTED)
    elif isinstance(found[-1], UsageError) and not any(interrupted for _, interrupted in answers):
        raise found[-1]
    return next(code for code in _GRAVEST_FIRST if code in codes)


def _answers(
    captures: list[Path], wanted: Wanted, echo: Callable[[str], None], jobs: int | None
) -> Iterator[tuple[int, bool]]:
    """Prints what is in captures, in their order; yields what `judge_one` returns of each.

    An interrupt ends it: those whose count has begun come yet, others do not.
    """
    if len(captures) > 1 and jobs != 1:
        from .jobs import jobs_for, judged_by_processes, print_output  # noqa: PLC0415, rarely

        jobs = jobs_for(captures, jobs)
        if jobs > 1:
            for judged in judged_by_processes(judge_one, captures, wanted, jobs):
                with pipe_may_close():
                    print_output(judged)
                yield judged.exit_code, judged.interrupted
            return
    for path in captures:
        code, interrupted = judge_one(path, wanted, echo)
        yield code, interrupted
        if interrupted:
            return


def _captures_or_error(paths: Iterable[Path]) -> Iterator[Path | UsageError]:
    """Yields captures, and last why there are no more: what comes before is judged."""
    try:
        yield from captures_of(paths)
    except UsageError as error:
        yield error


def judge_one(
    path: Path,
    wanted: Wanted,
    echo: Callable[[str], None],
    name: str | None = None,
    finish: Callable[[Counting], object] | None = None,
) -> tuple[int, bool]:
    """Judges one capture and prints what is wanted.

    Args:
        path: The capture.
        wanted: What to report.
        echo: Prints a line.
        name: What the capture is called, if not by its path.
        finish: Adds to what was counted, once all of the capture has been read.

    Returns:
        The exit code, and whether somebody interrupted the count.

    Raises:
        UsageError: The file cannot be read as a capture file.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_without_collector())
        twice = wanted.view not in ("report", "flows") or wanted.write_wrong is not None
        place = stack.enter_context(rereadable(path)) if twice else path
        name = name or str(path)
        spool = Spool(wanted.limit) if wanted.view == "frames" else None
        found = findings_in(place, wanted, name, spool.take if spool else None)
        if finish is not None:
            finish(found.counting)
        with pipe_may_close():
            _print(name, place, found, wanted, echo, spool)
        if wanted.write_wrong is not None:
            _write_wrong(place, found, wanted, wanted.write_wrong)
        return found.exit_code, found.counting.interrupted


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keeps Python from looking for cycles in what is kept of a capture, where there are none."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def pipe_may_close() -> Iterator[None]:
    """Goes on without output if nobody reads it any more, as with `| head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        import os  # noqa: PLC0415

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(
    name: str,
    place: Path,
    found: Findings,
    wanted: Wanted,
    echo: Callable[[str], None],
    spool: Spool | None,
) -> None:
    said = f"{name}: {headline(found)}"
    if wanted.view == "report" and wanted.form == "text":
        echo(said)
        for line in report(found):
            echo(line)
        return
    from . import tables  # noqa: PLC0415, slow to import, and rarely wanted

    if wanted.view == "report":
        for line in tables.whole(name, found, wanted.form):
            echo(line)
        return
    if wanted.view in ("dimensions", "signature"):
        echo(said)
        for line in _patterns(place, found, wanted):
            echo(line)
        return
    try:
        if wanted.view == "flows":
            for line in tables.flows(found, wanted.form, wanted.limit):
                echo(line)
        else:
            with in_bulk(echo) as put:
                print_frames(place, wanted, tables.frame_writer(found, wanted.form, put), spool)
    finally:
        print(said, file=sys.stderr)


def _patterns(place: Path, found: Findings, wanted: Wanted) -> Iterator[str]:
    """Yields which frames are wrong, or what the hardware did to them."""
    from . import patterns  # noqa: PLC0415, with what judges a run

    yield ""
    if wanted.view == "dimensions":
        with opened(place, wanted.expression) as file, progress_shown() as progress:
            counts, phrase = patterns.dimensions(reader_of(file), found, progress)
        yield from patterns.dimension_lines(counts, phrase)
        return
    signing = patterns.Signing(found.counting.ports)
    counted(
        place,
        wanted,
        UNLIMITED,
        each=lambda kept: signing.take(kept) if found.is_wrong(kept) else None,
    )
    yield from signing.lines()


def _write_wrong(place: Path, found: Findings, wanted: Wanted, target: Path) -> None:
    """Writes the frames that are not right to a pcapng file, with what is wrong as a comment."""
    from .pcapng_writer import writing  # noqa: PLC0415

    try:
        with writing(target) as write:
            counted(place, wanted, UNLIMITED, each=lambda kept: write(found, kept))
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise UsageError(what, where=str(target), hint="name another file") from None
