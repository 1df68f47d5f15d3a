"""The closing report of an agent: what it has undone on its host, and what it could not.

It is a list of lines. Those that begin with one of these texts say that something went wrong; each
of the others is a change that was undone.
"""

from __future__ import annotations

from collections.abc import Iterable

NOT_UNDONE = "could not undo"
"""A change of the host could not be undone; it stays in the journal."""
DIFFERS = "not as before:"
"""What was undone has not made the NIC what it was; it stays in the journal, too."""
NOT_ENDED = "could not end"
"""Something of the agent's own could not be ended; it ends with the agent's process."""
ORDER_NOT_ENDED = f"{NOT_ENDED} an order"
"""The host was put back beside an order, which may have gone on for a moment longer."""


def left_changed(report: Iterable[object]) -> list[str]:
    """Returns the lines of a report that say that the host is left changed, and by what."""
    lines = [str(line) for line in report]
    return [
        line[len(DIFFERS) :].strip() if line.startswith(DIFFERS) else line
        for line in lines
        if line.startswith((DIFFERS, NOT_UNDONE))
    ]


def not_ended(report: Iterable[object]) -> list[str]:
    """Returns the lines of a report about what could not be ended."""
    return [str(line) for line in report if str(line).startswith(NOT_ENDED)]
