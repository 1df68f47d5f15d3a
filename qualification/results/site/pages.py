"""Makes the pages of a site of the templates of `reports/site/`."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from qualification.printable import printable
from qualification.results.page.address import address
from qualification.shipped import PACKAGE, REPORTS, report_file

from .history import HEIGHT, LEFT, WIDTH

_TONES = {"QUALIFIED": "PASS", "NOT QUALIFIED": "FAIL"}
"""Shapes of outcomes; all others are neither good nor bad."""


def slug(name: str) -> str:
    """Returns a name as a part of an address; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:60]
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


class Pages:
    """Makes pages of the templates of `reports/site/`, and writes those that have changed."""

    def __init__(self, site: Path) -> None:
        self.site, self.written = site, 0
        names = ("page/common.css", "site/site.css")
        style = "".join(report_file(name).read_text(encoding="utf-8") for name in names)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader(
                [
                    jinja2.PackageLoader(PACKAGE, f"{REPORTS}/site"),
                    jinja2.PackageLoader(PACKAGE, REPORTS),
                ]
            ),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: printable(value) if type(value) is str else value,
        )
        self._environment.globals |= {
            "style": Markup(style),  # noqa: S704  (our own files)
            "policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'",
            "address": address,
            "slug": slug,
            "width": WIDTH,
            "height": HEIGHT,
            "left": LEFT,
        }
        self._environment.filters |= {
            "percent": lambda rate: f"{rate * 100:.3g} %",
            "time": lambda time: time.replace("T", " ").removesuffix("+00:00"),
            "day": lambda time: time[:10],
            "shape": lambda outcome: f"v v-{_TONES.get(outcome, 'INCONCLUSIVE')}",
        }

    def write(self, path: str, template: str, **values: Any) -> None:
        """Writes a page completely or not at all, if it is another one than before."""
        up = "../" * path.count("/")
        text = self._environment.get_template(f"{template}.html.j2").render(up=up, **values)
        content = text.encode(errors="replace")
        self.written += self.put(path, content)

    def put(self, path: str, content: bytes) -> bool:
        """Writes a file for everybody to read, completely or not at all; returns whether it did.

        A file that has this content already stays as it is.
        """
        target = self.site / path
        if target.exists() and target.read_bytes() == content:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name[:100]}.{os.getpid()}")
        part.write_bytes(content)  # it can be made again, and is not synced
        part.chmod(0o644)
        part.replace(target)
        return True
