"""The group of the commands that write a file to begin from, and what their help shares."""

from __future__ import annotations

from ..root import codes, main

INIT_CODES = codes(c0="the file is written", c4="it exists already, or cannot be written")


@main.group()
def init() -> None:
    """Write a file to begin from, with comments that explain it."""
