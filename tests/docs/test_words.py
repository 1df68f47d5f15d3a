"""The former words are nowhere but in the changelog, which says what each is called now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .documents import ROOT, files

WORDS = "dehcuov|niwt|regdel|nemiceps|tohs|ovlas|yellov"[::-1]
"""Spelt backwards, so that this file has none of them."""
_OLD = re.compile(rf"\b({WORDS})s?\b", re.IGNORECASE)
_MAY = {"CHANGELOG.md"}
"""The file that explains them."""


def old_words(text: str) -> list[tuple[int, str]]:
    return [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), 1)
        if _OLD.search(line.replace("\\n", " "))  # an escape is no part of a word
    ]


def test_no_file_has_a_former_word() -> None:
    found = [
        f"{name}:{number}: {line}"
        for name in sorted(files() - _MAY)
        for number, line in old_words(_text(ROOT / name))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("word", WORDS.split("|"))
def test_the_changelog_says_what_it_is_called_now(word: str) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^ *\| [^|]*\b{word}\b[^|]*\| [^|]+\|$", changelog, re.MULTILINE)


def test_a_former_word_is_found() -> None:
    first, *_, last = WORDS.split("|")
    assert old_words(f"a snapshot\nof a {last}\nand of a {first}") == [
        (2, f"of a {last}"),
        (3, f"and of a {first}"),
    ]
    assert old_words(rf'print("\n{first}s")')
    assert not old_words("snapshot, twinkle, voluntary")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
