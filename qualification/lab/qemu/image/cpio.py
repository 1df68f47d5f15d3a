"""Archives in the "newc" format, which the kernel unpacks as its initramfs.

Several archives may follow each other, each padded to four bytes: that is how a guest's own files
are put behind those that all guests share. See Documentation/driver-api/early-userspace/
buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import PurePosixPath

_TRAILER = "TRAILER!!!"


def archive(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """Packs files, with the directories they are in.

    Args:
        files: Permissions and content by path, without a leading slash.
    """
    directories: dict[str, None] = {}
    for path in files:
        for parent in reversed(PurePosixPath(path).parents):
            if str(parent) != ".":
                directories[str(parent)] = None
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in directories]
    entries += [(name, stat.S_IFREG | mode, content) for name, (mode, content) in files.items()]
    entries.append((_TRAILER, 0, b""))
    return b"".join(
        _entry(number, name, mode, content)
        for number, (name, mode, content) in enumerate(entries, 1)
    )


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
