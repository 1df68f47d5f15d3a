"""Exchanges lines with a command that runs on a host."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable

import paramiko

from qualification.messages.protocol import HEARTBEAT, LINE_LIMIT

from .channel import lost

_LAST_WORDS_SECONDS = 2.0
_LAST_WORDS_LINES = 8


class Lines:
    """The streams of a channel, read and written line by line.

    A thread reads each of the two outputs: they share one SSH window, so a command whose stderr is
    not read could not write to its stdout either. A third thread sends empty lines as the
    heartbeat.
    """

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._stdout: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._stderr: deque[bytes | None] = deque(maxlen=_LAST_WORDS_LINES)
        self._sending = threading.Lock()
        self._closing = threading.Event()
        self._listener = self._thread(_pump, channel.recv_stderr, self._stderr.append)
        self._thread(_pump, channel.recv, self._stdout.put)
        self._thread(self._beat)

    def send(self, line: bytes) -> None:
        """Sends a line.

        Raises:
            OSError: The command has ended.
        """
        with self._sending:
            self._channel.sendall(line + b"\n")

    def receive(self, deadline: float) -> bytes:
        """Returns the next line.

        Args:
            deadline: How long to wait for it, as a time of the monotonic clock.

        Raises:
            TimeoutError: No line arrived in time.
            EOFError: The output has ended.
        """
        try:
            line = self._stdout.get(timeout=max(deadline - time.monotonic(), 0))
        except queue.Empty:
            raise TimeoutError from None
        if line is None:
            raise EOFError
        return line

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
        return [line.decode(errors="replace") for line in self._stderr if line]

    def close(self, patience: float) -> bool:
        """Ends the command's input, waits for the command to end, then closes the channel.

        Args:
            patience: Seconds to wait.

        Returns:
            Whether the command ended in that time.
        """
        self._closing.set()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.shutdown_write()
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
                self.send(b"")
            except (OSError, EOFError):
                return


def _pump(receive: Callable[[int], bytes], put: Callable[[bytes | None], object]) -> None:
    """Passes a stream on line by line, and None at its end."""
    pending = bytearray()
    while len(pending) <= LINE_LIMIT and (chunk := receive(1 << 16)):
        first, *others = chunk.split(b"\n")
        pending += first
        for part in others:
            put(bytes(pending))
            pending = bytearray(part)
    if pending:
        put(bytes(pending))
    put(None)
