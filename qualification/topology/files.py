"""Loading a topology from its file, dumping one, and the JSON schema of the format."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qualification.config.environment import escape
from qualification.config.reading import parse_as, schema_of, text_of

from .form import TOPOLOGY
from .models import Topology


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> Topology:
    """Returns the topology in a file.

    Args:
        path: The YAML file.
        environ: The environment variables that ``${NAME}`` may name.

    Raises:
        UsageError: The file cannot be used; the message lists every problem with its place.
    """
    return parse(text_of(Path(path), TOPOLOGY), str(path), environ)


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ) -> Topology:
    """Returns the topology in a text.

    Args:
        text: The YAML text.
        name: The name of the file in error messages.
        environ: The environment variables that ``${NAME}`` may name.

    Raises:
        UsageError: The text cannot be used; the message lists every problem with its place.
    """
    return parse_as(TOPOLOGY, text, name, environ)


def dump(topology: Topology) -> str:
    """Returns a topology as YAML that loads again as the same topology.

    Passwords are written as the ``${NAME}`` that they came from, so loading the text needs the
    same environment variables.
    """
    from ruamel.yaml import YAML  # noqa: PLC0415  (needed only where a file is written)

    data = _escaped(topology.model_dump(mode="json", exclude_defaults=True))
    for name, host in topology.hosts.items():
        if host.ssh and host.ssh.password is not None:
            data["hosts"][name]["ssh"]["password"] = host.ssh.password.source
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    # Every text stays on one line: ruamel's folding of long texts loses blanks next to escapes.
    yaml.width = sys.maxsize
    yaml.allow_unicode = False
    # The order is kept, because groups are named after the first pair in the file.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    yaml.dump(data, out)
    return out.getvalue()


def schema() -> dict[str, Any]:
    """Returns the JSON schema of a topology file, for editors and other tools."""
    return schema_of(TOPOLOGY)


def _escaped(value: Any) -> Any:
    """Returns the data with every text escaped, so that loading gives the same texts again."""
    match value:
        case str():
            return escape(value)
        case dict():
            return {key: _escaped(item) for key, item in value.items()}
        case list():
            return [_escaped(item) for item in value]
        case _:
            return value
