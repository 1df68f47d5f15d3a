"""Waits for conditions instead of fixed times."""

from __future__ import annotations

import time
from collections.abc import Callable


def await_condition(
    condition: Callable[[], bool], seconds: float, stop: Callable[[], bool]
) -> bool:
    """Waits until a condition holds, the time is over or `stop` says so; returns whether it held.

    The condition is checked again after an eighth of the time waited so far, and 50 ms at most.
    """
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        if stop() or waited > seconds:
            return False
        time.sleep(min(max(waited / 8, 0.001), 0.05))
    return True


def await_all(
    complete: Callable[[], bool],
    quiet_for: Callable[[], float],
    quiet: float,
    seconds: float,
    stop: Callable[[], bool],
) -> None:
    """Waits until all of a burst was received, or nothing was for some time.

    The quiet time counts from this call on, as frames may still be on their way however long ago
    the last one was received.

    Args:
        complete: Returns whether all was received.
        quiet_for: Returns the seconds since something was received.
        quiet: Seconds without a frame after which no more is expected (`traffic.pace`).
        seconds: The longest time to wait.
        stop: Returns whether to give up.
    """
    asked = time.monotonic()

    def over() -> bool:
        return complete() or min(quiet_for(), time.monotonic() - asked) > quiet

    await_condition(over, seconds, stop)
