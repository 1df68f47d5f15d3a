"""Versions of firmware and kernels in their natural order, and ranges of them.

No packaging standard knows "8.30 0x8000af86" or "6.18.44-1-amd64", so numbers are compared as
numbers and words as words, part by part. Where that says nothing, a version is in no range.
"""

from __future__ import annotations

import re
from itertools import zip_longest

_PART = re.compile(r"0[xX][0-9A-Fa-f]+|[0-9]+|[A-Za-z]+")
_ZERO = (0, "")
_VERSION = r"[^,<>=!*]*[0-9][^,<>=!*]*"
_CONDITION = rf"\s*(==|!=|<=|>=|<|>)?\s*({_VERSION})"
RANGE = rf"(\*|{_CONDITION}(,{_CONDITION})*)"
"""What a range looks like: "*", or conditions with commas between that must all hold."""


def within(version: str, wanted: str) -> bool:
    """Whether a version is in a range.

    A condition looks at as many parts as it names: "8.30 0x8000af86" is ==8.30 and <=8.30, and
    not >8.30. Parts that a version lacks count as 0. A part that is a word where the condition has
    a number, or the other way about, cannot be compared: the version is not in the range.

    Args:
        version: Such as "8.30 0x8000af86".
        wanted: Such as ">=8.0, <9.20"; a version alone means ==.
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
    """Below 0, 0 or above 0 for a version before, at or behind a bound; None if nobody can say."""
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
    """Numbers as (number, ""), words as (0, word)."""
    return [
        (int(part, 16 if part[:2].lower() == "0x" else 10), "")
        if part[0].isdecimal()
        else (0, part.lower())
        for part in _PART.findall(version)
    ]
