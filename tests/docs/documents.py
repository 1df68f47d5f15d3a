"""The documents of this repository, taken apart: commands, paths in backticks, links, headings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
PROGRAMS = (
    "vxqual",
    "pytest",
    "python",
    "python3",
    "pip",
    "git",
    "source",
    "export",
    "ethtool",
    "ip",
)
_FENCE = re.compile(r"```(\w*)$")


@dataclass(frozen=True)
class Command:
    """A command line of a document.

    Attributes:
        place: File and line.
        text: The line, as it is in the document.
        words: Its words, without a redirection of its output.
        output: The file that its output is redirected to, if there is one.
    """

    place: str
    text: str
    words: tuple[str, ...]
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.place} {self.text}"


@cache
def files() -> frozenset[str]:
    """Every file that belongs to the repository, whether committed yet or not.

    What a link leads to is listed where it is.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    return frozenset(name for name in listed if name and (ROOT / name).is_file())


@cache
def folders() -> frozenset[str]:
    return frozenset(str(parent) for name in files() for parent in Path(name).parents)


def is_program(word: str) -> bool:
    return word in PROGRAMS or word.startswith(("scripts/", ".ci/", ".venv/"))


def commands(path: Path) -> list[Command]:
    """The commands of fenced `sh` blocks, and of indented blocks where they begin like one."""
    found = []
    for number, line, kind in _code(path):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if kind == "sh" or (kind == "indented" and is_program(text.split()[0])):
            found.append(_command(path, number, text))
    return found


def inline_code(path: Path) -> list[tuple[int, str]]:
    """Every span in backticks outside of code blocks, with the number of its first line."""
    blank = set()
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, _, _ in _code(path):
        blank.add(number)
    text = "\n".join("" if n in blank else line for n, line in enumerate(lines, 1))
    text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    return [
        (text.count("\n", 0, match.start()) + 1, " ".join(match[1].split()))
        for match in re.finditer(r"`([^`]+)`", text)
    ]


def inline_commands(path: Path) -> list[Command]:
    """The commands among the spans in backticks; they may be the beginning of one."""
    return [
        _command(path, number, span)
        for number, span in inline_code(path)
        if is_program(span.split()[0]) and "…" not in span
    ]


def _code(path: Path) -> list[tuple[int, str, str]]:
    """Number, text and kind of each line of code: the fence's word, or "indented"."""
    found = []
    fence: str | None = None
    indented = False
    before = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark = _FENCE.match(line)
        if mark:
            fence = None if fence is not None else mark[1]
            assert fence != "", f"{path.name}:{number}: a fence says what is in it"
        elif fence is not None:
            found.append((number, line, fence))
        else:
            begins = not before.strip() and line.startswith("    ")
            indented = line.startswith("    ") and (indented or begins)
            if indented:
                found.append((number, line, "indented"))
        before = line
    return found


def _command(path: Path, number: int, text: str) -> Command:
    words = shlex.split(text, comments=True)
    output = None
    if ">" in words:
        at = words.index(">")
        output = words[at + 1]
        words = words[:at]
    return Command(f"{os.path.relpath(path, ROOT)}:{number}", text, tuple(words), output)
