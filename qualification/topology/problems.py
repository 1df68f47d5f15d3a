"""Pydantic's errors, told in plain words at their places in the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from qualification.topology.agreement import disagreements
from qualification.topology.document import Document, Problem
from qualification.topology.models import (
    Firmware,
    Host,
    Lab,
    LoopbackLab,
    Nic,
    Pair,
    Ssh,
    Topology,
)
from qualification.topology.wording import Loc, Objection, shown, suggestion

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Model = TypeVar("_Model", bound=BaseModel)

_MODELS: dict[Loc, type[BaseModel]] = {
    (): Topology,
    ("hosts", "*"): Host,
    ("hosts", "*", "ssh"): Ssh,
    ("hosts", "*", "nics", "*"): Nic,
    ("pairs", "*"): Pair,
    ("lab",): LoopbackLab,
    ("lab", "firmwares", "*"): Firmware,
}

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


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """Everything wrong with a document that did not validate, by place.

    Args:
        error: What pydantic said of the document's data.
        document: The document.
    """
    read = {problem.loc for problem in document.problems}
    problems = list(document.problems)
    for details in error.errors(include_url=False):
        loc = _loc_in_file(details, document)
        # What could not even be read need not be told again in other words.
        if loc not in read:
            problems.append(_told(loc, details, document))
    return problems + _hidden(document, {problem.loc for problem in problems})


def _loc_in_file(details: ErrorDetails, document: Document) -> Loc:
    """Where an error is in the file, without the steps in its path that are pydantic's own."""
    loc = details["loc"]
    if details["type"] == "union_tag_invalid":
        return (*loc, "kind")
    if loc[:1] == ("lab",) and len(loc) > 1 and loc[1] == document.data["lab"].get("kind"):
        loc = ("lab", *loc[2:])
    return loc[:-1] if loc[-1:] == ("[key]",) else loc


def _told(loc: Loc, details: ErrorDetails, document: Document) -> Problem:
    """One error in plain words."""
    kind, given, context = details["type"], details["input"], details.get("ctx", {})
    description = _description(loc)
    hint = f"write here: {description}" if description else None
    match kind:
        case "objection":
            return _objected(Objection(loc, context["what"], context["hint"]), document)
        case "missing":
            what, hint = f"'{loc[-1]}' is missing", f"add {loc[-1]}: {description}"
            return Problem(*document.place(loc[:-1], of_key=True), loc[:-1], what, hint)
        case "extra_forbidden":
            model = _model_at(loc[:-1])
            known = model.model_fields if model else ()
            what = f"unknown key {shown(loc[-1])}{suggestion(str(loc[-1]), known)}"
            return Problem(*document.place(loc, of_key=True), loc[:-1], what)
        case "union_tag_not_found":
            return Problem(
                *document.place(loc, of_key=True), loc, "'kind' is missing", "add kind: loopback"
            )
        case "union_tag_invalid":
            kinds = re.findall(r"'([^']*)'", context["expected_tags"])
            near = suggestion(str(given["kind"]), kinds)
            what = f"must be a kind of lab, not {shown(given['kind'])}{near}"
            return Problem(*document.place(loc), loc, what)
        case "string_type" if isinstance(given, (bool, int, float)):
            hint = "put it in quotes"
        case "tuple_type" if isinstance(given, str):
            hint = f'put it in brackets: ["{given[:60]}"]'
    plain = _PLAIN.get(kind, "is not valid here, {shown}")
    what = plain.format_map({"shown": shown(given), **context})
    return Problem(*document.place(loc), loc, what, hint)


def _objected(objection: Objection, document: Document) -> Problem:
    """An objection at its place: what concerns a mapping as a whole stands at its key."""
    value = document.data
    for part in objection.loc:
        value = value[part]
    place = document.place(objection.loc, of_key=isinstance(value, dict))
    return Problem(*place, objection.loc, objection.what, objection.hint)


def _hidden(document: Document, broken: set[Loc]) -> list[Problem]:
    """Where the sound parts disagree: pydantic looks at the whole only when all parts are sound."""
    data = document.data
    if not isinstance(data, dict) or not isinstance(data.get("hosts"), dict):
        return []
    heads = {loc[:2] for loc in broken}

    def sound(section: str, model: type[_Model]) -> dict[str, _Model]:
        entries = data.get(section)
        return {
            name: model.model_validate(entry)
            for name, entry in (entries.items() if isinstance(entries, dict) else ())
            if (section, name) not in heads
        }

    hosts = sound("hosts", Host)
    lab: LoopbackLab | None = LoopbackLab(kind="loopback")
    if "lab" not in {loc[0] for loc in broken if loc}:
        lab = TypeAdapter(Lab).validate_python(data.get("lab"))
    unsure = data["hosts"].keys() - hosts.keys()
    return [
        _objected(objection, document)
        for objection in disagreements(hosts, sound("pairs", Pair), lab, unsure)
        if objection.loc not in broken
    ]


def _model_at(loc: Loc) -> type[BaseModel] | None:
    """The model whose keys stand at a key path, if one does."""
    for shape, model in _MODELS.items():
        if len(shape) == len(loc) and all(
            key in ("*", part) for key, part in zip(shape, loc, strict=True)
        ):
            return model
    return None


def _description(loc: Loc) -> str | None:
    """What the nearest key on the way says of itself, as a hint of what belongs there."""
    for end in range(len(loc) - 1, -1, -1):
        model = _model_at(loc[:end])
        field = model.model_fields.get(str(loc[end])) if model else None
        if field:
            return (field.description or "").rstrip(".")
    return None
