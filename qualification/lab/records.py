"""What labs there are on this machine, who owns each, and how to take one down.

Every lab has a directory `/run/vxqual-lab/TAG` with all its files, made before anything else, and
all its namespaces are called `vxq-TAG-HOST`. So a lab can be removed completely by anyone who
finds its directory, whatever became of the process that built it. The place is root's own: what
root deletes on the word of a file must not be writable by others, as /tmp is.
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
"""Where sshd confines itself (_PATH_PRIVSEP_CHROOT_DIR); it refuses to work without."""

_SSHD_DIRECTORY_IS_OURS = "made-run-sshd"

_GRACE = 3.0
"""Seconds that processes in a host have to end well, for an agent to put things back."""


@dataclass(frozen=True)
class Record:
    """One lab, as its state file tells.

    Attributes:
        tag: Six hexadecimal digits, unlike any other lab's.
        owner: Process id of whoever built it.
        owner_started: That process's start, in clock ticks since boot; tells it from a later
            process of the same id.
        topology: Absolute path of the topology it was built from, if it is a persistent lab.
    """

    tag: str
    owner: int
    owner_started: int
    topology: str | None = None

    @property
    def directory(self) -> Path:
        """Where all its files are."""
        return ROOT / self.tag

    def namespace(self, host: str) -> str:
        """Name a host's namespace."""
        return f"vxq-{self.tag}-{host}"

    def namespaces(self) -> list[str]:
        """List the namespaces that are there."""
        return sorted(path.name for path in NAMESPACES.glob(f"vxq-{self.tag}-*"))

    def alive(self) -> bool:
        """Tell whether its owner still runs."""
        return _started(self.owner) == self.owner_started


def open_record(topology: str | None = None) -> Record:
    """Register a new lab of this process, once the labs of dead owners are swept away.

    Args:
        topology: Absolute path of the topology, for a persistent lab.

    Raises:
        LabError: That topology has a persistent lab.
    """
    sweep()
    with _locked():
        if topology and standing(topology):
            raise LabError("its lab stands already", where=topology)
        owner = os.getpid()
        record = Record(secrets.token_hex(3), owner, _started(owner) or 0, topology)
        record.directory.mkdir(mode=0o700, parents=True)
        (record.directory / "state.json").write_text(json.dumps(asdict(record)))
        if not _SSHD_DIRECTORY.exists():
            _SSHD_DIRECTORY.mkdir(mode=0o755)
            (ROOT / _SSHD_DIRECTORY_IS_OURS).touch()
    return record


def sweep() -> None:
    """Remove what labs whose owners are gone have left. Live labs are not touched."""
    with _locked():
        for record in _records():
            if not record.alive():
                _remove(record)


def close_record(record: Record) -> None:
    """Take a lab's hosts and files away. Its soft NICs have to be gone. Harmless twice."""
    with _locked():
        _remove(record)


def standing(topology: str) -> Record | None:
    """Find the live persistent lab of a topology.

    Args:
        topology: Absolute path.
    """
    return next((each for each in _records() if each.topology == topology and each.alive()), None)


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Keep other labs from coming and going. The lock is on /run, so it leaves no file."""
    fd = os.open(ROOT.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _records() -> list[Record]:
    """Read every lab's state; a lab that died before it wrote one has an owner that never was."""
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
            # The last lab takes it along, for the others needed it too.
            with contextlib.suppress(OSError):
                _SSHD_DIRECTORY.rmdir()
            (ROOT / _SSHD_DIRECTORY_IS_OURS).unlink()
        with contextlib.suppress(OSError):
            ROOT.rmdir()


def end_processes(record: Record) -> None:
    """End whatever still runs in the hosts: asked first, then killed."""
    for signum, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, _GRACE)):
        until = time.monotonic() + seconds
        told: set[int] = set()
        while (pids := _pids(record)) and time.monotonic() < until:
            for pid in pids - told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
            told |= pids
            time.sleep(0.02)
        if not pids:
            return


def _pids(record: Record) -> set[int]:
    found: set[int] = set()
    for name in record.namespaces():
        found |= {int(word) for word in _ip_netns("pids", name).split()}
    return found - {os.getpid()}


def _ip_netns(verb: str, namespace: str) -> str:
    """Run `ip netns`; that a namespace is gone by then is no error here."""
    command = ("ip", "netns", verb, namespace)
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _started(pid: int) -> int | None:
    """Give a process's start in clock ticks since boot (proc(5), field 22 of stat)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may contain anything.
    state, *rest = stat.rpartition(")")[2].split()
    return None if state == "Z" else int(rest[18])
