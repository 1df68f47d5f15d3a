"""A file that is locked as long as its holder lives: the kernel frees it with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path

from qualification.messages.protocol import AgentProblem

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND | os.O_NOFOLLOW
_TRIES, _LONGEST_NAP = 10, 0.1


def locked(path: Path, patience: float) -> int:
    """Opens a file, which is made if needed with its folder, and locks it (flock(2)).

    Args:
        path: The file.
        patience: Seconds for which a file that another process has locked is tried again.

    Returns:
        Its descriptor. Remove the file before you close it, while nobody else can lock it.

    Raises:
        BlockingIOError: Another process has it locked.
        OSError: It cannot be made.
        AgentProblem: Others than root can write to its folder.
    """
    end = time.monotonic() + patience
    while True:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(mode=0o700)
            _sync(path.parent.parent)
        try:
            _check_owner(path.parent)
            file = os.open(path, _OPEN, 0o600)
        except FileNotFoundError:
            continue  # the folder was removed with its last file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its last holder may have removed the file between our open() and flock().
            if path.stat().st_ino == os.fstat(file).st_ino:
                os.fchmod(file, 0o600)
                _sync(path.parent)
                return file
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(file)
                raise
            time.sleep(min(patience / _TRIES, _LONGEST_NAP))
        except FileNotFoundError:
            pass
        os.close(file)


def _check_owner(folder: Path) -> None:
    """Checks that only root could have written what the files have root do.

    Raises:
        AgentProblem: Others can write to the folder.
    """
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise AgentProblem(
            "journal-unsafe",
            f"{folder} can be written to by others than root, and what is written there is done "
            "as root",
            hint=f"chown root {folder}; chmod 0700 {folder}; rm {folder}/*.journal",
        )
    if found.st_mode & 0o077:
        folder.chmod(0o700)


def _sync(folder: Path) -> None:
    """Waits until the names in a folder are on disk."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def held(path: Path) -> bool:
    """Returns whether a process has a file locked."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # there is none; whether one can be made is another question
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
