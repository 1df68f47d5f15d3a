"""Load a topology from its file, dump one that loads again, and describe the format."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from qualification.errors import UsageError
from qualification.topology.document import Document, Problem
from qualification.topology.environment import escape
from qualification.topology.models import Topology
from qualification.topology.problems import problems_of


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> Topology:
    """Read a topology.

    Args:
        path: The YAML file.
        environ: The environment variables that ``${NAME}`` may name.

    Raises:
        UsageError: The file cannot be used; tells every problem, with its place.
    """
    return parse(_text(Path(path)), str(path), environ)


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ) -> Topology:
    """Read a topology from text; `name` is the file that errors speak of. Otherwise as `load`."""
    document = Document(text, name, environ)
    try:
        topology = Topology.model_validate(document.data)
    except ValidationError as error:
        problems = problems_of(error, document)
    else:
        if not document.problems:
            return topology
        problems = document.problems
    # Outside the except clause, so that no chained traceback can show a value.
    raise _report(name, problems)


def dump(topology: Topology) -> str:
    """Write a topology as YAML that loads again as the same topology.

    Passwords are written as the ``${NAME}`` they came from; so the same environment is needed.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415  (needed only where a file is written)

    data = _escaped(topology.model_dump(mode="json", exclude_defaults=True))
    for name, host in topology.hosts.items():
        if host.ssh and host.ssh.password is not None:
            data["hosts"][name]["ssh"]["password"] = host.ssh.password.source
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    # One line a text: ruamel's folding of long ones loses blanks beside escapes.
    yaml.width = sys.maxsize
    yaml.allow_unicode = False
    # Groups are named after the first pair in the file, so the order has to stay.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def schema() -> dict[str, Any]:
    """The JSON schema of a topology file, for editors and for other tools."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Topology.model_json_schema(schema_generator=_Untitled),
        "title": "vxqual topology",
    }


class _Untitled(GenerateJsonSchema):
    """Without pydantic's titles for fields, which only say their names again."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        hint = "give the path of a topology; topologies/ has examples"
        raise UsageError("there is no such file", where=str(path), hint=hint) from None
    except IsADirectoryError:
        hint = "give a file in it"
        raise UsageError("this is a directory", where=str(path), hint=hint) from None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None
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


def _report(name: str, problems: list[Problem]) -> UsageError:
    problems = sorted(problems, key=lambda problem: (problem.line, problem.column))
    errors = [
        UsageError(
            problem.text(), where=f"{name}:{problem.line}:{problem.column}", hint=problem.hint
        )
        for problem in problems
    ]
    if len(errors) == 1:
        return errors[0]
    told = "".join(f"\n{error}" for error in errors).replace("\n", "\n  ")
    return UsageError(f"{len(errors)} problems{told}", where=name)


def _escaped(value: Any) -> Any:
    """The same data, with each text such that loading makes it what it is here."""
    match value:
        case str():
            return escape(value)
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case list():
            return [_escaped(item) for item in value]
        case _:
            return value
