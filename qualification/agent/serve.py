"""The agent's side of the conversation: JSON lines on the SSH channel's own stdin and stdout.

Orders run one after another on the main thread, while another thread watches for every way in which
the conversation can end. However it ends, the host is restored.

The agent keeps no log. The controller logs every order with its answer and duration. The closing
report has a line for each undo; it is the answer to "bye", or the last line of an agent that ends
for another reason. What an agent undoes after its channel was lost could be written nowhere; what
it could not undo, the next agent undoes and reports ("recovered").

This module needs nothing but Python 3.9 and its standard library, as it runs on the hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from qualification.messages.closing import ORDER_NOT_ENDED
from qualification.messages.protocol import LINE_LIMIT, PROTOCOL, SILENCE, AgentProblem

from .streams import Reader, Writer, catch_signals

STUCK = 15.0
"""Seconds after the end for which an order may go on; afterwards the host is put back beside it."""
_REPORT_SECONDS = 5.0
_STUCK_STATUS = 70  # EX_SOFTWARE of sysexits.h
_LONGEST_END = 90.0
"""Seconds that putting the host back may take; the journal keeps what is not undone by then."""


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
    stuck: float = STUCK,
) -> None:
    """Answers requests until the conversation ends, then undoes. For the main thread only.

    Args:
        operations: By name. They are called with a `Context` and the request's args as keywords,
            and return a JSON value or a dataclass of them, or raise `AgentProblem`.
        on_end: The undo, which returns a JSON value for the answer to "bye". It runs exactly once.
        stdin: Descriptor to read from.
        stdout: Descriptor to write to.
        silence: Seconds without a byte from the controller after which it counts as gone.
        stuck: Seconds after the end for which an order may go on; then the undo runs beside it, and
            the process ends.
    """
    end = _End(on_end, stuck)
    reader = Reader(stdin, catch_signals(), silence, end.watch)
    writer = end.writer = Writer(stdout, reader.stop)

    def bye(_context: Context) -> Any:
        try:
            return end.undo()
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
        end.undo_and_report()
    if reader.why:  # written last, as stderr may be closed like the rest
        with contextlib.suppress(OSError):
            print(f"agent: {reader.why}", file=sys.stderr, flush=True)


class _End:
    """The end of a conversation: the undo, which runs once, and the report of it.

    Args:
        on_end: The undo.
        stuck: Seconds after the end for which an order may go on.

    Attributes:
        writer: Takes the report.
    """

    writer: Writer

    def __init__(self, on_end: Callable[[], Any], stuck: float) -> None:
        self._on_end, self._stuck = on_end, stuck
        self._begun, self._done = threading.Lock(), threading.Event()

    def undo(self) -> Any:
        """Undoes, the first time; returns its report, and None later on."""
        # Taken for ever: an undo that fails is not tried again within itself.
        if not self._begun.acquire(blocking=False):
            self._done.wait(_LONGEST_END)  # another thread is at it
            return None
        try:
            return self._on_end()
        finally:
            self._done.set()

    def undo_and_report(self, also: Sequence[str] = ()) -> None:
        """Undoes, unless it was done, and reports without having been asked."""
        if self._done.is_set():
            return
        try:
            report = self.undo()
        except BaseException as error:
            self.writer.send({"id": None, "error": _problem(error)}, str, _REPORT_SECONDS)
            raise
        if report is not None:
            report = [*also, *report] if isinstance(report, list) else report
            self.writer.send({"id": None, "report": report}, str, _REPORT_SECONDS)

    def watch(self) -> None:
        """Ends the process, whatever an order or the undo is waiting for."""
        if not self._done.wait(self._stuck) and not self._begun.locked():
            why = f"{ORDER_NOT_ENDED}: it goes on {self._stuck:g} s after the end"
            with contextlib.suppress(BaseException):
                self.undo_and_report([why])
            os._exit(_STUCK_STATUS)
        if not self._done.wait(_LONGEST_END):
            os._exit(_STUCK_STATUS)


def _answer(line: bytes, operations: Mapping[str, Operation], writer: Writer) -> None:
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
    except Exception as error:
        writer.send({"id": request, "error": _problem(error)}, str)


def _problem(error: BaseException) -> dict[str, Any]:
    """Returns what a reply says of an error; a crash carries its traceback."""
    if isinstance(error, AgentProblem):
        return error.as_json()
    text = f"{type(error).__name__}: {error}"
    return AgentProblem("internal", text, traceback=traceback.format_exc()).as_json()


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
