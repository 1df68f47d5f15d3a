"""What a soft NIC counts, in a small file that it maps and anybody may read at any time."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

NAMES = ("taken", "unread", "super_packets", "segments", "sent", "dropped", "withheld", "refused")
"""Frames taken from the kernel; frames that the kernel lost in handing them over (see
`softnic`); frames taken that were to be cut; what they were cut into; frames given to the other
end's kernel; frames it refused, which happens while that interface is down; frames that the
firmware should have sent and did not; frames that arrived and that the firmware kept from the
kernel."""

TAKEN, UNREAD, SUPER_PACKETS, SEGMENTS, SENT, DROPPED, WITHHELD, REFUSED = range(len(NAMES))
"""Where each is; engine.c knows the first six."""

_FORMAT = struct.Struct(f"{len(NAMES)}Q")


def create(path: Path) -> memoryview:
    """Make the file and map it.

    Returns:
        Native 64-bit numbers in the order of `NAMES`; what is written there is in the file.
    """
    path.write_bytes(bytes(_FORMAT.size))
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), _FORMAT.size)).cast("Q")


def read(path: Path) -> dict[str, int]:
    """Read them by name.

    Raises:
        OSError: There is no such file (any more).
    """
    return dict(zip(NAMES, _FORMAT.unpack(path.read_bytes()), strict=True))
