"""The site of Allure 3, made offline by npm's `allure` from result files, without its analytics."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from qualification.errors import LabError
from qualification.printable import printable

from .describing import CONFIGURATION

SITE = "site"
"""The directory of the site, in that of the result files."""
NEXT = "npm install --global allure (it needs Node.js 20 or later), then the same command again"
_LOCAL = Path("node_modules", ".bin", "allure")
_OURS = 3
_SECONDS = 600
_TAG = re.compile(
    r"<script[^>]*\bsrc=\"https://www\.googletagmanager\.com/[^>]*>\s*</script>"
    r"\s*<script>[^<]*\bgtag\([^<]*</script>\s*"
)
"""Google Analytics, which Allure 3 puts into each page, and has no option against."""


def command() -> str:
    """Returns npm's `allure`: of the directory that one is in, or else on the PATH.

    Raises:
        LabError: There is none, or it is not Allure 3.
    """
    found = str(_LOCAL.absolute()) if _LOCAL.exists() else shutil.which("allure")
    if found is None:
        raise LabError("the site needs npm's allure, which is not installed", hint=NEXT)
    if shutil.which("node") is None:
        raise LabError(f"the site needs Node.js, which {found} runs on", hint=NEXT)
    version = _run(found, "--version").strip()
    if version.partition(".")[0] != str(_OURS):
        raise LabError(
            f"the site needs Allure {_OURS}, and {found} is {printable(version[:80])}", hint=NEXT
        )
    return found


def make(directory: Path, allure: str) -> Path:
    """Makes the site of result files again, with the history of what was made there before.

    Args:
        directory: The directory that `writing.write` wrote to.
        allure: What `command` returned.

    Returns:
        Its first page.

    Raises:
        LabError: It cannot be made.
    """
    directory = directory.absolute()
    site = directory / SITE
    shutil.rmtree(site, ignore_errors=True)
    configuration = str(directory / CONFIGURATION)
    told = _run(
        *(allure, "generate", "--config", configuration, "--output", str(site)),
        *("--cwd", str(directory.parent), f"./{directory.name}"),
    )
    page = site / "index.html"
    if not page.is_file():
        raise LabError(f"{allure} made no {page}: {printable(told[-400:])}", hint=NEXT)
    for path in site.rglob("*.html"):
        strip(path)
    return page


def strip(page: Path) -> None:
    """Takes the analytics out of a page; one with others is removed.

    Raises:
        LabError: What is there is not what is known, and the page would load it.
    """
    text = _TAG.sub("", page.read_text(encoding="utf-8"))
    if "googletagmanager" in text:
        page.unlink()
        raise LabError(
            f"{page} has analytics in a form that vxqual cannot take out, and was removed",
            hint="use allure 3.18, or make the site from the result files yourself",
        )
    page.write_text(text, encoding="utf-8")


def _run(*arguments: str) -> str:
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=False,
            env=os.environ | {"NO_COLOR": "1"},
            text=True,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{arguments[0]} does not run: {error}", hint=NEXT) from None
    if done.returncode:
        said = printable((done.stderr or done.stdout).strip()[-400:])
        raise LabError(f"{arguments[0]} {arguments[1]} failed: {said}", hint=NEXT)
    return done.stdout + done.stderr
