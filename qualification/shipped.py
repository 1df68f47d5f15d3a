"""Files of the top folders `reports/` and `topologies/` that travel with the package.

They are templates, schemas and examples. The folders lie beside the package, where people look for
them, and `qualification/reports` and `qualification/topologies` are symbolic links to them. A
checkout and an editable install read through the links; in a wheel the files lie in their place,
because setuptools copies what a link leads to (`package-data` in pyproject.toml). So one name
serves both, and importlib.resources finds it also in a zip file.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

PACKAGE, REPORTS = "qualification", "reports"
"""The package that the files are in, and their folder: what Jinja2's PackageLoader takes."""

_TOPOLOGIES = "topologies"


def report_file(name: str) -> Traversable:
    """Returns a file of `reports/`, to be read with `read_text` or `read_bytes`.

    Args:
        name: Its path below that folder, for example "policy.example.yaml".
    """
    return files(PACKAGE).joinpath(REPORTS, *name.split("/"))


def topology_files() -> dict[str, Traversable]:
    """Returns the files of `topologies/` by name: examples, their schema, the list of firmwares."""
    found = files(PACKAGE).joinpath(_TOPOLOGIES).iterdir()
    return {file.name: file for file in sorted(found, key=lambda file: file.name)}
