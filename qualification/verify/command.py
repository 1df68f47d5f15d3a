"""Reads captures, and prints what was found."""

from __future__ import annotations

import contextlib
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qualification.errors import (
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_QUALIFIED,
    UsageError,
)
from qualification.stack.capture import count_capture
from qualification.wire.capture_file import CaptureFileError, reader_of

from .findings import findings_of
from .inputs import Unpacked, captures_of, opened, rereadable
from .report import headline, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from qualification.stack.classes import Side
    from qualification.stack.counting import Counting, KeptFrame

    from .findings import Findings

_UNLIMITED = 1 << 31
_KEPT = 16
_QUIET = 2.0  # seconds before progress is shown
_GRAVEST_FIRST = (EXIT_NOT_QUALIFIED, EXIT_INTERRUPTED, EXIT_LAB, EXIT_QUALIFIED)


@dataclass(frozen=True)
class Wanted:
    """What somebody wants to know about captures.

    Attributes:
        ports: UDP ports that carry VXLAN, besides 4789 and those that are noticed.
        side: Where they were captured.
        form: "text", "json" or "csv".
        view: "report", "frames" for a line a frame, "flows" for a line a flow, "dimensions" for
            which frames are wrong, "signature" for what the hardware did to them.
        limit: The most frames or flows of each capture; None for all.
        expression: The frames that are wanted, as tcpdump takes it; None for all.
        write_wrong: A pcapng file for the frames that are not right.
    """

    ports: tuple[int, ...] = ()
    side: Side | None = None
    form: str = "text"
    view: str = "report"
    limit: int | None = None
    expression: str | None = None
    write_wrong: Path | None = None


def verify_files(
    paths: Iterable[Path], wanted: Wanted | None = None, echo: Callable[[str], None] = print
) -> int:
    """Judges every checksum of captures and reports the results.

    Args:
        paths: Files, pcap or pcapng, compressed or not; directories of such; "-" for standard
            input.
        wanted: What to report.
        echo: Prints a line.

    Returns:
        The exit code: the gravest of all captures, 1 before 2 before 10 before 0. See
        `Findings.exit_code`.

    Raises:
        UsageError: A file cannot be read as a capture file.
    """
    wanted = wanted or Wanted()
    codes = set()
    with contextlib.ExitStack() as stack:
        for path in captures_of(paths):
            twice = wanted.view not in ("report", "flows") or wanted.write_wrong is not None
            place = stack.enter_context(rereadable(path)) if twice else path
            found = findings_in(place, wanted, str(path))
            codes.add(found.exit_code)
            with _pipe_may_close():
                _print(str(path), place, found, wanted, echo)
            if wanted.write_wrong is not None:
                _write_wrong(place, found, wanted, wanted.write_wrong)
            if found.counting.interrupted:
                break
    return next(code for code in _GRAVEST_FIRST if code in codes)


def compare_files(
    sender: Path, receiver: Path, wanted: Wanted, echo: Callable[[str], None] = print
) -> int:
    """Compares two captures of the same traffic, and says who changed what arrived wrong.

    Args:
        sender: What the sending host captured.
        receiver: What the receiving host captured.
        wanted: Which ports carry VXLAN; the rest does not matter.
        echo: Prints a line.

    Returns:
        The exit code of the receiver's capture.

    Raises:
        UsageError: A file cannot be read as a capture file.
    """
    from qualification.stack.classes import Side  # noqa: PLC0415
    from qualification.stack.judge import walk_frame  # noqa: PLC0415

    from .comparison import Comparison  # noqa: PLC0415
    from .comparison import report as compared  # noqa: PLC0415

    wanted = replace(wanted, side=Side.RECEIVER)
    with rereadable(receiver) as place:
        found = findings_in(place, wanted, str(receiver))
        comparison = Comparison()
        if found.tally.wrong:
            _counted(
                place,
                wanted,
                _UNLIMITED,
                each=lambda kept: comparison.add_wrong(kept) if found.is_wrong(kept) else None,
            )
    ports = frozenset({4789, *wanted.ports})
    try:
        with opened(sender, wanted.expression) as file, _progress() as progress:
            reader = reader_of(file)
            while comparison.wrong and (record := reader.next_record()) is not None:
                walk = walk_frame(record.frame, record.wire_length, record.link, ports)
                comparison.take(reader.number, walk)
                if progress is not None and reader.number % 1024 == 0:
                    progress(reader.number)
    except (CaptureFileError, OSError) as error:
        hint = "give a pcap or pcapng file, as tcpdump -w and Wireshark write them"
        raise UsageError(str(error), where=str(sender), hint=hint) from None
    with _pipe_may_close():
        echo(f"{receiver}: {headline(found)}")
        echo("")
        for line in compared(comparison, found.tally.wrong):
            echo(line)
    return found.exit_code


