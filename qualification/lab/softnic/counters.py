"""The counters of a soft NIC, in a small file that it maps and other processes can read."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

NAMES = ("taken", "unread", "super_packets", "segments", "sent", "dropped", "withheld", "refused")
"""The counters of frames:

- taken: read from the kernel;
- unread: lost by the kernel when they were read (see `process`);
- super_packets: taken, and to be segmented;
- segments: made of those;
- sent: written to the other end's kernel;
- dropped: refused by that kernel, which happens while its interface is down;
- withheld: not sent by the firmware although they should have been;
- refused: received, and dropped by the firmware before the kernel.
"""

TAKEN, UNREAD, SUPER_PACKETS, SEGMENTS, SENT, DROPPED, WITHHELD, REFUSED = range(len(NAMES))
"""The index of each counter; engine.c knows the first six."""

_FORMAT = struct.Struct(f"{len(NAMES)}Q")


def create(path: Path) -> memoryview:
    """Makes the file and maps it.

    Returns:
        Native 64-bit numbers in the order of `NAMES`; what is written there is in the file.
    """
    path.write_bytes(bytes(_FORMAT.size))
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), _FORMAT.size)).cast("Q")


def read(path: Path) -> dict[str, int]:
    """Returns the counters by name.

    Raises:
        OSError: There is no such file, or no longer.
    """
    return dict(zip(NAMES, _FORMAT.unpack(path.read_bytes()), strict=True))
