"""Files of the top folder `reports/` that travel with the package: templates, schemas, examples.

The folder lies beside the package, where people look for it, and `qualification/reports` is a
symbolic link to it. A checkout and an editable install read through the link; in a wheel the
files lie in its place, because setuptools copies what the link leads to (`package-data` in
pyproject.toml). So one name serves both, and importlib.resources finds it also in a zip file.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

PACKAGE, REPORTS = "qualification", "reports"
"""The package that the files are in, and their folder: what Jinja2's PackageLoader takes."""


def report_file(name: str) -> Traversable:
    """Returns a file of `reports/`, to be read with `read_text` or `read_bytes`.

    Args:
        name: Its path below that folder, for example "policy.example.yaml".
    """
    return files(PACKAGE).joinpath(REPORTS, *name.split("/"))
