"""Splits what a command writes into lines, and keeps those that nobody has read yet, in bounds."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from qualification.messages.protocol import ANSWER_LIMIT

_READ = 1 << 16
_OVERHEAD = 64
"""Bytes of memory that a line costs beside its own."""
_LAST_WORDS_LINES = 8
_LAST_WORDS_BYTES = 1000


class LineTooLongError(ValueError):
    """A command has written more than `ANSWER_LIMIT` bytes without a line feed."""


class LineQueue:
    """The lines of one stream. Put by one thread, which waits while much is unread.

    So a command that writes more than it was asked for fills the SSH window and then waits, too.
    """

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._unread = 0
        self._changed = threading.Condition()
        self._discarding = False
        self._end: type[Exception] | None = None

    def pump(self, receive: Callable[[int], bytes]) -> None:
        """Reads a stream to its end, or up to a line that is too long; what follows is dropped.

        Args:
            receive: Returns up to that many bytes, none at the end; or raises TimeoutError where
                nothing arrived for a while.
        """
        pending = bytearray()
        while chunk := _chunk(receive):
            if self._end is not None:
                continue  # after a line that is too long; read, as stderr shares the window
            first, *others = chunk.split(b"\n")
            pending += first
            for part in others:
                self._put(bytes(pending))
                pending = bytearray(part)
            if len(pending) > ANSWER_LIMIT:
                pending.clear()
                self._finish(LineTooLongError)
        if pending:
            self._put(bytes(pending))
        self._finish(EOFError)

    def get(self, deadline: float) -> bytes:
        """Returns the next line.

        Args:
            deadline: How long to wait for it, as a time of the monotonic clock.

        Raises:
            TimeoutError: No line arrived in time.
            EOFError: The stream has ended.
            LineTooLongError: The next line is too long; nothing that follows it can be read.
        """
        with self._changed:
            while not self._lines:
                if self._end is not None:
                    raise self._end
                if not self._changed.wait(max(deadline - time.monotonic(), 0)):
                    raise TimeoutError
            line = self._lines.popleft()
            self._unread -= len(line) + _OVERHEAD
            self._changed.notify_all()
        return line

    def discard(self) -> None:
        """Drops all lines from now on, so that the command never waits for a reader."""
        with self._changed:
            self._discarding = True
            self._lines.clear()
            self._changed.notify_all()

    def _put(self, line: bytes) -> None:
        with self._changed:
            while self._unread > ANSWER_LIMIT and not self._discarding:
                self._changed.wait()
            if not self._discarding:
                self._lines.append(line)
                self._unread += len(line) + _OVERHEAD
                self._changed.notify_all()

    def _finish(self, end: type[Exception]) -> None:
        with self._changed:
            self._end = self._end or end
            self._changed.notify_all()


class LastWords:
    """The last lines of a stream, each cut to `_LAST_WORDS_BYTES`."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=_LAST_WORDS_LINES)

    def pump(self, receive: Callable[[int], bytes]) -> None:
        """Reads a stream to its end; `receive` is as that of `LineQueue.pump`."""
        pending = b""
        while chunk := _chunk(receive):
            first, *others = chunk.split(b"\n")
            pending = (pending + first)[:_LAST_WORDS_BYTES]
            for part in others:
                self._lines.append(pending)
                pending = part[:_LAST_WORDS_BYTES]
        self._lines.append(pending)

    def lines(self) -> list[str]:
        """Returns the lines that are not empty."""
        return [line.decode(errors="replace") for line in self._lines if line]


def _chunk(receive: Callable[[int], bytes]) -> bytes:
    while True:
        try:
            return receive(_READ)
        except TimeoutError:  # the channel's time limit, which is for the sending of an order
            continue
