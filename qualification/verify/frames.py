"""Shows the frames that are not right one by one.

They are kept until it is known what the whole capture says about them.
"""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .reading import UNLIMITED, Wanted, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qualification.stack.counting import KeptFrame

_BULK = 256  # lines that are printed at a time

_MOST_BYTES = 64 << 20
_PER_FRAME = 2048  # bytes that Python needs for what was found in a frame, about


class Spool:
    """Keeps frames as long as memory is bounded; beyond that, the capture has to be read again.

    Attributes:
        kept: The frames, in the order of the capture.
        is_whole: Whether they are all that are wanted.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.kept: list[KeptFrame] = []
        self.is_whole = True
        self._limit = limit
        self._room = _MOST_BYTES

    def take(self, frame: KeptFrame) -> bool:
        """Keeps a frame; returns False if it wants no more."""
        self._room -= len(frame.record.frame) + len(frame.walk.data) + _PER_FRAME
        if self._room < 0:
            self.kept.clear()
            self.is_whole = False
        else:
            self.kept.append(frame)
        return self.is_whole and len(self.kept) != self._limit


@contextmanager
def in_bulk(echo: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Yields a function that prints lines, many of them at a time."""
    lines: list[str] = []

    def line(text: str) -> None:
        lines.append(text)
        if len(lines) == _BULK:
            echo("\n".join(lines))
            lines.clear()

    try:
        yield line
    finally:
        if lines:
            echo("\n".join(lines))


def print_frames(
    place: Path, wanted: Wanted, show: Callable[[KeptFrame], None], spool: Spool | None
) -> None:
    """Prints every frame that is not right.

    The class of a frame depends on what was found in the whole capture, which has been read by now.
    If there are too many frames to keep them until then, it is read again.
    """
    if spool is not None and spool.is_whole:
        for kept in spool.kept:
            show(kept)
        return
    left = UNLIMITED if wanted.limit is None else wanted.limit

    def some(kept: KeptFrame) -> None:
        nonlocal left
        if not left:
            raise _EnoughError
        left -= 1
        show(kept)

    with contextlib.suppress(_EnoughError):
        counted(place, wanted, UNLIMITED, each=some)


class _EnoughError(Exception):
    """As many frames were shown as are wanted."""
