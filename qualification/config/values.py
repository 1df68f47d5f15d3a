"""Kinds of single values that several forms of file use, each with its rule in words.

Pydantic's own kinds accept too much for files that people write: an integer accepts `true`, a
switch accepts `yes`. These accept only what YAML means by the value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from .wording import shown

NAME = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""Regular expression of a `Name`."""
CONTROLS = r"\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
"""The characters that no text for people has, inside the brackets of a regular expression: controls
(C0, C1), marks without width, line separators and overrides of the direction."""


def objection(what: str, hint: str | None = None) -> PydanticCustomError:
    """Returns an error for a validator to raise; pydantic adds the key path.

    Args:
        what: What is wrong with the value.
        hint: What the user can do about it.
    """
    return PydanticCustomError("objection", "{what}", {"what": what, "hint": hint})


@dataclass(frozen=True)
class Shape:
    """The form that a text must have.

    Attributes:
        pattern: A regular expression that the whole text must match.
        rule: The same in words, which continue the text in an error message.
    """

    pattern: str
    rule: str

    def check(self, text: str) -> str:
        """Returns the text.

        Raises:
            PydanticCustomError: The text does not match the pattern.
        """
        if not re.fullmatch(self.pattern, text):
            raise objection(f"{shown(text)} {self.rule}")
        return text

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^{self.pattern}$"}


class OrVariable:
    """Makes the JSON schema accept ``${NAME}`` too, because it sees files before substitution."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "string", "pattern": r"\$\{"}]}


def no_flag(value: object) -> object:
    """Returns the value of an integer field.

    Raises:
        PydanticCustomError: The value is a boolean, which pydantic would take for 0 or 1.
    """
    if isinstance(value, bool):
        raise objection(f"must be a whole number, not {shown(value)}")
    return value


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if isinstance(value, str) and word in ("true", "false"):
        return word == "true"
    hint = "write true or false"
    if word in ("yes", "on", "y", "1"):
        hint = "write true"
    if word in ("no", "off", "n", "0"):
        hint = "write false"
    raise objection(f"must be true or false, not {shown(value)}", hint)


Name = Annotated[
    str,
    Shape(NAME, "must begin with a letter or digit and go on with those, '_' or '-'"),
]
"""A name that the file gives to one of its entries; it may appear in test ids."""

Line = Annotated[str, Shape(f"[^{CONTROLS}]+", "must be one line of text, and not empty")]
"""One line of text."""

Whole = Annotated[int, BeforeValidator(no_flag), OrVariable()]
"""An integer."""

Switch = Annotated[bool, BeforeValidator(_flag)]
"""A boolean."""
