"""Keeps the frames that are not right until it is known what the whole capture says about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qualification.stack.counting import KeptFrame

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
