"""Looks for the agent's file on a host, and uploads it if it is not there.

The probe is the first program that runs on a host, so it also checks the version of its Python.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shlex
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

import paramiko

from qualification.errors import HostError
from qualification.messages.decode import DecodeError, decode
from qualification.messages.protocol import SILENCE
from qualification.messages.untrusted import UntrustedError, json_value
from qualification.printable import inert
from qualification.remote.ssh.connection import Connection

from .ship import Application

_OLDEST = (3, 9)
_PROBE_SECONDS = 30.0
_START_SECONDS = 30.0
_START_PROBES = 30.0
"""An agent takes six times as long to start as the probe; an emulated host has been seen to need
24 s for it. It gets the longer of both times."""
_KEPT = 4
"""Files that stay in a host's cache: controllers of several versions may use it in turn."""

_MOST_LISTED = 1000
_MOST_SAID = 300
_SPARE = 64 << 10
"""Bytes that a file system may need beside the file's own."""
_ELSEWHERE = (
    "make ~/.cache of the SSH user writable, or set another directory for its sessions: SetEnv "
    "XDG_CACHE_HOME=DIR in sshd_config"
)

_log = logging.getLogger("vxqual.agent")


def python(source: str) -> str:
    """Returns Python's arguments to run a constant source, quoted for any shell.

    They contain no newline and no "!", which csh and fish treat specially even in single quotes.
    """
    return f"-c {shlex.quote(f'exec({source!r})')}"


# Python 2.7 and 3.4 must be able to run this, to report that they are too old. The current
# directory is removed from the path first: a user's home may contain a json.py.
PROBE = "exec python3 " + python("""\
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import hashlib, json, os, stat
order = json.loads(sys.stdin.readline())
os.umask(0o077)
def foreign(name):
    there = os.lstat(name)
    return stat.S_ISLNK(there.st_mode) or not there.st_uid == os.getuid()
caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
path = os.path.join(caches, "vxqual", "agent-%s.pyz" % order["sha256"])
intact, problem, free = False, None, None
folder = os.path.dirname(path)
try:
    if os.path.lexists(folder) and foreign(folder):
        problem = folder + " is a link, or belongs to another user"
    elif list(sys.version_info) >= order["oldest"]:
        if os.path.lexists(path) and not foreign(path):
            with open(path, "rb") as file:
                intact = hashlib.sha256(file.read()).hexdigest() == order["sha256"]
        try:
            os.makedirs(folder)
        except EnvironmentError:  # it is there, or is made by another controller just now
            if not os.path.isdir(folder):
                raise
        os.chmod(folder, 0o700)
        system = os.statvfs(folder)
        free = system.f_bavail * system.f_frsize
except EnvironmentError as error:
    if not intact:
        problem = "%s: %s" % (error.strerror or error, error.filename or folder)
print("vxqual-probe " + json.dumps({
    "python": list(sys.version_info[:3]), "uid": os.getuid(), "path": path, "intact": intact,
    "problem": problem, "free": free, "ssh_connection": os.environ.get("SSH_CONNECTION", ""),
}))
""")

# Isolated and without site: only the application's own modules, and a faster start.
_LOADER = "python3 -I -S " + python("""\
print("vxqual-loader", flush=True)
import hashlib, json, os, stat, sys
order = json.loads(open(0, "rb", 0, closefd=False).readline())
for name in (os.path.dirname(order["path"]), order["path"]):
    there = os.lstat(name)
    mode = there.st_mode
    if stat.S_ISLNK(mode) or mode & 0o022 or there.st_uid not in (0, order["uid"]):
        sys.exit(name + " is a link, or others than its user can write to it")
with open(order["path"], "rb") as file:
    intact = hashlib.sha256(file.read()).hexdigest() == order["sha256"]
if not intact:
    sys.exit(order["path"] + " has changed since it was stored")
os.environ["VXQUAL_SSH_CONNECTION"] = order["ssh_connection"]
os.environ["VXQUAL_SILENCE"] = str(order["silence"])
sys.path.insert(0, order["path"])
from qualification.agent.__main__ import main
main()
""")
LOADING = b"vxqual-loader"
"""The loader's first line. Output before it comes from sudo or a shell."""
LAUNCH = f"exec {_LOADER}"
LAUNCH_WITH_SUDO = f"exec sudo -n {_LOADER}"


@dataclass(frozen=True)
class _Probed:
    """What the probe prints."""

    python: tuple[int, ...]
    uid: int
    path: str
    intact: bool | None
    problem: str | None
    ssh_connection: str
    free: int | None = None


class Installed(NamedTuple):
    """An agent's file on a host, ready to be started.

    Attributes:
        path: The file.
        sha256: Its hash, in hex.
        ssh_connection: sshd's SSH_CONNECTION: addresses and ports of both ends of our connection.
        uid: The SSH user's id on the host.
        seconds: How long the probe took, which tells how fast the host is.
    """

    path: str
    sha256: str
    ssh_connection: str
    uid: int
    seconds: float = 0.0

    def order(self) -> bytes:
        """Returns the line that the loader waits for."""
        order = {name: getattr(self, name) for name in ("path", "sha256", "ssh_connection", "uid")}
        order["silence"] = SILENCE
        return json.dumps(order).encode("ascii")


