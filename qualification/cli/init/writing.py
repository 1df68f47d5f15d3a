"""Writes new files, and never over one that is there unless that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qualification.errors import UsageError

_HINT = "give another name, or remove it first"


def refuse_existing(file: Path, hint: str = _HINT) -> None:
    """Raises a `UsageError` if a file is there already.

    Args:
        file: Where something is to be written later, so that nobody answers questions in vain.
        hint: What a person does next.
    """
    if file.exists() or file.is_symlink():
        raise UsageError("it exists already, and is not overwritten", where=str(file), hint=hint)


def write_new(file: Path, content: bytes, *, force: bool = False, hint: str = _HINT) -> None:
    """Writes a file that is not there yet.

    Args:
        file: Where.
        content: All of it.
        force: Overwrite it if it is there.
        hint: What a person does next if it is there.

    Raises:
        UsageError: It exists already, or it cannot be written.
    """
    try:
        with file.open("wb" if force else "xb") as written:
            written.write(content)
    except FileExistsError:
        refuse_existing(file, hint)
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(file)) from None


def make_folder(folder: Path) -> None:
    """Makes a directory and those above it, if it is not there.

    Raises:
        UsageError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=str(folder)) from None


def write_all(files: Mapping[Path, bytes], *, force: bool = False) -> None:
    """Writes several files and their directories: all of them, or none if one is there already.

    Raises:
        UsageError: One exists already, or cannot be written.
    """
    if not force:
        for file in files:
            refuse_existing(file, f"{_HINT}, or overwrite all with --force")
    for file, content in files.items():
        make_folder(file.parent)
        write_new(file, content, force=force)
