"""The journal: what was changed on this host, on disk before it is changed.

One file a NIC under /run/vxqual, locked while an agent works on it: the lock is the lease, so two
controllers never share a NIC, and a file that can be locked but is not empty was left by an agent
that died. The next one puts that host back first. /run is emptied by a reboot, as are the changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qualification.messages.protocol import AgentProblem

DIRECTORY = Path(os.environ.get("VXQUAL_RUN") or "/run/vxqual")
"""Hosts that share a file system, as containers may, can each be given one of their own."""

NOT_UNDONE = "could not undo"
"""What a line of the report opens with where a host is left changed."""

Undo = Callable[..., None]


class Journal:
    """The lease on one NIC and the undo list of what was changed for it; last in, first out.

    Args:
        key: Names the NIC on this host: namespace and interface.
        undos: What can be undone: a name to a function of JSON arguments.
    """

    def __init__(self, key: str, undos: Mapping[str, Undo]) -> None:
        self._undos = undos
        self._path = DIRECTORY / (key + ".journal")
        self._entries: list[dict[str, Any]] = []
        self._file = self._lock()
        os.lseek(self._file, 0, os.SEEK_SET)
        left = os.read(self._file, 1 << 20)
        self.recovered: list[str] = []
        if left.strip():
            # Its writer died. An entry is whole before its act: a torn line was not acted on.
            for line in left.decode("ascii", "replace").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    break
                if "undone" in entry:
                    del self._entries[-entry["undone"] :]
                else:
                    self._entries.append(entry)
            self.recovered = self.undo_all()

    def _lock(self) -> int:
        while True:
            with contextlib.suppress(FileExistsError):
                DIRECTORY.mkdir(mode=0o700)
            try:
                file = os.open(
                    self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600
                )
            except FileNotFoundError:
                continue  # the directory went with another NIC's journal
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                raise AgentProblem(
                    "nic-leased",
                    f"another vxqual is at work on this NIC ({self._path} is locked)",
                    hint="wait until it has ended",
                ) from None
            try:
                if self._path.stat().st_ino == os.fstat(file).st_ino:
                    return file
            except FileNotFoundError:
                pass
            os.close(file)  # its last holder removed it between our open and our lock

    def about_to(self, undo: str, **args: Any) -> None:
        """Writes down how to undo what the caller does next."""
        entry = {"undo": undo, "args": args}
        self._write(entry)
        os.fsync(self._file)
        self._entries.append(entry)

    def undone(self, count: int) -> None:
        """The caller has itself put back the last changes that it wrote down."""
        self._write({"undone": count})
        os.fsync(self._file)
        del self._entries[-count:]

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry).encode("ascii") + b"\n"
        if os.write(self._file, line) != len(line):
            raise AgentProblem("journal-full", f"{self._path} cannot be written: no space left")

    def undo_all(self) -> list[str]:
        """Puts everything back; says what it did. One failure does not stop the others.

        What could not be put back stays in the journal, for the next agent to try again.
        """
        report = []
        failed: list[dict[str, Any]] = []
        while self._entries:
            entry = self._entries.pop()
            name, args = entry["undo"], entry["args"]
            few = [item for item in args.items() if not isinstance(item[1], list)]
            told = "{} {}".format(name, " ".join("{}={}".format(*item) for item in few))
            try:
                self._undos[name](**args)
                report.append(told)
            except AgentProblem as problem:
                if problem.kind == "no-such-interface":
                    report.append(f"{told}: gone, and the change with it")
                    continue
                report.append(f"{NOT_UNDONE} {told}: {problem}")
                failed.insert(0, entry)
            except Exception as error:
                report.append(f"{NOT_UNDONE} {told}: {error}")
                failed.insert(0, entry)
        os.ftruncate(self._file, 0)
        for entry in failed:
            self._write(entry)
        self._entries = failed
        return report

    def close(self) -> list[str]:
        """Undoes everything and gives the lease back; harmless when called again."""
        if self._file < 0:
            return []
        report = self.undo_all()
        if not self._entries:
            self._path.unlink()
        os.close(self._file)
        self._file = -1
        with contextlib.suppress(OSError):  # other NICs' journals are in it
            DIRECTORY.rmdir()
        return report