def start_seconds(installed: Installed) -> float:
    """Returns how long an agent may take to start on a host, by how long the probe took there."""
    return max(_START_SECONDS, round(_START_PROBES * installed.seconds))


def install(connection: Connection, app: Application, *, sudo: bool) -> Installed:
    """Checks a host, and uploads the agent unless it is there already.

    Args:
        connection: The connection to the host.
        app: The agent.
        sudo: Whether the agent will be started with sudo, so that the user need not be root.

    Raises:
        HostError: There is no python3 or it is too old, the user is not root and there is no sudo,
            or the file cannot be written.
    """
    where = connection.name
    order = json.dumps({"sha256": app.sha256, "oldest": _OLDEST}).encode() + b"\n"
    asked = time.monotonic()
    done = connection.run(PROBE, stdin=order, timeout=_PROBE_SECONDS)
    seconds = time.monotonic() - asked
    lines = done.stdout.decode(errors="replace").splitlines()
    answers = [line for line in lines if line.startswith("vxqual-probe ")]
    if not answers:
        if done.status == 127:
            raise HostError(
                "python3 is not on the PATH of an SSH session",
                where=where,
                hint="install it there: Python 3.9 or later",
            )
        said = (done.stderr.splitlines() or lines or ["no message"])[-1][:_MOST_SAID]
        raise HostError(
            f"python3 does not run (status {done.status}): {said}",
            where=where,
            hint="run `python3 --version` there over SSH, and repair that Python",
        )
    try:
        answer = decode(_Probed, inert(json_value(answers[0].partition(" ")[2].encode())))
    except (UntrustedError, DecodeError) as error:
        raise HostError(
            f"its python3 gives no answer that can be read: {error}",
            where=where,
            hint="see what `python3` is in an SSH session there: type -a python3",
        ) from None
    if answer.python < _OLDEST:
        version = ".".join(map(str, answer.python))
        raise HostError(
            f"its python3 is Python {version}, too old for the agent",
            where=where,
            hint="install Python 3.9 or later there, as python3 on the PATH of an SSH session",
        )
    if answer.problem:
        raise HostError(
            f"the agent cannot be stored: {answer.problem}",
            where=where,
            hint=_ELSEWHERE,
        )
    if answer.uid != 0 and not sudo:
        raise HostError(
            f"the agent needs root, but the SSH user has user id {answer.uid}",
            where=where,
            hint="set sudo: true or user: root in the host's ssh section",
        )
    if answer.intact:
        _log.debug("%s: the agent is there already: %s", where, answer.path)
    else:
        started = time.monotonic()
        free, needed = answer.free, len(app.content) + _SPARE
        if free is not None and free < needed:
            raise HostError(
                f"there is no space for the agent in {PurePosixPath(answer.path).parent}: it "
                f"needs {needed / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free",
                where=where,
                hint="free some space there (df -h ~/.cache), or set another directory for it: "
                "SetEnv XDG_CACHE_HOME=DIR in sshd_config",
            )
        _upload(connection, PurePosixPath(answer.path), app.content)
        _log.info(
            "%s: agent uploaded in %.3f s: %d bytes to %s",
            *(where, time.monotonic() - started, len(app.content), answer.path),
        )
    return Installed(answer.path, app.sha256, answer.ssh_connection, answer.uid, seconds)


def _upload(connection: Connection, path: PurePosixPath, content: bytes) -> None:
    """Writes the file under another name and renames it, so that nobody reads an incomplete one."""
    temporary = f"{path}.{secrets.token_hex(4)}"
    with connection.sftp() as sftp:
        try:
            with sftp.open(temporary, "wx") as file:
                file.chmod(0o600)
                file.set_pipelined()
                file.write(content)
            stored = sftp.stat(temporary).st_size
            if stored != len(content):  # writes that are pipelined may fail without an error
                raise OSError(f"{stored} of {len(content)} bytes were stored")
            sftp.posix_rename(temporary, str(path))
        except (OSError, EOFError, paramiko.SSHException) as error:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                sftp.remove(temporary)
            raise HostError(
                f"{path} cannot be written over SFTP: {error}",
                where=connection.name,
                hint="check the free space there, and that SFTP and shells see the same files",
            ) from error
        with contextlib.suppress(OSError):
            _forget_old(sftp, path)


def _forget_old(sftp: paramiko.SFTPClient, newest: PurePosixPath) -> None:
    """Removes all agents but the newest ones.

    Args:
        sftp: The session.
        newest: The one just stored, whose time is not the latest if the clock was put back.
    """
    folder = str(newest.parent)
    files = [
        file
        for file in islice(sftp.listdir_iter(folder), _MOST_LISTED)
        if file.filename.startswith("agent-") and file.filename != newest.name
    ]
    files.sort(key=lambda file: file.st_mtime or 0, reverse=True)
    for file in files[_KEPT - 1 :]:
        sftp.remove(f"{folder}/{file.filename}")
