"""The agent's side of the conversation: JSON lines on the SSH channel's own stdin and stdout.

Orders run one after another on the main thread, while another thread watches for every way in which
the conversation can end. However it ends, the host is restored.

The agent keeps no log. The controller logs every order with its answer and duration, and the answer
to "bye" has a line for each undo. What an agent undoes after its channel was lost could be written
nowhere; what it could not undo, the next agent undoes and reports ("recovered").

This module needs nothing but Python 3.9 and its standard library, as it runs on the hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from qualification.messages.protocol import (
    ANSWER_LIMIT,
    LINE_LIMIT,
    PROTOCOL,
    SILENCE,
    AgentProblem,
    encoded,
    fields_of,
)

_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_READ = 1 << 16
_PIECE = 4096  # PIPE_BUF: poll(2) reports a pipe as writable if this much fits without blocking


class Context(NamedTuple):
    """The first argument of every operation.

    Attributes:
        stop: Set when the conversation has ended; a long operation polls it and returns.
        emit: Sends one event, a JSON value, to the caller. Any thread may call it.
    """

    stop: threading.Event
    emit: Callable[[Any], None]


Operation = Callable[..., Any]


def claim_stdio() -> tuple[int, int]:
    """Reserves stdin and stdout for the protocol; from now on a stray print goes to stderr.

    Returns:
        The descriptors to read requests from and to write replies to.
    """
    stdin, stdout = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return stdin, stdout


def serve(
    operations: Mapping[str, Operation],
    on_end: Callable[[], Any],
    *,
    stdin: int,
    stdout: int,
    silence: float = SILENCE,
) -> None:
    """Answers requests until the conversation ends, then undoes. For the main thread only.

    Args:
        operations: By name. They are called with a `Context` and the request's args as keywords,
            and return a JSON value or a dataclass of them, or raise `AgentProblem`.
        on_end: The undo, which returns a JSON value for the answer to "bye". It runs exactly once.
        stdin: Descriptor to read from.
        stdout: Descriptor to write to.
        silence: Seconds without a byte from the controller after which it counts as gone.
    """
    reader = _Reader(stdin, _catch_signals(), silence)
    writer = _Writer(stdout, reader.stop)
    undone = False

    def undo() -> Any:
        nonlocal undone
        if undone:
            return None
        undone = True  # first, so that an undo that fails is not tried again within itself
        return on_end()

    def bye(_context: Context) -> Any:
        try:
            return undo()
        finally:
            reader.stop.set()

    try:
        writer.send(
            {
                "vxqual": 1,
                "version": PROTOCOL,
                "python": list(sys.version_info[:3]),
                "pid": os.getpid(),
                "uid": os.geteuid(),
            }
        )
        reader.start()
        table = {**operations, "bye": bye}
        while not reader.stop.is_set():
            line = reader.lines.get()
            if line is not None:
                _answer(line, table, writer)
    finally:
        undo()
    if reader.why:  # written last, as stderr may be closed like the rest
        with contextlib.suppress(OSError):
            print(f"agent: {reader.why}", file=sys.stderr, flush=True)


def _answer(line: bytes, operations: Mapping[str, Operation], writer: _Writer) -> None:
    """Carries out one request and replies exactly once, also if it fails."""
    request = None
    try:
        message = _parse(line)
        request = message["id"]
        operation = operations.get(str(message.get("op")))
        if operation is None:
            raise AgentProblem("unknown-operation", f"no operation {message.get('op')!r}")
        args = message.get("args", {})
        if not isinstance(args, dict):
            raise AgentProblem("malformed-request", "args: must be an object")
        context = Context(writer.stop, lambda event: writer.send({"id": request, "event": event}))
        result = operation(context, **args)
        writer.send({"id": request, "result": result})
    except AgentProblem as problem:
        writer.send({"id": request, "error": problem.as_json()}, str)
    except Exception as error:
        crash = AgentProblem(
            "internal", f"{type(error).__name__}: {error}", traceback=traceback.format_exc()
        )
        writer.send({"id": request, "error": crash.as_json()})


def _parse(line: bytes) -> dict[str, Any]:
    if len(line) > LINE_LIMIT:
        raise AgentProblem("malformed-request", f"a request of more than {LINE_LIMIT} bytes")
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AgentProblem("malformed-request", f"not JSON: {error}") from None
    if not isinstance(message, dict) or type(message.get("id")) is not int:
        raise AgentProblem("malformed-request", "not an object with a number as its id")
    return message


class _Reader(threading.Thread):
    """Reads requests and watches for the end, also while an operation runs.

    Attributes:
        lines: Requests in their order; None at the end.
        stop: Set at the end.
        why: What ended the conversation, once it has ended.
    """

    def __init__(self, requests: int, signals: int, silence: float) -> None:
        super().__init__(name="vxqual-reader", daemon=True)
        self._requests, self._signals, self._silence = requests, signals, silence
        # A SimpleQueue, because the main thread can handle signals while it waits in get().
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.stop = threading.Event()
        self.why: str | None = None

    def run(self) -> None:
        try:
            self.why = self._read()
        except Exception as error:  # whatever failed, the host must be restored
            self.why = f"the channel broke: {error!r}"
        self.stop.set()
        self.lines.put(None)

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


class _Writer:
    """Writes whole lines. When a write fails, the conversation has ended."""

    def __init__(self, descriptor: int, stop: threading.Event) -> None:
        self._descriptor, self.stop = descriptor, stop
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any], other: Callable[[Any], Any] = fields_of) -> None:
        line = memoryview(encoded(message, other) + b"\n")
        if len(line) > ANSWER_LIMIT:
            raise AgentProblem("reply-too-large", f"a reply of {len(line)} bytes")
        with self._lock:
            try:
                self._write(line)
            except OSError:
                self.stop.set()

    def _write(self, line: memoryview) -> None:
        for start in range(0, len(line), _PIECE):
            # A controller that has stopped reading must not block us after the end.
            while not select.select([], [self._descriptor], [], 0.5)[1]:
                if self.stop.is_set():
                    return
            os.write(self._descriptor, line[start : start + _PIECE])


def _catch_signals() -> int:
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
