"""Files that are made once and kept: QEMU, kernels and root file systems below ~/.cache.

Each has a directory named after a hash of what it is made of. A directory is filled under another
name and renamed once it is complete, so one that is there is whole, and a process that is killed
leaves only a `.new-` directory, which the next one to make something removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from qualification.errors import LabError

_NEW = ".new-"


def directory() -> Path:
    """Where everything is kept: vxqual/images in the user's cache directory."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "vxqual" / "images"


def kept(kind: str, recipe: Mapping[str, object], make: Callable[[Path], None]) -> Path:
    """Returns the directory of what a recipe describes, and make it if it is not there.

    Processes that want the same thing at the same time wait for the one that makes it.

    Args:
        kind: What it is, as the first part of the directory's name: "root".
        recipe: All that decides what it contains, as JSON values.
        make: Fills the empty directory that it is given.

    Raises:
        LabError: The cache cannot be written; or as from `make`.
    """
    text = json.dumps(recipe, sort_keys=True)
    there = directory() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if there.is_dir():
        return there
    try:
        directory().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(
            f"the cache cannot be written: {error.strerror}",
            where=str(directory()),
            hint="set XDG_CACHE_HOME to a directory that can",
        ) from error
    with _locked(kind):
        if there.is_dir():
            return there
        for left in directory().glob(f"{_NEW}{kind}-*"):
            shutil.rmtree(left, ignore_errors=True)
        new = directory() / f"{_NEW}{there.name}"
        new.mkdir()
        try:
            make(new)
            (new / "recipe.json").write_text(text + "\n")
            new.rename(there)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    return there


def digest(path: Path) -> str:
    """Hashes a file's content, for the recipe of what is made of it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(kind: str) -> Iterator[None]:
    """Keeps other processes from making the same kind of thing meanwhile."""
    with (directory() / f".lock-{kind}").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
