"""Reads captures, and prints what was found."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qualification.errors import EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED, UsageError
from qualification.stack.capture import count_capture
from qualification.wire.capture_file import CaptureFileError, reader_of

from .document import document, frame_document
from .findings import findings_of
from .report import headline, report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from qualification.stack.classes import Side
    from qualification.stack.counting import Counting, KeptFrame

    from .findings import Findings

_UNLIMITED = 1 << 31
_QUIET = 2.0  # seconds before progress is shown


def verify_files(
    paths: Iterable[Path],
    *,
    ports: Iterable[int] = (),
    side: Side | None = None,
    as_json: bool = False,
    frames: bool = False,
    limit: int | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """Judges every checksum of captures and reports the results.

    Args:
        paths: Files, pcap or pcapng.
        ports: UDP ports that carry VXLAN, besides 4789 and those that are noticed.
        side: Where they were captured.
        as_json: Report as JSON: one document for each file, or with `frames` one line a frame.
        frames: Report each frame that is not right in a line. The headline then goes to stderr.
        limit: The most frames to report of each file.
        echo: Prints a line.

    Returns:
        The exit code: the gravest of all files, 1 before 10 before 0. See `Findings.exit_code`.

    Raises:
        UsageError: A file cannot be read as a capture file.
    """
    codes = set()
    for path in paths:
        found = findings_in(path, ports, side)
        codes.add(found.exit_code)
        if frames:
            _print_frames(path, found, as_json=as_json, limit=limit, echo=echo)
            print(f"{path}: {headline(found)}", file=sys.stderr)
        elif as_json:
            echo(json.dumps(document(path, found), indent=2))
        else:
            echo(f"{path}: {headline(found)}")
            for line in report(found):
                echo(line)
    return next(code for code in (EXIT_NOT_QUALIFIED, EXIT_LAB, EXIT_QUALIFIED) if code in codes)


def findings_in(path: Path, ports: Iterable[int], side: Side | None) -> Findings:
    """Judges one capture; the arguments and errors are those of `verify_files`."""
    with _progress() as progress:
        return findings_of(_counted(path, ports, 16, progress), side)


def _counted(
    path: Path,
    ports: Iterable[int],
    keep: int,
    progress: Callable[[int], None] | None,
    each: Callable[[KeptFrame], object] | None = None,
) -> Counting:
    try:
        with path.open("rb", buffering=0) as file:
            return count_capture(reader_of(file), frozenset({4789, *ports}), keep, progress, each)
    except CaptureFileError as error:
        hint = "give a pcap or pcapng file, as tcpdump -w and Wireshark write them"
        raise UsageError(str(error), where=str(path), hint=hint) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"cannot be read: {error.strerror or error}"
        raise UsageError(what, where=str(path), hint="check the path and its permissions") from None


_HEADINGS = ("frame", "time", "class", "wrong on the wire", "packets", "what")


def _print_frames(
    path: Path, found: Findings, *, as_json: bool, limit: int | None, echo: Callable[[str], None]
) -> None:
    """Prints every frame that is not right.

    It reads the file again, as the class of a frame depends on what was found in all of it.
    """
    left = _UNLIMITED if limit is None else limit
    if not as_json:
        echo("\t".join(_HEADINGS))

    def show(kept: KeptFrame) -> None:
        nonlocal left
        if left:
            left -= 1
            made = frame_document(found, kept)
            if as_json:
                echo(json.dumps(made))
            else:
                echo(
                    f"{kept.number}\t{made['time']:.6f}\t{made['class']}\t"
                    f"{'yes' if made['wrong'] else 'no'}\t{'; '.join(made['packets'])}\t"
                    f"{'; '.join(made['sentences'])}"
                )

    _counted(path, found.counting.ports, left, None, show)


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
