"""The streams of an agent: reads lines from the controller, notices its end, writes whole lines."""

from __future__ import annotations

import os
import queue
import select
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

from qualification.messages.protocol import (
    ANSWER_LIMIT,
    LINE_LIMIT,
    AgentProblem,
    encoded,
    fields_of,
)

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_READ = 1 << 16
_PIECE = 4096  # PIPE_BUF: poll(2) reports a pipe as writable if this much fits without blocking


class Reader(threading.Thread):
    """Reads requests and watches for the end, also while an operation runs.

    Args:
        requests: Descriptor of the requests.
        signals: Descriptor that becomes readable when a signal ends the conversation.
        silence: Seconds without a byte after which the controller counts as gone.
        at_end: Is called on this thread, after the end.

    Attributes:
        lines: Requests in their order; None at the end.
        stop: Set at the end.
        why: What ended the conversation, once it has ended.
    """

    def __init__(
        self, requests: int, signals: int, silence: float, at_end: Callable[[], object]
    ) -> None:
        super().__init__(name="vxqual-reader", daemon=True)
        self._at_end = at_end
        self._requests, self._signals, self._silence = requests, signals, silence
        # A SimpleQueue, because the main thread can handle signals while it waits in get().
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.why: str | None = None

    def run(self) -> None:
        """Reads until the end, and says so."""
        try:
            self.why = self._read()
        except Exception as error:  # whatever failed, the host must be restored
            self.why = f"the channel broke: {error!r}"
        self.stop.set()
        self.lines.put(None)
        self._at_end()

    def _read(self) -> str:
        """Reads until the end; returns the reason for it."""
        pending = bytearray()
        while True:
            ready = select.select([self._requests, self._signals], [], [], self._silence)[0]
            if not ready:
                return f"no word from the controller for {self._silence:g} s"
            if self._signals in ready:
                ending = set(os.read(self._signals, _READ)) & set(_ENDING)
                if ending:
                    return f"ended by {signal.Signals(min(ending)).name}"
            if self._requests not in ready:
                continue
            chunk = os.read(self._requests, _READ)
            if not chunk:
                return "the channel ended"
            first, *others = chunk.split(b"\n")
            if len(pending) <= LINE_LIMIT:  # the rest of a line that is too long is dropped
                pending += first
            for part in others:
                if pending:
                    self.lines.put(bytes(pending))
                pending = bytearray(part)


class Writer:
    """Writes whole lines. When a write fails, the conversation has ended."""

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._descriptor, self.stop = descriptor, stop
        self._lock = threading.Lock()

    def send(
        self,
        message: Mapping[str, Any],
        other: Callable[[Any], Any] = fields_of,
        patience: float = 0.5,
    ) -> None:
        """Sends a message.

        Args:
            message: JSON values and dataclasses.
            other: Makes a JSON value of a value that is none.
            patience: Seconds after the end of the conversation for which a controller that does not
                read is waited for.

        Raises:
            AgentProblem: The message is too large.
        """
        line = memoryview(encoded(message, other) + b"\n")
        if len(line) > ANSWER_LIMIT:
            raise AgentProblem("reply-too-large", f"a reply of {len(line)} bytes")
        with self._lock:
            try:
                self._write(line, patience)
            except OSError:
                self.stop.set()

    def _write(self, line: memoryview, patience: float) -> None:
        for start in range(0, len(line), _PIECE):
            # A controller that has stopped reading must not block us after the end.
            while not select.select([], [self._descriptor], [], patience)[1]:
                if self.stop.is_set():
                    return
            os.write(self._descriptor, line[start : start + _PIECE])


def catch_signals() -> int:
    """Turns the signals that end an agent into bytes for the reader.

    They are not handled where they arrive: a handler that sets an Event can deadlock with the code
    that it interrupts.

    Returns:
        A descriptor that becomes readable when one arrives.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    for number in _ENDING:
        signal.signal(number, lambda *_: None)
    os.register_at_fork(after_in_child=_forget_signals)
    return readable


def _forget_signals() -> None:
    """Has a forked child die of its signals, and not report them to its parent's reader."""
    signal.set_wakeup_fd(-1)
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
