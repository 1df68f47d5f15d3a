"""Where runs are kept: each has a directory of its own, below the one that `--out` names.

::

    out/
        20261129-053315-482913/     the run's id: when it began, in UTC, with microseconds
            run.json  evidence.jsonl  matrix.json  vxqual.log  junit.xml  lock
        latest -> 20261129-053315-482913

The names sort by time. A directory is made with mkdir(2), which makes it once, so that two runs
never share one; and its file `lock` is locked (flock(2)) while its run goes on, on whichever host
of a shared file system that is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import platform
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from qualification.errors import LabError, UsageError, VxqualError

RUN, EVIDENCE, MATRIX = "run.json", "evidence.jsonl", "matrix.json"
LATEST, LOCK, JUNIT = "latest", "lock", "junit.xml"
_RUN_ID = re.compile(r"\d{8}-\d{6}-\d{6}")
_NAME_IT = "give the directory of a run, or that which --out named"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def run_id(now: datetime) -> str:
    """Returns the id of a run that begins at a time, which is the name of its directory, too."""
    return f"{now.astimezone(UTC):%Y%m%d-%H%M%S-%f}"


def this_process() -> str:
    """Returns what a lock, or the entry of a run that is continued, says of this process."""
    return f"process {os.getpid()} on {platform.node()}"


def unwritable(path: Path, error: OSError) -> VxqualError:
    """Returns the error for a place that results cannot be written to.

    Returns:
        A `LabError` if the file system is full, for then the path is right; a `UsageError` if not.
    """
    what = f"results cannot be written to {path}: {error.strerror}"
    if error.errno in _FULL:
        hint = f"free some space (df -h {path}; df -i {path}), or write to another place with --out"
        return LabError(what, hint=hint)
    hint = "give a directory that you can write to, or one that can be created"
    return UsageError(what, hint=hint)


class RunDirectory:
    """The directory of a run that goes on, which it alone writes to.

    Attributes:
        path: The directory.
    """

    def __init__(self, path: Path, lock: int, made: Path | None = None) -> None:
        self.path, self._lock, self._made = path, lock, made

    @classmethod
    def create(cls, out: Path, now: datetime) -> RunDirectory:
        """Makes the directory of a new run, and points `latest` to it.

        Args:
            out: The directory of all runs, which is made if there is none.
            now: The time.

        Raises:
            VxqualError: It cannot be made; see `unwritable`.
        """
        made = None if out.exists() else out
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            while True:
                path = out / run_id(now)
                try:
                    path.mkdir(mode=0o700)
                    break
                except FileExistsError:
                    now += timedelta(microseconds=1)
            found = cls(path, _locked(path), made)
            try:
                _link(out, path.name)
            except OSError:
                found.discard()
                raise
        except OSError as error:
            raise unwritable(out, error) from None
        return found

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Locks the directory of a run that has ended.

        Raises:
            UsageError: The run goes on, or its directory cannot be written to, or is one that
                others can put links into.
        """
        there = path.stat()
        if there.st_uid != os.geteuid() or there.st_mode & 0o022:
            raise UsageError(
                "the directory is another user's, or others can write to it: what is written there "
                "could go anywhere",
                where=str(path),
                hint="continue the run as the user who began it; or copy its directory (cp -r)",
            )
        try:
            return cls(path, _locked(path))
        except BlockingIOError:
            raise UsageError(
                f"its run goes on: {holder(path)}", where=str(path), hint="wait until it has ended"
            ) from None
        except OSError as error:
            raise unwritable(path, error) from None

    def discard(self) -> None:
        """Removes the directory: what was asked for turned out to be no run.

        `latest` points to the run before it again.
        """
        out = self.path.parent
        shutil.rmtree(self.path, ignore_errors=True)
        self.close()
        with contextlib.suppress(OSError):
            link = out / LATEST
            if link.readlink() == Path(self.path.name):
                others = run_names(out)
                _link(out, others[-1]) if others else link.unlink()
        if self._made is not None:
            with contextlib.suppress(OSError):  # another run has begun in it
                self._made.rmdir()

    def close(self) -> None:
        """Releases the lock; a second call does nothing."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def find(path: Path) -> Path:
    """Returns the directory of a run.

    Args:
        path: That directory, or a directory of runs, of which the latest one is meant.

    Raises:
        UsageError: There is no run.
    """
    latest = path / LATEST
    if latest.is_symlink():
        name = str(latest.readlink())
        if name in ("", ".", "..") or "/" in name:
            raise UsageError(
                f"is a link to {name}, and not to a run beside it", where=str(latest), hint=_NAME_IT
            )
        if latest.is_dir():
            return path / name
    elif latest.is_dir():
        return latest
    if has_run(path):
        return path
    runs = run_names(path)  # where `latest` could not be made
    if runs:
        return path / runs[-1]
    what = "has no stored run" if path.is_dir() else "there is no such directory"
    raise UsageError(what, where=str(path), hint=_NAME_IT)


def run_names(out: Path) -> list[str]:
    """Returns the names of the directories of runs, in the order of time."""
    try:
        return sorted(each.name for each in out.iterdir() if _RUN_ID.fullmatch(each.name))
    except OSError:
        return []


def has_run(path: Path) -> bool:
    """Returns whether a directory is that of a run: whether it has any of the files of one."""
    return any((path / name).exists() for name in (RUN, EVIDENCE, MATRIX))


def holder(path: Path) -> str:
    """Returns who locks the directory of a run; empty if nobody does."""
    try:
        lock = os.open(path / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(lock, 200).decode("utf-8", "replace").strip() or "another process"
    except OSError:
        return ""
    finally:
        os.close(lock)
    return ""


def _locked(path: Path) -> int:
    """Locks a directory and writes down by whom; returns the lock's descriptor."""
    lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        text = f"{this_process()} since {since}\n"
        with contextlib.suppress(OSError):  # it is for people; the lock is what counts
            os.ftruncate(lock, 0)
            os.pwrite(lock, text.encode(), 0)
    except OSError:
        os.close(lock)
        raise
    return lock


def _link(out: Path, name: str) -> None:
    """Points `latest` to a run; it is replaced as a whole. Some file systems have no links."""
    part = out / f".{LATEST}-{name}"
    try:
        part.symlink_to(name)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            return
        raise
    try:
        part.replace(out / LATEST)
    except OSError:
        part.unlink()
        raise
