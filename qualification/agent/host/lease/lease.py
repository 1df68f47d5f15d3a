"""The lease on a NIC: a locked file that says who works on it, since when and from where.

A run takes the leases on all of its NICs before it begins, and an agent holds them until it ends.
The sessions of its pairs, whose agents are others, show that they are of the same run. However the
holder dies, the kernel frees the lock; what is left in the file then counts for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path

from qualification.agent.host import journal
from qualification.agent.host.checks.lock_file import held, locked
from qualification.messages.decode import DecodeError, decode
from qualification.messages.lease import Lease, Lessee
from qualification.messages.protocol import AgentProblem

_PATIENCE = 0.2
"""Seconds for which a locked file is tried again: others lock it for a moment, to look."""
_LONGEST = 1 << 12
_WAIT = "wait until that run has ended; vxqual run TOPOLOGY --wait SECONDS does so"


class HeldLease:
    """A lease that this process holds until it is closed, or the process ends.

    Args:
        key: Identifies the NIC on this host, as in its journal.
        lessee: Who takes it.

    Raises:
        AgentProblem: Another run has it; the message says which. Or the file cannot be written.
    """

    def __init__(self, key: str, lessee: Lessee) -> None:
        journal.check_writable()
        self._path = _path(key)
        try:
            self._file = locked(self._path, _PATIENCE)
        except BlockingIOError:
            raise _leased(self._path) from None
        except OSError as error:
            raise journal.unwritable(self._path, error) from None
        since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, json.dumps(asdict(Lease(lessee, since, _client()))).encode())
        except OSError as error:
            self.close()
            raise journal.unwritable(self._path, error) from None

    def close(self) -> None:
        """Gives it back; a second call does nothing."""
        if self._file < 0:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._file)
        self._file = -1
        with contextlib.suppress(OSError):  # others have files there
            journal.DIRECTORY.rmdir()


def holder(key: str) -> Lease | None:
    """Returns the lease that a run has on a NIC; None if none has.

    Raises:
        AgentProblem: One has, and what its file says of it cannot be read.
    """
    path = _path(key)
    if not held(path):
        return None
    found = _read(path)
    if found is None:
        raise _leased(path)
    return found


def check_lease(key: str, lessee: Lessee | None = None) -> bool:
    """Checks that no run but one has the lease on a NIC.

    Args:
        key: Identifies the NIC.
        lessee: Who may have it; None for nobody.

    Returns:
        Whether that one has it.

    Raises:
        AgentProblem: Another run has it; the message says which.
    """
    found = holder(key)
    if found is not None and found.lessee != lessee:
        raise _leased(_path(key))
    return found is not None


def _path(key: str) -> Path:
    return journal.DIRECTORY / (key + ".lease")


def _client() -> str:
    """Returns the address of the other end of our SSH session, as sshd knows it; "" if unknown.

    Behind a proxy command it is "UNKNOWN"; see `links.carries_ssh`.
    """
    client = (os.environ.get("VXQUAL_SSH_CONNECTION", "").split() or [""])[0]
    return "" if client == "UNKNOWN" else client


def _read(path: Path) -> Lease | None:
    try:
        with path.open("rb") as file:
            return decode(Lease, json.loads(file.read(_LONGEST)))
    except (OSError, ValueError, DecodeError):  # it is being written, or given back
        return None


def _leased(path: Path) -> AgentProblem:
    found = _read(path)
    who = str(found) if found is not None else "another run, which has only just taken it"
    interface = path.stem.partition("-")[2]
    printable = "".join(c if c.isprintable() else "?" for c in f"{interface} is leased by {who}")
    return AgentProblem("nic-leased", printable, hint=_WAIT)
