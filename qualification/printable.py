r"""Makes text that others wrote harmless to show: on a terminal, in a log, in every report.

Names of interfaces, firmware and counters, kernel logs and errors come from hosts, and a host may
be broken or somebody else's. What is not printable is shown as Python would write it: ESC as
`\x1b`, a bidirectional override as `\u202e`. So no text moves the cursor, hides or forges a line,
turns the direction of writing, or is invalid in XML (the control characters, XML 1.0, 2.2) or in
UTF-8 (lone surrogates).
"""

from __future__ import annotations

from typing import Any

_MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;"} | {c: f"\\{c}" for c in "\\`*_[]|"}


def printable(text: str, *, lines: bool = False) -> str:
    r"""Returns a text with every character that is not printable written as an escape.

    Printable is what `str.isprintable` says: no control or format character (C0, C1, bidirectional
    overrides, zero width), no line separator, surrogate or code point without a character.

    Args:
        text: The text.
        lines: Whether line feeds and tabs stay.
    """
    if text.isprintable():
        return text
    kept = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in kept else c.encode("unicode_escape").decode() for c in text
    )


def markdown(text: str) -> str:
    r"""Returns a text for one line or table cell of Markdown, in which nothing of it is markup.

    Allure's descriptions are Markdown, too, whose HTML a browser would run.
    """
    return "".join(_MARKUP.get(c, c) for c in printable(text))


def code(text: str) -> str:
    """Returns a text as a code span of Markdown; it has no backtick then, and no pipe."""
    shown = printable(text).replace("`", "'").replace("|", "¦")
    return f"`{shown}`"


def inert(value: Any, *, lines: bool = False) -> Any:
    """Returns a JSON value with `printable` done to all its strings, also to the keys.

    Args:
        value: As `untrusted.json_value` returns it, which bounds its depth.
        lines: Whether line feeds and tabs stay.
    """
    if isinstance(value, str):
        return printable(value, lines=lines)
    if isinstance(value, dict):
        return {printable(key): inert(inside, lines=lines) for key, inside in value.items()}
    if isinstance(value, list):
        return [inert(inside, lines=lines) for inside in value]
    return value
