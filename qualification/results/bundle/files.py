"""The names of a bundle's files."""

from __future__ import annotations

import re

_UNUSUAL = re.compile(r"[^\w.+@-]", re.ASCII)


def capture_name(cell: str) -> str:
    """Returns the name of the capture of a cell: "x710_all-on_outer4-csum_inner4_tcp.pcapng"."""
    return f"{file_name(cell)}.pcapng"


def file_name(cell: str) -> str:
    """Returns the id of a cell as the name of a file, without a suffix."""
    return _UNUSUAL.sub("_", cell)
