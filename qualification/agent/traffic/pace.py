"""Holds a sender to a pace, and says how long what is sent at a pace may take to arrive."""

from __future__ import annotations

import time

_STEP = 0.002
"""Seconds that a sender is ahead before it sleeps: a shorter sleep takes longer than it should."""
_MOST_BEHIND = 0.005
"""Seconds that a sender may make up for after a delay. What is sent to make up for more would be a
burst that no queue on the way has to hold."""
_QUIET_SECONDS = 0.25
"""Seconds without a frame after which no more of a burst is expected, at a pace without limit."""
_MOST_AT_ONCE = 128
"""Frames that may leave together, whatever their pace: two buffers of UDP_SEGMENT."""


class Pace:
    """Holds a sender to a number of frames per second on the wire, from now on.

    Args:
        rate: Frames per second; 0 sets no limit.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._start = time.monotonic()

    def after(self, frames: int, *, train: bool = False) -> None:
        """Waits until it is time for the next frame.

        Args:
            frames: How many were sent since the start. A super-packet counts as its segments.
            train: Whether a super-packet follows: a small ring has room for its segments, and not
                for frames just before.
        """
        if not self._rate:
            return
        ahead = frames / self._rate - (time.monotonic() - self._start)
        if ahead > (0 if train else _STEP):
            time.sleep(ahead)
        elif ahead < -_MOST_BEHIND:
            self._start -= ahead + _MOST_BEHIND  # now it is so much behind, and no more


def quiet_seconds(rate: int) -> float:
    """Returns the seconds without a frame after which no more of a burst is expected.

    Args:
        rate: The pace of the burst, frames per second; 0 for no limit.
    """
    return _QUIET_SECONDS + (_MOST_AT_ONCE / rate if rate else 0)


def seconds_for(frames: int, rate: int) -> float:
    """Returns the seconds that frames take at a pace, frames per second; 0 for no limit."""
    return frames / rate if rate else 0.0
