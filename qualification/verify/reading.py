"""Reads a capture, and finds out what is in it."""

from __future__ import annotations

import contextlib
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qualification.errors import UsageError
from qualification.stack.capture import MOST_TROUBLES, count_capture
from qualification.wire.capture_file import CaptureFileError, reader_of

from .findings import findings_of
from .inputs import Unpacked, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qualification.stack.classes import Side
    from qualification.stack.counting import Counting, KeptFrame
    from qualification.wire.capture_reader import Reader, Record

    from .findings import Findings

UNLIMITED = 1 << 31
_KEPT = 16
QUIET = 2.0  # seconds before progress is shown


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


def findings_in(
    path: Path,
    wanted: Wanted,
    name: str | None = None,
    each: Callable[[KeptFrame], object] | None = None,
) -> Findings:
    """Judges one capture; it raises `UsageError` if it is none.

    Args:
        path: The file.
        wanted: Which ports carry VXLAN, and where it was captured.
        name: What the file is called in errors.
        each: Gets all frames that are not right, instead of the first being kept.
    """
    with progress_shown() as progress:
        counting = counted(path, wanted, UNLIMITED if each else _KEPT, progress, each, name)
    return findings_of(counting, wanted.side)


def counted(
    path: Path,
    wanted: Wanted,
    keep: int,
    progress: Callable[[int], None] | None = None,
    each: Callable[[KeptFrame], object] | None = None,
    name: str | None = None,
) -> Counting:
    """Counts the frames of a capture; see `count_capture`.

    Args:
        path: The file.
        wanted: Which ports carry VXLAN, and which frames are wanted.
        keep: The most frames to keep of each bucket, or to hand on.
        progress: Called from time to time with the number of frames so far.
        each: Gets the frames that would be kept, until it returns False.
        name: What the file is called in errors.

    Raises:
        UsageError: The file cannot be read as a capture file.
    """
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


def records_of(reader: Reader) -> Iterator[Record]:
    """Yields the frames of a capture that `count_capture` counts: up to damage, and behind it.

    What is wrong with the capture is not said, as who counts it says so.
    """
    for _ in range(MOST_TROUBLES):
        with contextlib.suppress(CaptureFileError):
            while (record := reader.next_record()) is not None:
                yield record
            return
        if not reader.recover():
            return


@contextmanager
def progress_shown() -> Iterator[Callable[[int], None] | None]:
    """Yields a function that shows progress on a terminal; None if stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    next_time, shown = time.monotonic() + QUIET, False

    def show(number: int) -> None:
        nonlocal next_time, shown
        if time.monotonic() >= next_time:
            next_time, shown = time.monotonic() + 0.5, True
            print(f"\r{number:,} frames judged", end="", file=sys.stderr, flush=True)

    yield show
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
