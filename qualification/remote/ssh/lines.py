"""Exchanges lines with a command that runs on a host."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import paramiko

from qualification.messages.protocol import HEARTBEAT

from .channel import left, lost
from .line_queue import LastWords, LineQueue

_LAST_WORDS_SECONDS = 2.0
_PIECE = 1 << 16


class Lines:
    """The streams of a channel, read and written line by line.

    A thread reads each of the two outputs: they share one SSH window, so a command whose stderr is
    not read could not write to its stdout either. A third thread sends empty lines as the
    heartbeat.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._stdout = LineQueue()
        self._stderr = LastWords()
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._listener = self._thread(self._stderr.pump, channel.recv_stderr)
        self._thread(self._stdout.pump, channel.recv)
        self._thread(self._beat)

    def send(self, line: bytes, deadline: float) -> None:
        """Sends a line.

        Args:
            line: The line, without its line feed.
            deadline: When the command must have taken all of it, as a time of the monotonic clock.

        Raises:
            TimeoutError: It has not; the rest of the line is never sent.
            OSError: The command has ended.
        """
        if not self._sending.acquire(timeout=left(deadline)):
            raise TimeoutError
        try:
            rest = memoryview(line + b"\n")
            while rest:
                if not (seconds := left(deadline)):
                    raise TimeoutError
                self._channel.settimeout(seconds)
                count = self._channel.send(bytes(rest[:_PIECE]))
                if not count:
                    raise OSError("the channel is closed")
                rest = rest[count:]
        finally:
            self._channel.settimeout(None)
            self._sending.release()

    def receive(self, deadline: float) -> bytes:
        """Returns the next line.

        Args:
            deadline: How long to wait for it, as a time of the monotonic clock.

        Raises:
            TimeoutError: No line arrived in time.
            EOFError: The output has ended.
            LineTooLongError: The line is too long.
        """
        return self._stdout.get(deadline)

    def ending(self) -> str:
        """Returns how the command ended; call it after the end."""
        self._channel.status_event.wait(_LAST_WORDS_SECONDS)
        if lost(self._channel):
            return "the SSH connection was lost"
        status = self._channel.exit_status
        if status < 0:
            return "the agent was killed by a signal"
        return f"the agent ended with status {status}"

    def last_words(self) -> list[str]:
        """Returns the last lines that the command wrote to stderr; call it after the end."""
        self._listener.join(_LAST_WORDS_SECONDS)
        return self._stderr.lines()

    def end_input(self) -> None:
        """Ends the command's input; its output can still be received."""
        self._closing.set()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()

    def close(self, patience: float) -> bool:
        """Ends the command's input, waits for the command to end, then closes the channel.

        Args:
            patience: Seconds to wait.

        Returns:
            Whether the command ended in that time.
        """
        self.end_input()
        self._stdout.discard()
        ended = self._channel.status_event.wait(patience)
        self._channel.close()
        return ended

    def _thread(self, target: Callable[..., None], *args: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    def _beat(self) -> None:
        """Sends the heartbeat, without which the agent would restore the host and exit."""
        while not self._closing.wait(HEARTBEAT):
            try:
                self.send(b"", time.monotonic() + HEARTBEAT)
            except (OSError, EOFError):
                return
