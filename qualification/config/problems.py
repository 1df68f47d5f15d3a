"""Pydantic's errors, told in plain words at their places in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from .document import Document, FileProblem
from .wording import Loc, Objection, shown, suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ModelT = TypeVar("ModelT", bound=BaseModel)


def _nothing(document: Document, broken: set[Loc]) -> list[FileProblem]:  # noqa: ARG001
    return []


@dataclass(frozen=True)
class Form(Generic[ModelT]):
    """A kind of YAML file.

    Attributes:
        name: What it is: "topology".
        models: The model whose keys stand at a key path; "*" is any name.
        root: The model of the whole.
        begin_from: The file to begin from, to tell those who gave an empty one.
        examples: Where there are examples, to tell those who gave none.
        unions: Keys whose value's ``kind`` picks its model.
        hidden: Finds where the sound parts of a document disagree, given the places already told.
    """

    name: str
    models: Mapping[Loc, type[BaseModel]]
    root: type[ModelT]
    begin_from: str
    examples: str
    unions: frozenset[str] = frozenset()
    hidden: Callable[[Document, set[Loc]], list[FileProblem]] = _nothing


_PLAIN = {
    "string_type": "must be text, not {shown}",
    "string_unicode": "must be text, without half characters",
    "int_type": "must be a whole number, not {shown}",
    "int_parsing": "must be a whole number, not {shown}",
    "int_parsing_size": "must be a whole number of sensible size, not {shown}",
    "finite_number": "must be a whole number, not {shown}",
    "int_from_float": "must be a whole number, not {shown}",
    "greater_than_equal": "must be {ge} or more, not {shown}",
    "less_than_equal": "must be {le} or less, not {shown}",
    "dict_type": "must be a mapping of keys to values, not {shown}",
    "mapping_type": "must be a mapping of keys to values, not {shown}",
    "model_type": "must be a mapping of keys to values, not {shown}",
    "model_attributes_type": "must be a mapping of keys to values, not {shown}",
    "tuple_type": "must be a list, not {shown}",
    "too_short": "must not be empty",
    "literal_error": "must be {expected}, not {shown}",
}


def problems_of(
    error: ValidationError, document: Document, form: Form[ModelT]
) -> list[FileProblem]:
    """Everything wrong with a document that did not validate, by place.

    Args:
        error: What pydantic said of the document's data.
        document: The document.
        form: What it should be.
    """
    read = {problem.loc for problem in document.problems}
    problems = list(document.problems)
    for details in error.errors(include_url=False):
        loc = _loc_in_file(details, document, form)
        # What could not even be read need not be told again in other words.
        if loc not in read:
            problems.append(_told(loc, details, document, form))
    return problems + form.hidden(document, {problem.loc for problem in problems})


def _loc_in_file(details: ErrorDetails, document: Document, form: Form[ModelT]) -> Loc:
    """Where an error is in the file, without the steps in its path that are pydantic's own."""
    loc = details["loc"]
    if details["type"] == "union_tag_invalid":
        return (*loc, "kind")
    key = loc[0] if loc else None
    if key in form.unions and len(loc) > 1 and loc[1] == document.data[key].get("kind"):
        loc = (loc[0], *loc[2:])
    return loc[:-1] if loc[-1:] == ("[key]",) else loc


def _told(loc: Loc, details: ErrorDetails, document: Document, form: Form[ModelT]) -> FileProblem:
    """One error in plain words."""
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    description = _description(loc, form)
    hint = f"write here: {description}" if description else None
    match kind:
        case "objection":
            objection = Objection(loc, context["what"], context["hint"])
            return objected(objection, document, of_key=details["loc"][-1:] == ("[key]",))
        case "missing":
            what, hint = f"'{loc[-1]}' is missing", f"add {loc[-1]}: {description}"
            return FileProblem(*document.place(loc[:-1], of_key=True), loc[:-1], what, hint)
        case "extra_forbidden":
            model = _model_at(loc[:-1], form)
            known = model.model_fields if model else ()
            what = f"unknown key {shown(loc[-1])}{suggestion(str(loc[-1]), known)}"
            return FileProblem(*document.place(loc, of_key=True), loc[:-1], what)
        case "union_tag_not_found":
            return FileProblem(
                *document.place(loc, of_key=True), loc, "'kind' is missing", "add kind: loopback"
            )
        case "union_tag_invalid":
            kinds = re.findall(r"'([^']*)'", context["expected_tags"])
            near = suggestion(str(given["kind"]), kinds)
            what = f"must be a kind of lab, not {shown(given['kind'])}{near}"
            return FileProblem(*document.place(loc), loc, what)
        case "string_type" if isinstance(given, (bool, int, float)):
            hint = "put it in quotes"
        case "tuple_type" if isinstance(given, str):
            hint = f'put it in brackets: ["{given[:60]}"]'
    plain = _PLAIN.get(kind, "is not valid here, {shown}")
    what = plain.format_map({"shown": shown(given), **context})
    return FileProblem(*document.place(loc), loc, what, hint)


def objected(objection: Objection, document: Document, *, of_key: bool = False) -> FileProblem:
    """An objection at its place: what concerns a key or a whole mapping stands at the key."""
    value = document.data
    for part in objection.loc:
        value = value[part]
    place = document.place(objection.loc, of_key=of_key or isinstance(value, dict))
    return FileProblem(*place, objection.loc, objection.what, objection.hint)


def _model_at(loc: Loc, form: Form[ModelT]) -> type[BaseModel] | None:
    """The model whose keys stand at a key path, if one does."""
    if not loc:
        return form.root
    for shape, model in form.models.items():
        if len(shape) == len(loc) and all(
            key in ("*", part) for key, part in zip(shape, loc, strict=True)
        ):
            return model
    return None


def _description(loc: Loc, form: Form[ModelT]) -> str | None:
    """What the nearest key on the way says of itself, as a hint of what belongs there."""
    for end in range(len(loc) - 1, -1, -1):
        model = _model_at(loc[:end], form)
        field = model.model_fields.get(str(loc[end])) if model else None
        if field:
            return (field.description or "").rstrip(".")
    return None
