"""Compares versions of firmware and kernels, and matches them with ranges.

No packaging standard has versions like "8.30 0x8000af86" or "6.18.44-1-amd64", so numbers are
compared as numbers and words as words, part by part. A version that cannot be compared is in no
range.
"""

from __future__ import annotations

import re
from itertools import zip_longest

_PART = re.compile(r"0[xX][0-9A-Fa-f]+|[0-9]+|[A-Za-z]+")
_ZERO = (0, "")
_VERSION = r"[^,<>=!*]*[0-9][^,<>=!*]*"
_CONDITION = rf"\s*(==|!=|<=|>=|<|>)?\s*({_VERSION})"
RANGE = rf"(\*|{_CONDITION}(,{_CONDITION})*)"
"""Pattern of a range: "*", or conditions separated by commas, which must all hold."""


def within(version: str, wanted: str) -> bool:
    """Returns whether a version is in a range.

    A condition looks at as many parts as it names: "8.30 0x8000af86" is ==8.30 and <=8.30, and
    not >8.30. Parts that a version lacks count as 0. A part that is a word where the condition has
    a number, or the reverse, cannot be compared: the version is not in the range.

    Args:
        version: The version, for example "8.30 0x8000af86".
        wanted: The range, for example ">=8.0, <9.20"; a version alone means ==.
    """
    if wanted.strip() == "*":
        return True
    return all(_holds(version, condition) for condition in wanted.split(","))


def _holds(version: str, condition: str) -> bool:
    match = re.fullmatch(_CONDITION, condition)
    order = _compare(version, match[2]) if match else None
    if match is None or order is None:
        return False
    return {
        "==": order == 0,
        "!=": order != 0,
        "<=": order <= 0,
        ">=": order >= 0,
        "<": order < 0,
        ">": order > 0,
    }[match[1] or "=="]


def _compare(version: str, bound: str) -> int | None:
    """Returns -1, 0 or 1 for a version below, at or above a bound; None if they do not compare."""
    right = _parts(bound)
    left = _parts(version)[: len(right)]
    if not left:
        return None
    for ours, theirs in zip_longest(left, right, fillvalue=_ZERO):
        if (ours[1] == "") != (theirs[1] == ""):
            return None
        if ours != theirs:
            return 1 if ours > theirs else -1
    return 0


def _parts(version: str) -> list[tuple[int, str]]:
    """Returns the parts of a version: numbers as (number, ""), words as (0, word)."""
    return [
        (int(part, 16 if part[:2].lower() == "0x" else 10), "")
        if part[0].isdecimal()
        else (0, part.lower())
        for part in _PART.findall(version)
    ]
