"""Ends everything that an agent has running, whatever fails, so that its host is put back after it.

Nothing that goes wrong on the way keeps the journal from being undone, and each failure is a line
of the closing report.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from qualification.messages.closing import NOT_ENDED

Step = tuple[str, Callable[[], object]]
"""What is ended, in words, and how."""

MOST_SECONDS = 10.0
"""How long a step may take. Afterwards the next ones are done; the end of the process ends it."""


def end_all(steps: Sequence[Step], seconds: float = MOST_SECONDS) -> list[str]:
    """Does every step in its order, also after some that raise or do not return.

    Each step is done on a thread of its own, so that one that waits for ever can be left behind.

    Args:
        steps: What to end.
        seconds: How long each of them may take.

    Returns:
        A line for each step that failed.
    """
    report = []
    for what, act in steps:
        failure: list[str] = [f"it goes on after {seconds:g} s"]

        def tried(act: Callable[[], object] = act, failure: list[str] = failure) -> None:
            try:
                act()
                failure.clear()
            except BaseException as error:
                failure[:] = [f"{type(error).__name__}: {error}"]

        thread = threading.Thread(target=tried, name="vxqual-end", daemon=True)
        thread.start()
        thread.join(seconds)
        report += [f"{NOT_ENDED} {what}: {why}" for why in failure]
    return report
