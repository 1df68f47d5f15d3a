"""The journal: how to undo each change of this host, written to disk before the change is made.

There is one file per NIC under /run/vxqual, which is locked while an agent works on the NIC: no two
agents ever do. Which run's agents may is another file (`qualification.agent.host.lease`). A journal
that can be locked but is not empty was left by an agent that died; the next agent restores the host
first. A reboot empties /run, and it undoes the changes as well; a journal from before it, in a
directory that is kept, counts for nothing.

Both the file and its name are on disk before the first change is made, and root alone reads them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qualification.agent.host.checks.lock_file import held, locked
from qualification.agent.host.checks.writable import forbids
from qualification.agent.host.machine import boot_id
from qualification.messages.closing import DIFFERS, NOT_UNDONE
from qualification.messages.protocol import AgentProblem

DIRECTORY = Path(os.environ.get("VXQUAL_RUN") or "/run/vxqual")
"""Hosts that share a file system, as containers may, can each have one of their own."""

MIN_FREE = 64 << 10
"""Bytes that must be free: an entry of a journal has hundreds, one of a link snapshot thousands."""
PATIENCE = 0.2
"""Seconds for which a locked journal is tried again: `check` locks it for a moment, to look."""

Undo = Callable[..., "bool | str | None"]
"""Undoes a change. It can be called again, and returns False if there was nothing to undo, or in
words of its own what it has done."""


def check_writable() -> None:
    """Checks, without writing anything, that a journal can be written.

    Raises:
        AgentProblem: The file system is read-only or full, or the directory cannot be made.
    """
    folder, error = DIRECTORY, forbids(DIRECTORY, MIN_FREE)
    if isinstance(error, FileNotFoundError):  # it is made, and removed with its last journal
        folder, error = DIRECTORY.parent, forbids(DIRECTORY.parent, MIN_FREE)
    if error is not None:
        raise unwritable(folder, error)


def check_free(key: str) -> None:
    """Checks that no agent works on a NIC.

    Raises:
        AgentProblem: One does.
    """
    path = DIRECTORY / (key + ".journal")
    if held(path):
        raise _leased(path)


def _leased(path: Path) -> AgentProblem:
    return AgentProblem(
        "nic-leased",
        f"another vxqual is using this NIC ({path} is locked)",
        hint="wait until it has ended",
    )


def unwritable(path: Path, error: OSError) -> AgentProblem:
    """Returns the problem that a change could not be written down before it is made."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AgentProblem(
            "journal-full",
            f"there is no space left in {path}, where the changes of this host are written down "
            "before they are made",
            hint=f"free some space: df -h {path}; df -i {path}",
        )
    hint = f"make it writable (mount -o remount,rw {path})"
    if error.errno != errno.EROFS:
        hint = "make it a directory that root can write to"
    return AgentProblem(
        "journal-unwritable",
        f"{path} cannot be written to ({error.strerror}), and the changes of this host are "
        "written down there before they are made",
        hint=f"{hint}, or name another directory: SetEnv VXQUAL_RUN=DIR in sshd_config",
    )


def key_of(interface: str) -> str:
    """Returns what identifies an interface of this network namespace: for its journal and lease."""
    namespace = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
    return f"{namespace}-{interface}"


