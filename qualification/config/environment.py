"""Environment variables in the texts of a file: ``${NAME}`` and ``${NAME:-default}``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

VARIABLE_NAME = "[A-Za-z_][A-Za-z0-9_]*"

_VARIABLE = re.compile(
    rf"\$(?:(?P<dollar>\$)|\{{(?P<name>{VARIABLE_NAME})(?::-(?P<default>[^}}]*))?\}}|(?P<open>\{{))"
)


class FromEnvironment(str):
    """A text in which environment variables were substituted.

    Attributes:
        source: The text as it is in the file, with its ``${NAME}``.
    """

    __slots__ = ("source",)
    source: str

    def __new__(cls, text: str, source: str) -> FromEnvironment:
        """Creates the text and keeps its source."""
        self = super().__new__(cls, text)
        self.source = source
        return self


def substitute(text: str, environ: Mapping[str, str], refuse: Callable[[str, str], None]) -> str:
    """Substitutes the variables in a text, and replaces ``$$`` by a dollar.

    Args:
        text: The text. As in a shell, a default replaces a variable that is unset or empty.
        environ: The variables by name.
        refuse: Called with what is wrong and a hint, for each variable that cannot be substituted.

    Returns:
        A `FromEnvironment` if there were variables, otherwise a plain text.
    """
    variables = 0

    def value(match: re.Match[str]) -> str:
        nonlocal variables
        name, default = match["name"], match["default"]
        if match["dollar"]:
            return "$"
        if match["open"]:
            hint = "write ${NAME} or ${NAME:-default}, and $$ for a dollar"
            refuse("'${' begins no variable name", hint)
            return match[0]
        variables += 1
        if default is None and name not in environ:
            hint = f"export {name}, or give a default: ${{{name}:-…}}"
            refuse(f"the environment variable {name} is not set", hint)
        return environ.get(name) or default or ""

    result = _VARIABLE.sub(value, text)
    return FromEnvironment(result, text) if variables else result


def escape(text: str) -> str:
    """Returns the text from which `substitute` makes the given one."""
    return text.replace("$", "$$")
