"""The words of problems with a file: values, key paths, and the nearest known name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from .environment import FromEnvironment

Loc = tuple[str | int, ...]
"""A key path: keys of mappings, and numbers of list items, counted from 0."""


class Objection(NamedTuple):
    """Something that is wrong with the content of a file.

    Attributes:
        loc: The key path of the value.
        what: What is wrong with it.
        hint: What the user can do about it.
    """

    loc: Loc
    what: str
    hint: str | None = None


def short(text: str, longest: int = 60) -> str:
    """Returns the text in quotes, truncated if it is too long for a message."""
    return repr(text if len(text) <= longest else f"{text[: longest - 1]}…")


def shown(value: object) -> str:
    """Returns the value as an error message shows it: short, and in YAML's words."""
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
    """Returns a key path as people write it, such as ``fleet.alpha.ports[1]``."""
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
    """Returns the end of a message about an unknown name.

    Args:
        name: The unknown name.
        known: The known names.

    Returns:
        The known name that is most similar, or else all known names.
    """
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return "; known here: " + ", ".join(names) if names else ""
