"""Pydantic's errors in plain words, at their places in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from .document import Document, FileProblem
from .wording import Loc, Objection, shown, suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ModelT = TypeVar("ModelT", bound=BaseModel)


def _no_problems(document: Document, broken: set[Loc]) -> list[FileProblem]:  # noqa: ARG001
    return []


@dataclass(frozen=True)
class Union:
    """A key whose value can be one of several models; the value's ``kind`` selects it.

    Attributes:
        what: What the value is, with its article, as in "a kind of pet".
        example: One of the kinds, for hints.
        models: The model of each kind.
    """

    what: str
    example: str
    models: Mapping[str, type[BaseModel]]


@dataclass(frozen=True)
class Form(Generic[ModelT]):
    """A kind of YAML file.

    Attributes:
        name: What such a file is called, as in "vxqual NAME".
        models: The models below the root, by key path; "*" stands for any name.
        root: The model of the whole file.
        begin_from: Name of a file to start from; the hint for an empty file.
        examples: Where there are examples; the hint for a file that does not exist.
        unions: Keys at the top whose value can be one of several models.
        check_whole: Returns where the valid parts of a document disagree, given the key paths of
            the problems found so far. Pydantic itself does not check the whole if a part is not
            valid.
    """

    name: str
    models: Mapping[Loc, type[BaseModel]]
    root: type[ModelT]
    begin_from: str
    examples: str
    unions: Mapping[str, Union] = field(default_factory=dict)
    check_whole: Callable[[Document, set[Loc]], list[FileProblem]] = _no_problems


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
    """Returns everything that is wrong with a document.

    Args:
        error: Pydantic's error about the document's data.
        document: The document.
        form: The form that it should have.
    """
    read = {problem.loc for problem in document.problems}
    problems = list(document.problems)
    for details in error.errors(include_url=False):
        loc = _loc_in_file(details, document, form)
        # A value that could not be read is not reported again because it is missing.
        if loc not in read:
            problems.append(_in_words(loc, details, document, form))
    return problems + form.check_whole(document, {problem.loc for problem in problems})


def _loc_in_file(details: ErrorDetails, document: Document, form: Form[ModelT]) -> Loc:
    """Returns the key path of an error, without the parts that pydantic adds to it."""
    loc = details["loc"]
    if details["type"] == "union_tag_invalid":
        return (*loc, "kind")
    key = loc[0] if loc else None
    if key in form.unions and len(loc) > 1 and loc[1] == document.data[key].get("kind"):
        loc = (loc[0], *loc[2:])
    return loc[:-1] if loc[-1:] == ("[key]",) else loc


def _in_words(
    loc: Loc, details: ErrorDetails, document: Document, form: Form[ModelT]
) -> FileProblem:
    """Returns one error in plain words."""
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    description = _description(loc, document, form)
    hint = f"write here: {description}" if description else None
    match kind:
        case "objection":
            objection = Objection(loc, context["what"], context["hint"])
            return objected(objection, document, of_key=details["loc"][-1:] == ("[key]",))
        case "missing":
            what, hint = f"'{loc[-1]}' is missing", f"add {loc[-1]}: {description}"
            return FileProblem(*document.place(loc[:-1], of_key=True), loc[:-1], what, hint)
        case "extra_forbidden":
            model = _model_at(loc[:-1], document, form)
            known = model.model_fields if model else ()
            what = f"unknown key {shown(loc[-1])}{suggestion(str(loc[-1]), known)}"
            return FileProblem(*document.place(loc, of_key=True), loc[:-1], what)
        case "union_tag_not_found":
            hint = f"add kind: {form.unions[str(loc[-1])].example}"
            return FileProblem(*document.place(loc, of_key=True), loc, "'kind' is missing", hint)
        case "union_tag_invalid":
            kinds = re.findall(r"'([^']*)'", context["expected_tags"])
            near = suggestion(str(given["kind"]), kinds)
            what = f"must be {form.unions[str(loc[-2])].what}, not {shown(given['kind'])}{near}"
            return FileProblem(*document.place(loc), loc, what)
        case "string_type" if isinstance(given, (bool, int, float)):
            hint = "put it in quotes"
        case "tuple_type" if isinstance(given, str):
            hint = f'put it in brackets: ["{given[:60]}"]'
    plain = _PLAIN.get(kind, "is not valid here, {shown}")
    what = plain.format_map({"shown": shown(given), **context})
    return FileProblem(*document.place(loc), loc, what, hint)


def objected(objection: Objection, document: Document, *, of_key: bool = False) -> FileProblem:
    """Returns an objection as a problem of the file.

    Args:
        objection: The objection.
        document: The document that it is about.
        of_key: Whether the objection is to the key itself. The place is then that of the key, as
            it is for objections to a whole mapping.
    """
    value = document.data
    for part in objection.loc:
        value = value[part]
    place = document.place(objection.loc, of_key=of_key or isinstance(value, dict))
    return FileProblem(*place, objection.loc, objection.what, objection.hint)


def _model_at(loc: Loc, document: Document, form: Form[ModelT]) -> type[BaseModel] | None:
    """Returns the model of the mapping at a key path, or None."""
    if not loc:
        return form.root
    union = form.unions.get(str(loc[0])) if len(loc) == 1 else None
    if union:
        value = document.data[loc[0]]
        kind = value.get("kind") if isinstance(value, dict) else None
        return union.models.get(str(kind), union.models[union.example])
    for shape, model in form.models.items():
        if len(shape) == len(loc) and all(
            key in ("*", part) for key, part in zip(shape, loc, strict=True)
        ):
            return model
    return None


def _description(loc: Loc, document: Document, form: Form[ModelT]) -> str | None:
    """Returns the description of the nearest key of a model, as a hint what to write there."""
    for end in range(len(loc) - 1, -1, -1):
        model = _model_at(loc[:end], document, form)
        field = model.model_fields.get(str(loc[end])) if model else None
        if field:
            return (field.description or "").rstrip(".")
    return None