@contextmanager
def _pipe_may_close() -> Iterator[None]:
    """Goes on without output if nobody reads it any more, as with `| head`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        import os  # noqa: PLC0415

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def findings_in(path: Path, wanted: Wanted, name: str | None = None) -> Findings:
    """Judges one capture; errors are those of `verify_files`.

    Args:
        path: The file.
        wanted: Which ports carry VXLAN, and where it was captured.
        name: What the file is called in errors.
    """
    with _progress() as progress:
        counting = _counted(path, wanted, _KEPT, progress, name=name)
    return findings_of(counting, wanted.side)


def _counted(
    path: Path,
    wanted: Wanted,
    keep: int,
    progress: Callable[[int], None] | None = None,
    each: Callable[[KeptFrame], object] | None = None,
    name: str | None = None,
) -> Counting:
    name = name or str(path)
    ports = frozenset({4789, *wanted.ports})
    try:
        with opened(path, wanted.expression) as file:
            try:
                counting = count_capture(reader_of(file), ports, keep, progress, each)
            except CaptureFileError as error:
                damage = file.damage if isinstance(file, Unpacked) else None
                raise CaptureFileError(damage or str(error)) from None
            if isinstance(file, Unpacked) and file.damage:
                counting.troubles.append(file.damage)
            return counting
    except CaptureFileError as error:
        hint = "give a pcap or pcapng file, as tcpdump -w and Wireshark write them"
        raise UsageError(str(error), where=name, hint=hint) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise UsageError(what, where=name, hint="check the path and its permissions") from None


def _print(
    name: str, place: Path, found: Findings, wanted: Wanted, echo: Callable[[str], None]
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
            _print_frames(place, wanted, tables.frame_writer(found, wanted.form, echo))
    finally:
        print(said, file=sys.stderr)


def _patterns(place: Path, found: Findings, wanted: Wanted) -> Iterator[str]:
    """Yields which frames are wrong, or what the hardware did to them."""
    from . import patterns  # noqa: PLC0415, with what judges a run

    yield ""
    if wanted.view == "dimensions":
        with opened(place, wanted.expression) as file, _progress() as progress:
            counts, phrase = patterns.dimensions(reader_of(file), found, progress)
        yield from patterns.dimension_lines(counts, phrase)
        return
    signing = patterns.Signing(found.counting.ports)
    _counted(
        place,
        wanted,
        _UNLIMITED,
        each=lambda kept: signing.take(kept) if found.is_wrong(kept) else None,
    )
    yield from signing.lines()


def _print_frames(place: Path, wanted: Wanted, show: Callable[[KeptFrame], None]) -> None:
    """Prints every frame that is not right.

    It reads the file again, as the class of a frame depends on what was found in all of it.
    """
    left = _UNLIMITED if wanted.limit is None else wanted.limit

    def some(kept: KeptFrame) -> None:
        nonlocal left
        if not left:
            raise _EnoughError
        left -= 1
        show(kept)

    with contextlib.suppress(_EnoughError):
        _counted(place, wanted, _UNLIMITED, each=some)


class _EnoughError(Exception):
    """As many frames were shown as are wanted."""


def _write_wrong(place: Path, found: Findings, wanted: Wanted, target: Path) -> None:
    """Writes the frames that are not right to a pcapng file, with what is wrong as a comment."""
    from .pcapng_writer import writing  # noqa: PLC0415

    try:
        with writing(target) as write:
            _counted(place, wanted, _UNLIMITED, each=lambda kept: write(found, kept))
    except OSError as error:
        what = f"cannot be written: {error.strerror or error}"
        raise UsageError(what, where=str(target), hint="name another file") from None


@contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """Yields a function that shows progress on a terminal; None if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    next_time, shown = time.monotonic() + _QUIET, False

    def show(number: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            next_time, shown = time.monotonic() + 0.5, True
            print(f"\r{number:,} frames judged", end="", file=sys.stderr, flush=True)

    yield show
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
