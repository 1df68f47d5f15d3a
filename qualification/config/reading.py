"""Reads YAML files of any form: text to a model, every problem with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from qualification.errors import UsageError

from .document import Document, FileProblem
from .problems import Form, ModelT, problems_of

_MOST_BYTES = 512 << 10
"""The parser takes ten seconds for as much; a topology of a thousand hosts has 100 KB."""
_MOST_SHOWN = 50


def parse_as(
    form: Form[ModelT], text: str, name: str, environ: Mapping[str, str] | None = None
) -> ModelT:
    """Returns the model that a text of some form describes.

    Args:
        form: The form that the text should have.
        text: The YAML text.
        name: The name of the file in error messages.
        environ: The environment variables that ``${NAME}`` may name; None leaves texts as they are.

    Raises:
        UsageError: The text cannot be used; the message lists every problem with its place.
    """
    document = Document(text, name, environ, form.begin_from)
    try:
        model = form.root.model_validate(document.data)
    except ValidationError as error:
        problems = problems_of(error, document, form)
    else:
        if not document.problems:
            return model
        problems = document.problems
    # Outside the except clause, so that no chained traceback can show a value.
    raise _report(name, problems)


def load_as(form: Form[ModelT], path: Path) -> ModelT:
    """Returns the model that a file of some form describes. No environment variable is substituted.

    Args:
        form: The form that the file should have.
        path: The file.

    Raises:
        UsageError: The file cannot be used; the message lists every problem with its place.
    """
    return parse_as(form, text_of(path, form), str(path))


def schema_of(form: Form[ModelT]) -> dict[str, Any]:
    """Returns the JSON schema of a form, for editors and other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **form.root.model_json_schema(schema_generator=_Untitled),
        "title": f"vxqual {form.name}",
    }


class _Untitled(GenerateJsonSchema):
    """A schema without pydantic's titles of fields, which only repeat their names."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


def text_of(path: Path, form: Form[ModelT]) -> str:
    """Returns the text of a file.

    Args:
        path: The file.
        form: Its form; gives the hint if there is no such file.

    Raises:
        UsageError: There is no such file, it cannot be read, or it is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise UsageError("there is no such file", where=str(path), hint=form.examples) from None
    except IsADirectoryError:
        hint = "give a file in it"
        raise UsageError("this is a directory", where=str(path), hint=hint) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if len(content) > _MOST_BYTES:
        what = f"has more than {_MOST_BYTES >> 10} KiB, which is more than a {form.name} can need"
        raise UsageError(what, where=str(path))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise UsageError(
            f"not UTF-8: byte 0x{content[error.start]:02x}",
            where=f"{path}:{line}:{column}",
            hint="save the file as UTF-8",
        ) from None


def _report(name: str, problems: list[FileProblem]) -> UsageError:
    problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
    errors = [
        UsageError(
            problem.text(), where=f"{name}:{problem.line}:{problem.column}", hint=problem.hint
        )
        for problem in problems
    ]
    if len(errors) == 1:
        return errors[0]
    shown = [f"\n{error}" for error in errors[:_MOST_SHOWN]]
    shown += [f"\nand {len(errors) - _MOST_SHOWN} more"] if len(errors) > _MOST_SHOWN else []
    lines = "".join(shown).replace("\n", "\n  ")
    return UsageError(f"{len(errors)} problems{lines}", where=name)
