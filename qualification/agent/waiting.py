"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable

QUIET_SECONDS = 0.25
"""Nothing more is expected of a burst after so long without a sign of it."""


def await_condition(
    condition: Callable[[], bool], seconds: float, stop: Callable[[], bool]
) -> bool:
    """Looks until a condition holds, time is over or we are told to stop; says whether it held.

    Between two looks passes an eighth of the time waited so far, and 50 ms at most.
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
    seconds: float,
    stop: Callable[[], bool],
) -> None:
    """Waits until all of a burst has come, or nothing for `QUIET_SECONDS` since this was called.

    What was sent while nobody waited may not have got here yet, however long that took.

    Args:
        complete: Whether all has come.
        quiet_for: Seconds since something came.
        seconds: To wait at most.
        stop: Whether to give up.
    """
    asked = time.monotonic()

    def over() -> bool:
        return complete() or min(quiet_for(), time.monotonic() - asked) > QUIET_SECONDS

    await_condition(over, seconds, stop)