class Journal:
    """The list of the changes of one NIC to undo; last in, first out.

    Args:
        key: Identifies the NIC on this host; see `key_of`.
        undos: The functions that undo, by name; they take JSON values.
        patience: Seconds to wait for another agent to end its work on the NIC.

    Attributes:
        recovered: What was undone of the changes of an agent that had died.

    Raises:
        AgentProblem: Another agent works on the NIC, or the journal cannot be written.
    """

    def __init__(self, key: str, undos: Mapping[str, Undo], patience: float = PATIENCE) -> None:
        self._undos = undos
        self._path = DIRECTORY / (key + ".journal")
        self._entries: list[dict[str, Any]] = []
        self._file = self._lock(patience)
        self.recovered: list[str] = []
        left = self._read()
        if left.strip():
            # Its writer died. An entry is complete before the change is made: an incomplete line
            # was followed by no change.
            for line in left.decode("ascii", "replace").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    break
                if "boot" in entry:
                    if entry["boot"] != boot_id():  # the reboot has undone it all
                        os.ftruncate(self._file, 0)
                        return
                elif "left" in entry:
                    self._entries = entry["left"]
                elif "undone" in entry:
                    del self._entries[-entry["undone"] :]
                else:
                    self._entries.append(entry)
            self.recovered = self.undo_all()

    def _read(self) -> bytes:
        """Returns what the journal has, in whole lines; half a line at its end is removed."""
        os.lseek(self._file, 0, os.SEEK_SET)
        with os.fdopen(os.dup(self._file), "rb") as file:
            found = file.read()
        whole = found[: found.rfind(b"\n") + 1]
        if len(whole) < len(found):  # what is written next must not follow it
            os.ftruncate(self._file, len(whole))
        return whole

    def _lock(self, patience: float) -> int:
        check_writable()
        try:
            return locked(self._path, patience)
        except BlockingIOError:
            raise _leased(self._path) from None
        except OSError as error:
            raise unwritable(self._path, error) from None

    def about_to(self, undo: str, **args: Any) -> None:
        """Writes to disk how to undo what the caller does next.

        Raises:
            AgentProblem: It cannot be written; the caller must not do it then.
        """
        entry = {"undo": undo, "args": args}
        self._write(entry)
        self._entries.append(entry)

    def undone(self, count: int) -> None:
        """Removes the last `count` entries, which the caller has undone itself."""
        self._write({"undone": count})
        del self._entries[-count:]

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode("ascii") + b"\n"
        before = os.fstat(self._file).st_size
        if not before:
            line = json.dumps({"boot": boot_id()}).encode("ascii") + b"\n" + line
        try:
            if os.write(self._file, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):  # a later entry must not follow half a line
                os.ftruncate(self._file, before)
            raise unwritable(self._path, error) from None

    def undo_all(self) -> list[str]:
        """Undoes everything; returns a line for each undo. One failure does not stop the others.

        What could not be undone stays in the journal; the next agent tries again. As long as this
        goes on, everything does: an agent that is killed meanwhile has undone nothing that cannot
        be undone a second time.
        """
        report = []
        failed: list[dict[str, Any]] = []
        while self._entries:
            entry = self._entries.pop()
            name, args = entry["undo"], entry["args"]
            long = list if name == "features" else (list, dict)
            few = [item for item in args.items() if not isinstance(item[1], long)]
            line = "{} {}".format(name, " ".join("{}={}".format(*item) for item in few))
            try:
                done = self._undos[name](**args)
                if done is not False:
                    report.append(done if isinstance(done, str) else line)
            except AgentProblem as problem:
                if problem.kind == "no-such-interface":
                    report.append(f"{line}: gone, and the change with it")
                    continue
                failed.insert(0, entry)
                if problem.kind == "left-changed":
                    report.append("{} {}: {}".format(DIFFERS, args["interface"], problem))
                    continue
                report.append(f"{NOT_UNDONE} {line}: {problem}")
            except Exception as error:
                report.append(f"{NOT_UNDONE} {line}: {error or type(error).__name__}")
                failed.insert(0, entry)
        self._entries = failed
        try:
            if failed:  # one line, so that no part of it can be there alone
                self._write({"left": failed})
            else:
                os.ftruncate(self._file, 0)
        except (AgentProblem, OSError) as error:  # all of it stays, and is undone once more
            report.append(f"{self._path} still has what was undone: {error}")
        return report

    def close(self) -> list[str]:
        """Undoes everything and unlocks the journal; a second call does nothing."""
        if self._file < 0:
            return []
        try:
            report = self.undo_all()
            if not self._entries:
                with contextlib.suppress(OSError):  # an empty journal says the same
                    self._path.unlink()
        finally:
            os.close(self._file)
            self._file = -1
        with contextlib.suppress(OSError):  # it has other NICs' journals
            DIRECTORY.rmdir()
        return report
