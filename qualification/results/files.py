"""Writing files that survive the end of this process, of its machine and of the disk's space."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def replace(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Writes a file so that at any moment, also after a power cut, it is the old or the new one.

    Args:
        path: The file.
        content: What it is to have.
        mode: Who can read and write it, whatever the umask says; by default its owner alone.

    Raises:
        OSError: It cannot be written; then it is the old one.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()  # of a process with our number that was killed
        file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if mode != 0o600:
                os.fchmod(file, mode)
            write_all(file, content)
            os.fsync(file)
        finally:
            os.close(file)
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    sync_directory(path.parent)


def write_all(file: int, content: bytes) -> None:
    """Writes bytes to a descriptor, to the last: on a full disk, one write(2) takes a part."""
    view = memoryview(content)
    while view:
        view = view[os.write(file, view) :]


def sync_directory(path: Path) -> None:
    """Makes the names in a directory survive a power cut, where its file system can do that."""
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.fsync(directory)
    finally:
        os.close(directory)
