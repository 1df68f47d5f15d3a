"""Decodes the arguments of orders by the signatures of the functions that carry them out."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from qualification.messages.decode import DecodeError, decode_arguments
from qualification.messages.protocol import AgentProblem


def decoding(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an operation that takes its arguments as JSON values.

    Args:
        operation: Takes a `Context` and message classes as keyword-only parameters.

    Raises:
        AgentProblem: (by the operation that is returned) "malformed-request": an argument is
            unknown, missing or of the wrong type; the message begins with its path.
    """

    @wraps(operation)
    def decoded(context: Any, /, **arguments: Any) -> Any:
        try:
            values = decode_arguments(operation, arguments)
        except DecodeError as error:
            raise AgentProblem("malformed-request", str(error)) from None
        return operation(context, **values)

    return decoded
