"""The certificate as people get it: JSON, a page that prints well, a PDF, a signature."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import jinja2

from qualification.errors import LabError, UsageError
from qualification.results import files
from qualification.shipped import PACKAGE, REPORTS

NAMESPACE = "vxqual-certificate"
"""The namespace of signatures (ssh-keygen(1), -Y sign): one for another purpose is none of ours."""
_TEMPLATE = "certificate.html.j2"
_NAME = "certificate"
_SIGN_SECONDS = 120
"""How long the owner of a key may take to type its passphrase."""


def page(document: dict[str, Any], sha256: str) -> str:
    """Returns a certificate as HTML: one file, without scripts, that fetches nothing.

    Args:
        document: The certificate.
        sha256: The SHA-256 of its JSON file, which the page names.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(PACKAGE, REPORTS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        certificate=document, sha256=sha256, namespace=NAMESPACE
    )


def pdf(html: str) -> bytes:
    """Returns a page as PDF, made without any network.

    Raises:
        UsageError: WeasyPrint, or the library that it draws with, is not installed.
    """
    try:
        import weasyprint  # noqa: PLC0415  (an extra, and slow to load)
    except (ImportError, OSError) as error:
        raise UsageError(
            f"a PDF cannot be made here: {error}",
            hint="pip install 'vxqual[pdf]', and on Debian: apt-get install libpangoft2-1.0-0",
        ) from None

    nothing = weasyprint.urls.URLFetcher(allowed_protocols=())
    written: bytes = weasyprint.HTML(string=html, url_fetcher=nothing).write_pdf()
    return written


def sign(content: bytes, key: Path) -> bytes:
    """Returns the signature of a file, made by ssh-keygen.

    Args:
        content: The file.
        key: The private key; or the public one of a key that an SSH agent holds.

    Raises:
        LabError: There is no ssh-keygen.
        UsageError: The key cannot be used.
    """
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key)]
    try:
        done = subprocess.run(
            command, input=content, capture_output=True, timeout=_SIGN_SECONDS, check=False
        )
    except FileNotFoundError:
        raise LabError(
            "there is no ssh-keygen to sign with", hint="install openssh-client (8.1 or later)"
        ) from None
    except subprocess.TimeoutExpired:
        raise UsageError("nobody unlocked the key in time", where=str(key)) from None
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(
            f"cannot sign: {said[0] if said else 'ssh-keygen failed'}",
            where=str(key),
            hint="give a private SSH key, such as ~/.ssh/id_ed25519",
        )
    return done.stdout


def write(
    document: dict[str, Any], directory: Path, key: Path | None = None, *, with_pdf: bool = False
) -> list[Path]:
    """Writes a certificate into a directory, which is created if needed; returns its files.

    All of them are made before the first is written.

    Args:
        document: The certificate.
        directory: The directory.
        key: The key to sign it with; None for no signature.
        with_pdf: Whether to write it as PDF, too.

    Raises:
        VxqualError: It cannot be made, or not be written.
    """
    content = (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()
    html = page(document, hashlib.sha256(content).hexdigest())
    made = {f"{_NAME}.json": content, f"{_NAME}.html": html.encode()}
    if with_pdf:
        made[f"{_NAME}.pdf"] = pdf(html)
    if key is not None:
        made[f"{_NAME}.json.sig"] = sign(content, key)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, octets in made.items():
            files.replace(directory / name, octets)
    except OSError as error:
        raise UsageError(
            f"the certificate cannot be written to {directory}: {error.strerror}",
            hint="give a directory that you can write to, or one that can be created",
        ) from None
    return [directory / name for name in made]
