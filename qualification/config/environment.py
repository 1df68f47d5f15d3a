"""Environment variables in the texts of a topology file: ``${NAME}`` and ``${NAME:-default}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

VARIABLE_NAME = "[A-Za-z_][A-Za-z0-9_]*"

_VARIABLE = re.compile(
    rf"\$(?:(?P<dollar>\$)|\{{(?P<name>{VARIABLE_NAME})(?::-(?P<default>[^}}]*))?\}}|(?P<open>\{{))"
)


class FromEnvironment(str):
    """A text into which environment variables were put.

    Attributes:
        source: The text as the file has it, with its ``${NAME}``.
    """

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> FromEnvironment:
        """Keep the source beside the text."""
        self = super().__new__(cls, text)
        self.source = source
        return self


def substitute(text: str, environ: Mapping[str, str], refuse: Callable[[str, str], None]) -> str:
    """Put variables into a text, and make a dollar of every double one.

    Args:
        text: The text; as in a shell, a default stands for a variable that is unset or empty.
        environ: The variables by name.
        refuse: Called with what is wrong and a hint, for each variable that cannot be put in.

    Returns:
        A `FromEnvironment` if there were variables, else a plain text.
    """
    variables = 0

    def value(match: re.Match[str]) -> str:
        nonlocal variables
        name, default = match["name"], match["default"]
        if match["dollar"]:
            return "$"
        if match["open"]:
            hint = "write ${NAME} or ${NAME:-default}, and $$ for a dollar"
            refuse("'${' begins no variable that could be read", hint)
            return match[0]
        variables += 1
        if default is None and name not in environ:
            hint = f"export {name}, or give a default: ${{{name}:-…}}"
            refuse(f"the environment variable {name} is not set", hint)
        return environ.get(name) or default or ""

    result = _VARIABLE.sub(value, text)
    return FromEnvironment(result, text) if variables else result


def escape(text: str) -> str:
    """The text that `substitute` makes this one of."""
    return text.replace("$", "$$")
