"""Reads JSON that others wrote, with bounds on the memory and the time that it can cost.

An agent may have been replaced, and a stored run may be anybody's. `json.loads` alone lets 16 MB of
"[]," become a gigabyte of lists, and ends in a `RecursionError` where brackets are nested deeply.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST_VALUES = 1 << 18
"""Values in one text. The largest answers, of samples and shapes, have some ten thousands."""
MOST_DEPTH = 64
"""Arrays and objects inside each other; messages have less than ten."""

_LONG = re.compile(rb"\d{19}")


class UntrustedError(ValueError):
    """A text is not JSON that may be read; the message says why, in a part of a sentence."""


def json_value(text: bytes, *, most_values: int = MOST_VALUES) -> Any:
    """Reads one JSON value.

    Args:
        text: ASCII or UTF-8; its size is bounded by the caller.
        most_values: Strings, numbers, arrays and so on that it may consist of.

    Raises:
        UntrustedError: It is not JSON (NaN and Infinity are not, RFC 8259, 6), or has too many
            values or too deep ones.
    """
    # Each value but the first follows a comma or an opening bracket; those in strings count, too.
    if sum(map(text.count, (b",", b"[", b"{"))) >= most_values:
        raise UntrustedError(f"more than {most_values} values")
    try:
        value = json.loads(
            text.decode("utf-8"),
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole if _LONG.search(text) else None,
        )
    except RecursionError:
        raise UntrustedError("values that are nested too deeply") from None
    except UntrustedError:
        raise
    except UnicodeDecodeError:
        raise UntrustedError("bytes that are not UTF-8") from None
    except ValueError as error:
        raise UntrustedError(f"no JSON ({str(error)[:100]})") from None
    _check_depth(value)
    return value


def _no_number(name: str) -> float:
    raise UntrustedError(f"{name}, which is no number of JSON")


def _whole(text: str) -> int:
    number = int(text)
    if not -(1 << 63) <= number < 1 << 64:
        raise UntrustedError("a whole number of more than 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise UntrustedError("a number that is too large")
    return number


def _check_depth(value: Any) -> None:
    """Walks level by level, so that the walk itself does not recurse."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [
            inside
            for outer in level
            if isinstance(outer, (list, dict))
            for inside in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inside, (list, dict))
        ]
        if not level:
            return
    raise UntrustedError("values that are nested too deeply")
