"""What a result says of the vxqual that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from qualification.run.versions import commit_of


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    def git(*args: str) -> None:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.net")
        subprocess.run(["git", "-C", tmp_path, *who, *args], check=True, capture_output=True)

    (tmp_path / "file").write_text("one")
    git("init", "-q")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    git("tag", "v9.9")  # a tag is no commit
    return tmp_path


def test_a_checkout_has_its_commit(checkout: Path) -> None:
    listed = ["git", "-C", checkout, "rev-parse", "HEAD"]
    commit = subprocess.run(listed, check=True, capture_output=True, text=True).stdout[:12]
    assert commit_of(checkout) == commit
    (checkout / "file").write_text("two")
    assert commit_of(checkout) == f"{commit}-dirty"


def test_what_is_installed_inside_a_checkout_of_somebody_has_none(checkout: Path) -> None:
    below = checkout / "site-packages"
    below.mkdir()
    assert commit_of(below) is None


def test_without_git_there_is_none(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert commit_of(checkout) is None
