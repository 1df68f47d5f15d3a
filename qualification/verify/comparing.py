"""Reads two captures of the same traffic, and prints who changed what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qualification.errors import UsageError
from qualification.stack.classes import Side
from qualification.stack.judge import walk_frame
from qualification.wire.capture_file import CaptureFileError, reader_of

from .command import pipe_may_close
from .comparison import Comparison
from .comparison import report as compared
from .inputs import opened, rereadable
from .reading import UNLIMITED, Wanted, counted, findings_in, progress_shown, records_of
from .report import headline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
    wanted = replace(wanted, side=Side.RECEIVER)
    with rereadable(receiver) as place:
        found = findings_in(place, wanted, str(receiver))
        comparison = Comparison()
        if found.tally.wrong:
            counted(
                place,
                wanted,
                UNLIMITED,
                each=lambda kept: comparison.add_wrong(kept) if found.is_wrong(kept) else None,
            )
    ports = frozenset({4789, *wanted.ports})
    try:
        with opened(sender, wanted.expression) as file, progress_shown() as progress:
            reader = reader_of(file)
            for record in records_of(reader) if comparison.wrong else ():
                walk = walk_frame(record.frame, record.wire_length, record.link, ports)
                comparison.take(reader.number, walk)
                if progress is not None and reader.number % 1024 == 0:
                    progress(reader.number)
    except (CaptureFileError, OSError) as error:
        hint = "give a pcap or pcapng file, as tcpdump -w and Wireshark write them"
        raise UsageError(str(error), where=str(sender), hint=hint) from None
    with pipe_may_close():
        echo(f"{receiver}: {headline(found)}")
        echo("")
        for line in compared(comparison, found.tally.wrong):
            echo(line)
    return found.exit_code
