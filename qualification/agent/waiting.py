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
