"""Finds out whether a file can be made in a folder, without making one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def forbids(folder: Path, needed: int) -> OSError | None:
    """Returns why no file can be made in a folder, or None.

    Args:
        folder: The folder.
        needed: Bytes that have to be free.
    """
    number = 0
    try:
        system, mode = os.statvfs(folder), folder.stat().st_mode
        # A file system without a limit on inodes says that it has none.
        inodes_gone = system.f_files and not system.f_favail
        if not stat.S_ISDIR(mode):
            number = errno.ENOTDIR
        elif system.f_flag & os.ST_RDONLY:
            number = errno.EROFS
        elif not os.access(folder, os.W_OK | os.X_OK):
            folder.stat()  # raises if it has just been removed
            number = errno.EACCES
        elif system.f_bavail * system.f_frsize < needed or inodes_gone:
            number = errno.ENOSPC
    except OSError as error:
        return error
    return OSError(number, os.strerror(number)) if number else None
