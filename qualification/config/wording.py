"""How problems with a topology are worded: values, key paths, and the nearest known name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from .environment import FromEnvironment

Loc = tuple[str | int, ...]
"""A key path: keys of mappings and, counted from 0, items of lists."""


class Objection(NamedTuple):
    """Something wrong, where, and what to do about it."""

    loc: Loc
    what: str
    hint: str | None = None


def short(text: str, longest: int = 60) -> str:
    """The text in quotes, cut where it is too long for a message."""
    return repr(text if len(text) <= longest else f"{text[: longest - 1]}…")


def shown(value: object) -> str:
    """The value as an error message shows it: short, and in the words of YAML."""
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = short(value) if isinstance(value, str) else str(value)
    if isinstance(value, bool):
        return text.lower()
    return f"{text} (from {value.source})" if isinstance(value, FromEnvironment) else text


def key_path(loc: Loc) -> str:
    """The key path as people write it, such as ``hosts.alpha.nics.port0.underlay[1]``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w-]+", part):
            text += f".{part}" if text else part
        else:
            text += f"[{short(part)}]"
    return text


def suggestion(name: str, known: Iterable[str]) -> str:
    """The known name that was probably meant, or else all there are; to put behind a message."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return "; known here: " + ", ".join(names) if names else ""
