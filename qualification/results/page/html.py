"""Puts the page together: the template, style and scripts of `reports/page/`, and the data.

The page loads nothing. Its content security policy allows its own scripts and its own style alone,
by their hashes, so that even a string of a run that became markup could do nothing.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from qualification import shipped
from qualification.results import files

from .model import Page, dump

_FOLDER = "page/"
_SCRIPTS = (
    "vendor/preact-htm.js",
    "words.js",
    "state.js",
    "matrix.js",
    "frame.js",
    "evidence.js",
    "page.js",
)
"""In the order in which they run; they share one scope."""


def render(page: Page) -> str:
    """Returns the page as HTML, complete in itself."""
    style = _read("common.css") + _read("page.css")
    script = "\n".join(_read(name) for name in _SCRIPTS)
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_read("page.html.j2"))
    return template.render(
        run=page.run,
        nics=page.nics,
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own files)
        data=Markup(dump(page)),  # noqa: S704  (made to stand there; see `dump`)
        policy=f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'",
    )


def write(page: Page, path: Path) -> None:
    """Writes the page completely or not at all.

    Raises:
        OSError: It cannot be written.
    """
    files.replace(path, render(page).encode(errors="replace"))


def _read(name: str) -> str:
    return shipped.report_file(_FOLDER + name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
