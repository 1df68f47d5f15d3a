"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def await_condition(
    condition: Callable[[], bool], seconds: float, stop: Callable[[], bool]
) -> bool:
    """Looks until a condition holds, time is over or we are told to stop; says whether it held."""
    end = time.monotonic() + seconds
    pause = 0.001
    while not condition():
        if stop() or time.monotonic() > end:
            return False
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return True
