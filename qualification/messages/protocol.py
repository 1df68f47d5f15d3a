"""The protocol between controller and agent: JSON lines on the SSH channel's stdin and stdout.

::

    <- {"vxqual":1,"version":1,"python":[3,11,7],"pid":4711,"uid":0}     the greeting, once
    -> {"id":1,"op":"send","args":{"frames":100}}
    <- {"id":1,"event":{"sent":50}}                                      any number of them
    <- {"id":1,"result":{"sent":100}}                                    or {"id":1,"error":{...}}
    -> {"id":2,"op":"bye","args":{}}
    <- {"id":2,"result":[…]}                                             the closing report
    <- {"id":null,"report":[…]}                                          the same without a "bye"

Lines are ASCII; bytes are sent as base64. An empty line is a heartbeat and is not answered.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

PROTOCOL = 1
LINE_LIMIT = 64 << 20
"""The most bytes of an order; the frames of a packet set are in some."""
ANSWER_LIMIT = 16 << 20
"""The most bytes of the agent's lines: the largest answers have some 6 MB, of 64 bad frames with
64 KB each. What the controller has not read yet is bounded by it as well."""
HEARTBEAT = 15.0
"""Seconds between the controller's empty lines."""
SILENCE = 90.0
"""Seconds without a byte after which the controller counts as gone; it tells the agent. sshd would
notice a cut cable only after hours, and the host must not stay changed for so long."""


class AgentProblem(Exception):  # noqa: N818  (it is a reply, not a crash)
    """An order cannot be carried out; the controller raises it as an `AgentError`.

    Args:
        kind: A word for programs, such as "no-such-interface".
        message: What is wrong, in one sentence without a full stop.
        hint: What to do next.
        **data: JSON values with details.
    """

    def __init__(self, kind: str, message: str, hint: str | None = None, **data: Any) -> None:
        super().__init__(message)
        self.kind, self.message, self.hint, self.data = kind, message, hint, data

    def as_json(self) -> dict[str, Any]:
        """Returns the value of "error" in a reply."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint, "data": self.data}


def fields_of(value: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass; the `default` of `json.dumps`.

    Raises:
        TypeError: The value is no dataclass.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return vars(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def encoded(message: Mapping[str, Any], other: Callable[[Any], Any] = fields_of) -> bytes:
    """Encodes a message as one line, without the line feed.

    Args:
        message: JSON values and dataclasses, which become objects of their fields.
        other: Makes a JSON value of a value that is none.

    Raises:
        TypeError: A value has no JSON form.
        ValueError: A number has no JSON form.
    """
    text = json.dumps(message, separators=(",", ":"), allow_nan=False, default=other)
    return text.encode("ascii")
