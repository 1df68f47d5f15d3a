"""Finds out whether a file can be made in a folder, without making one."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def forbids(folder: Path, needed: int) -> OSError | None:
    """Returns why no file can be made in a folder, or None.

    Args:
        folder: The folder.
        needed: Bytes that have to be free.
    """
    number = 0
    try:
        # All is asked of one inode: another agent may remove the folder and make it anew meanwhile.
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        return error
    try:
        system = os.fstatvfs(place)
        # A file system without a limit on inodes says that it has none.
        inodes_gone = system.f_files and not system.f_favail
        if system.f_flag & os.ST_RDONLY:
            number = errno.EROFS
        elif not os.access(".", os.W_OK | os.X_OK, dir_fd=place):
            number = errno.EACCES
        elif system.f_bavail * system.f_frsize < needed or inodes_gone:
            number = errno.ENOSPC
    except OSError as error:
        return error
    finally:
        os.close(place)
    return OSError(number, os.strerror(number)) if number else None
