"""Writes the forms of a run to files that users name."""

from __future__ import annotations

from pathlib import Path

from qualification.errors import UsageError
from qualification.results import files


def write(content: bytes, path: Path, mode: int = 0o600) -> None:
    """Writes a file completely or not at all.

    Args:
        content: What it is to have.
        path: The file.
        mode: Who can read and write it; by default its owner alone.

    Raises:
        UsageError: It cannot be written.
    """
    try:
        files.replace(path, content, mode)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            hint="give a file in a directory that exists, and that you can write to",
        ) from None
