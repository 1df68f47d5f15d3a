"""Logs the requests to agents and their answers: short, and without the bytes of any payload."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, TypeVar

from qualification.errors import AgentError

T = TypeVar("T")

MOST = 200
"""The most characters of a summary."""
_MOST_STRING = 60
_MOST_ENTRIES = 24
_DEPTH = 2

_log = logging.getLogger("vxqual.agent")


def logged(host: str, op: str, args: Mapping[str, Any], request: Callable[[], T]) -> T:
    """Makes a request to an agent, and logs it, its answer and its duration.

    Args:
        host: The host's name.
        op: The request's name.
        args: Its arguments.
        request: Sends it and returns the answer.
    """
    debug = _log.isEnabledFor(logging.DEBUG)
    if debug:
        _log.debug("%s: request %r: %s", host, op, summary(args))
    started = time.monotonic()
    try:
        answer = request()
    except AgentError as error:
        seconds, what = time.monotonic() - started, clipped(error.what)
        _log.info(
            "%s: request %r failed after %.3f s (%s): %s", *(host, op, seconds, error.kind, what)
        )
        raise
    if debug:
        seconds = time.monotonic() - started
        _log.debug(
            "%s: request %r answered after %.3f s: %s", *(host, op, seconds, summary(answer))
        )
    return answer


def log_report(host: str, report: Any) -> None:
    """Logs an agent's closing report: what it undid, and what it could not undo."""
    lines = [str(line) for line in report] if isinstance(report, list) else []
    _log.info("%s: closing report: %d changes", host, len(lines))
    for line in lines:
        _log.info("%s: undo: %s", host, clipped(line))


def summary(value: Any) -> str:
    """Returns one line about a request's arguments or about its answer.

    Of a list only the length is shown, and so is that of a long string: the bytes of frames and
    payloads travel in these, as base64.

    Args:
        value: JSON values, and dataclasses of them.
    """
    return clipped(_text(value, _DEPTH))


def clipped(text: str) -> str:
    """Returns a text as one line of at most `MOST` characters."""
    line = " ".join(text[: 4 * MOST].split())
    return line if len(line) <= MOST else line[: MOST - 3] + "..."


def _text(value: Any, depth: int) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = vars(value)
    if isinstance(value, Mapping):
        if not depth:
            return f"{{{len(value)}}}"
        shown = [f"{key}={_text(each, depth - 1)}" for key, each in _first(value)]
        return f"{{{' '.join(shown)}}}"
    if isinstance(value, list | tuple):
        return f"[{len(value)}]"
    if isinstance(value, bytes | bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > _MOST_STRING:
        return f"<{len(value)} characters>"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _first(value: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return list(islice(value.items(), _MOST_ENTRIES))
