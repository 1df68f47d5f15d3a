"""What a run has left changed on its hosts. It is told whatever else goes wrong; its pair ends.

A worker notes it where a session is closed (`CellRunner`). It reaches the controller with the next
report of a test, or, after the last one and after Ctrl-C, with the end of the worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import pytest

from qualification.errors import HostLeftChangedError, LabError
from qualification.remote.closing import RESTORE_HINT

KEY = "vxqual_left_changed"
"""Attribute of a test report, and key of a worker's output: sentences."""
_LOG = logging.getLogger("vxqual.run")


class LeftChanged:
    """Keeps the sentences of one worker until they are told."""

    def __init__(self) -> None:
        self._certain: dict[str, HostLeftChangedError] = {}
        self._doubtful: dict[str, HostLeftChangedError] = {}
        self._untold: list[str] = []

    def closing(self, pair: str, close: Callable[[], object]) -> None:
        """Closes a pair's session, and notes what it leaves changed."""
        try:
            close()
        except HostLeftChangedError as error:
            if error.certain:
                self._certain[pair] = error
                self._untold.append(f"pair {pair}: {error}")
            else:
                self._doubtful[pair] = error
        else:
            _LOG.info("pair %s: its hosts are as they were before the run", pair)

    def is_left(self, pair: str, sentences: Sequence[str]) -> None:
        """Notes what is left changed on the hosts of a pair."""
        error = HostLeftChangedError("\n".join(sentences), hint=RESTORE_HINT, certain=True)
        self._doubtful.pop(pair, None)
        self._certain[pair] = error
        self._untold.append(f"pair {pair}: {error}")

    def put_back(self, pair: str) -> None:
        """Notes that a new agent has found the hosts of a pair, and has put back what was left."""
        self._doubtful.pop(pair, None)

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Pairs of whose hosts nobody knows whether they are as they were."""
        return tuple(self._doubtful)

    def forbids(self, pair: str) -> LabError | None:
        """Returns why a pair is not used again in this run; None if it may be."""
        return self._certain.get(pair)

    def tell(self, *, last: bool = False) -> list[str]:
        """Returns what nobody was told yet.

        Args:
            last: Whether no agent will look at the hosts any more, so that doubts stay.
        """
        told, self._untold = self._untold, []
        if last:
            told += [f"pair {pair}: {error}" for pair, error in self._doubtful.items()]
            self._doubtful.clear()
        return told


def attach(report: pytest.TestReport, left: LeftChanged) -> None:
    """Puts what nobody was told yet on a report."""
    told = left.tell()
    if told:
        setattr(report, KEY, told)


def sentences_of(report: pytest.TestReport) -> list[str]:
    """Returns what a report carries."""
    return list(getattr(report, KEY, ()))
