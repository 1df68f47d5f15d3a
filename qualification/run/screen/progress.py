"""How far a run is: a line now and then, with pair, cell, percentage and the time left."""

from __future__ import annotations

from collections.abc import Callable

from qualification.run.prepare import duration

_SECONDS = 10.0
_SHARE = 0.1
_LEAST_SECONDS = 1.0
_KNOWN = 0.05
"""Share of the cells after which their pace tells how long the rest will take."""


class RunProgress:
    """Decides when a line on the progress is due, and makes it.

    A line is due after 10 s, or after a tenth of the cells if these took a second.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._total = self._done = self._said = 0
        self._began = self._last = 0.0

    def begin(self, total: int) -> None:
        """Starts the clock; later calls change nothing, for every worker makes one.

        Args:
            total: The number of cells that were selected.
        """
        if not self._total:
            self._total = total
            self._began = self._last = self._clock()

    def ran(self, pair: str, cell: str) -> str | None:
        """Returns the line that is due after a cell; None if none is.

        Args:
            pair: The pair of the cell.
            cell: Its id, which begins with the pair.
        """
        self._done += 1
        now = self._clock()
        waited = now - self._last
        tenth = self._done - self._said >= _SHARE * self._total
        due = waited >= _SECONDS or (tenth and waited >= _LEAST_SECONDS)
        if not due or self._done >= self._total:
            return None
        self._said, self._last = self._done, now
        left = (now - self._began) / self._done * (self._total - self._done)
        known = self._done >= _KNOWN * self._total
        remains = f"about {duration(left)} left" if known else "the time left is not known yet"
        return (
            f"{100 * self._done // self._total} % of {self._total:,} cells, pair {pair}, "
            f"cell {cell.removeprefix(pair + '/')}, {remains}"
        )
