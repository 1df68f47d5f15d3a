"""The records of the labs on this machine: which there are, who owns each, and their removal.

Every lab has a directory `/run/vxqual-lab/TAG` with all its files, which is made before anything
else, and all its namespaces are named `vxq-TAG-HOST`. So any process that finds the directory can
remove the lab completely, even if the process that built it has crashed. The directory is writable
by root alone, unlike /tmp, because root deletes what the files in it name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from qualification.errors import LabError

ROOT = Path("/run/vxqual-lab")
NAMESPACES = Path("/run/netns")

_SSHD_DIRECTORY = Path("/run/sshd")
"""The directory to which sshd chroots (_PATH_PRIVSEP_CHROOT_DIR); sshd does not run without it."""

_SSHD_DIRECTORY_IS_OURS = "made-run-sshd"

_PROCESSES = "processes"

_GRACE = 3.0
"""Seconds that processes in a host get to end, so that an agent can undo its changes."""


@dataclass(frozen=True)
class Record:
    """One lab, as its state file describes it.

    Attributes:
        tag: Six hexadecimal digits; no other lab has the same.
        owner: Process id of the process that built it.
        owner_started: When that process started, in clock ticks since boot; distinguishes it from
            a later process of the same id.
        topology: Absolute path of the topology it was built from, if it is a persistent lab.
    """

    tag: str
    owner: int
    owner_started: int
    topology: str | None = None

    @property
    def directory(self) -> Path:
        """Returns the directory of all its files."""
        return ROOT / self.tag

    def namespace(self, host: str) -> str:
        """Returns the name of a host's namespace."""
        return f"vxq-{self.tag}-{host}"

    def namespaces(self) -> list[str]:
        """Returns the names of its namespaces that exist."""
        return sorted(path.name for path in NAMESPACES.glob(f"vxq-{self.tag}-*"))

    def alive(self) -> bool:
        """Returns whether its owner still runs."""
        return _started(self.owner) == self.owner_started


def open_record(topology: str | None = None) -> Record:
    """Registers a new lab of this process, after removing the labs whose owners have ended.

    Args:
        topology: Absolute path of the topology, for a persistent lab.

    Raises:
        LabError: That topology has a persistent lab already.
    """
    sweep()
    with _locked():
        if topology and find_persistent(topology):
            raise LabError(
                "its lab is up already", where=topology, hint=f"vxqual lab down {topology}"
            )
        owner = os.getpid()
        record = Record(secrets.token_hex(3), owner, _started(owner) or 0, topology)
        record.directory.mkdir(mode=0o700, parents=True)
        (record.directory / "state.json").write_text(json.dumps(asdict(record)))
        if not _SSHD_DIRECTORY.exists():
            _SSHD_DIRECTORY.mkdir(mode=0o755)
            (ROOT / _SSHD_DIRECTORY_IS_OURS).touch()
    return record


def note_process(record: Record, pid: int) -> None:
    """Notes a process outside the hosts' namespaces that has to end with the lab."""
    with (record.directory / _PROCESSES).open("a") as file:
        file.write(f"{pid} {_started(pid) or 0}\n")


def sweep() -> None:
    """Removes the labs whose owners have ended. Other labs are not touched."""
    with _locked():
        for record in _records():
            if not record.alive():
                _remove(record)


def close_record(record: Record) -> None:
    """Removes a lab's hosts and files, after its soft NICs have ended. Idempotent."""
    with _locked():
        _remove(record)


def find_persistent(topology: str) -> Record | None:
    """Returns the record of a topology's persistent lab, if it has one whose owner runs.

    Args:
        topology: Absolute path of the topology.
    """
    return next((each for each in _records() if each.topology == topology and each.alive()), None)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Prevents that other processes add or remove labs. The lock is on /run, and leaves no file."""
    fd = os.open(ROOT.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _records() -> list[Record]:
    """Returns the records of all labs.

    A lab whose builder ended before it wrote the state file gets an owner that does not exist.
    """
    records = []
    for directory in sorted(path for path in ROOT.glob("*") if path.is_dir()):
        try:
            records.append(Record(**json.loads((directory / "state.json").read_text())))
        except (OSError, ValueError, TypeError):
            records.append(Record(directory.name, owner=0, owner_started=0))
    return records


def _remove(record: Record) -> None:
    end_processes(record)
    for name in record.namespaces():
        _ip_netns("delete", name)
    shutil.rmtree(record.directory, ignore_errors=True)
    if not _records():
        if (ROOT / _SSHD_DIRECTORY_IS_OURS).exists():
            # It is removed with the last lab, because the others needed it too.
            with contextlib.suppress(OSError):
                _SSHD_DIRECTORY.rmdir()
            (ROOT / _SSHD_DIRECTORY_IS_OURS).unlink()
        with contextlib.suppress(OSError):
            ROOT.rmdir()


def end_processes(record: Record) -> None:
    """Ends the processes that still run in the hosts: first by SIGTERM, then by SIGKILL."""
    for signum, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        until = time.monotonic() + seconds
        signalled: set[int] = set()
        while (pids := _pids(record)) and time.monotonic() < until:
            for pid in pids - signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
            signalled |= pids
            time.sleep(0.02)
        if not pids:
            return


def _pids(record: Record) -> set[int]:
    found: set[int] = set()
    for name in record.namespaces():
        found |= {int(word) for word in _ip_netns("pids", name).split()}
    with contextlib.suppress(FileNotFoundError):
        for line in (record.directory / _PROCESSES).read_text().splitlines():
            pid, started = map(int, line.split())
            if _started(pid) == started:
                found.add(pid)
    return found - {os.getpid()}


def _ip_netns(verb: str, namespace: str) -> str:
    """Runs `ip netns` and returns its output. A namespace that no longer exists is no error."""
    command = ("ip", "netns", verb, namespace)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _started(pid: int) -> int | None:
    """Returns when a process started, in clock ticks since boot (proc(5), field 22 of stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses, and may contain any character.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state == "Z" else int(rest[18])
