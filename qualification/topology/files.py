"""Load a topology from its file, dump one that loads again, and describe the format."""

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
    """Read a topology.

    Args:
        path: The YAML file.
        environ: The environment variables that ``${NAME}`` may name.

    Raises:
        UsageError: The file cannot be used; tells every problem, with its place.
    """
    return parse(text_of(Path(path), TOPOLOGY), str(path), environ)


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ) -> Topology:
    """Read a topology from text; `name` is the file that errors speak of. Otherwise as `load`."""
    return parse_as(TOPOLOGY, text, name, environ)


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
    return schema_of(TOPOLOGY)


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
