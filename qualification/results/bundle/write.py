"""Writes a bundle: a directory, and the same files as a zip beside it."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2

from qualification.errors import UsageError
from qualification.printable import code, markdown
from qualification.results import files, run_argument, run_directory
from qualification.results.gate.paper import pdf
from qualification.shipped import PACKAGE, REPORTS

from . import manifest
from .choice import chosen
from .content import Made, make
from .masking import mask_of
from .reproduction import source

_HTML, _MARKDOWN, _PDF = "report.html", "report.md", "report.pdf"
_REPRODUCER = "reproduce.py"
_BLANKS = re.compile(r"\n{3,}")


def write(
    directory: Path,
    names: tuple[str, ...],
    out: Path | None = None,
    *,
    redact: bool = True,
    with_pdf: bool = False,
) -> list[Path]:
    """Writes the bundle of a stored run; returns the directory and the zip.

    Args:
        directory: The directory of the run.
        names: The cells; see `choice.chosen`.
        out: The directory to write, which must not exist, or be empty; by default it is named by
            the run and the pair, in the current directory. The zip has its name and ".zip".
        redact: Whether to mask addresses, host names, MAC addresses, serial numbers and paths.
        with_pdf: Whether to write the report as PDF, too.

    Raises:
        UsageError: There is no such run or cell, it cannot be written, or no PDF be made here.
    """
    matrix = run_argument.results(directory)
    rows = chosen(matrix, names)
    run = run_directory.read(directory)
    mask = mask_of(run.campaign, on=redact)
    bundle = make(run, matrix, rows, mask)
    made = contents(bundle)
    if with_pdf:
        made[_PDF] = pdf(made[_HTML].decode())
    made[manifest.NAME] = manifest.manifest(bundle.document, made)
    pair = re.sub(r"[^\w.+-]", "_", mask.text(rows[0].pair))
    place = out or Path(f"bundle-{run.campaign.run_id}-{pair}")
    archive = place.with_name(f"{place.name}.zip")
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise UsageError(
                "exists already, and is not overwritten",
                where=str(place),
                hint="name another directory by --out, or remove this one",
            )
        place.mkdir(parents=True, exist_ok=True)
        for name, octets in made.items():
            files.replace(place / name, octets)
        files.replace(archive, zipped(made, place.name, run.campaign.started))
    except OSError as error:
        raise UsageError(
            f"the bundle cannot be written: {error.strerror}",
            where=str(place),
            hint="give a directory that you can write to, or one that can be created",
        ) from None
    return [place, archive]


def contents(made: Made) -> dict[str, bytes]:
    """Returns the files of a bundle by name."""
    found = {
        _HTML: _rendered(_HTML, made.document).encode(),
        _MARKDOWN: _BLANKS.sub("\n\n", _rendered(_MARKDOWN, made.document)).encode(),
    }
    if made.reproduction is not None:
        found[_REPRODUCER] = source(made.reproduction).encode()
    return found | made.captures


def _rendered(name: str, document: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(PACKAGE, REPORTS),
        # Markdown has its own filters, which escape HTML as well.
        autoescape=jinja2.select_autoescape(("html.j2",), default=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"md": lambda value: markdown(str(value)), "code": code}
    return environment.get_template(f"bundle/{name}.j2").render(bundle=document)


def zipped(made: Mapping[str, bytes], folder: str, started: str) -> bytes:
    """Returns a zip of files in a folder, dated like the run, so that it is always the same.

    Args:
        made: The files by name.
        folder: The folder that they are in.
        started: When the run began (ISO 8601).
    """
    when = datetime.fromisoformat(started).timetuple()[:6]
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in made.items():
            info = zipfile.ZipInfo(f"{folder}/{name}", when)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return octets.getvalue()
