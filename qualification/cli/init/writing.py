"""Writes a new file, and never over one that is there unless that is asked for."""

from __future__ import annotations

from pathlib import Path

from qualification.errors import UsageError


def write_new(
    file: Path,
    content: bytes,
    *,
    force: bool = False,
    hint: str = "give another name, or remove it first",
) -> None:
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
        raise UsageError(
            "it exists already, and is not overwritten", where=str(file), hint=hint
        ) from None
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=str(file)) from None
