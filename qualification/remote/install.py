"""The agent's file on a host: is it there, and if not, put it there.

The probe is the first thing that runs on a host, so it also says whether its Python will do.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shlex
from pathlib import PurePosixPath
from typing import NamedTuple

import paramiko

from qualification.errors import HostError
from qualification.remote.ssh.connection import Connection

from .ship import Application

_OLDEST = (3, 9)
_PROBE_SECONDS = 30.0
_KEPT = 4
"""Files that stay in a host's cache: controllers of several versions may use it in turn."""


def python(source: str) -> str:
    """Python's arguments to run a constant source, quoted for any shell: no newline, no "!"."""
    return f"-c {shlex.quote(f'exec({source!r})')}"


# Python 2.7 and 3.4 must be able to run this, to say that they are too old. The current
# folder leaves the path first: in somebody's home may lie a json.py.
PROBE = "exec python3 " + python("""\
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import hashlib, json, os
order = json.loads(sys.stdin.readline())
caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
path = os.path.join(caches, "vxqual", "agent-%s.pyz" % order["sha256"])
intact, problem = False, None
try:
    if list(sys.version_info) >= order["oldest"]:
        folder = os.path.dirname(path)
        try:
            os.makedirs(folder)
        except EnvironmentError:  # it is there, or is made by another controller just now
            if not os.path.isdir(folder):
                raise
        os.chmod(folder, 0o700)
        if os.path.exists(path):
            with open(path, "rb") as file:
                intact = hashlib.sha256(file.read()).hexdigest() == order["sha256"]
except EnvironmentError as error:
    problem = str(error)
print("vxqual-probe " + json.dumps({
    "python": list(sys.version_info[:3]), "uid": os.getuid(), "path": path, "intact": intact,
    "problem": problem, "ssh_connection": os.environ.get("SSH_CONNECTION", ""),
}))
""")

# Isolated and without site: no modules but the application's own, and a faster start.
_LOADER = "python3 -I -S " + python("""\
print("vxqual-loader", flush=True)
import hashlib, json, os, sys
order = json.loads(open(0, "rb", 0, closefd=False).readline())
with open(order["path"], "rb") as file:
    intact = hashlib.sha256(file.read()).hexdigest() == order["sha256"]
if not intact:
    sys.exit(order["path"] + " has changed since it was stored")
os.environ["VXQUAL_SSH_CONNECTION"] = order["ssh_connection"]
sys.path.insert(0, order["path"])
from qualification.agent.__main__ import main
main()
""")
LOADING = b"vxqual-loader"
"""The loader's first line. Whatever comes before it, sudo and shells have said."""
LAUNCH = f"exec {_LOADER}"
LAUNCH_WITH_SUDO = f"exec sudo -n {_LOADER}"


class Installed(NamedTuple):
    """An agent that waits on a host to be started.

    Attributes:
        path: Its file.
        sha256: The file's hash.
        ssh_connection: What sshd says of our connection: addresses and ports of both ends.
        uid: The user that we are there.
    """

    path: str
    sha256: str
    ssh_connection: str
    uid: int

    def order(self) -> bytes:
        """The line that the loader waits for."""
        order = {name: getattr(self, name) for name in ("path", "sha256", "ssh_connection")}
        return json.dumps(order).encode("ascii")


def install(connection: Connection, app: Application, *, sudo: bool) -> Installed:
    """Look at a host, and upload the agent unless it is there already.

    Raises:
        HostError: No python3, or one too old; not root and no sudo; the file cannot be written.
    """
    where = connection.name
    order = json.dumps({"sha256": app.sha256, "oldest": _OLDEST}).encode() + b"\n"
    done = connection.run(PROBE, stdin=order, timeout=_PROBE_SECONDS)
    lines = done.stdout.decode(errors="replace").splitlines()
    answers = [line for line in lines if line.startswith("vxqual-probe ")]
    if not answers:
        if done.status == 127:
            raise HostError(
                "python3 is not on the PATH of an SSH session",
                where=where,
                hint="install it there: Python 3.9 or later",
            )
        said = (done.stderr.splitlines() or lines or ["it says nothing"])[-1]
        raise HostError(f"python3 does not run (status {done.status}): {said}", where=where)
    answer = json.loads(answers[0].partition(" ")[2])
    if tuple(answer["python"]) < _OLDEST:
        version = ".".join(str(part) for part in answer["python"])
        raise HostError(
            f"its python3 is Python {version}, too old for the agent",
            where=where,
            hint="install Python 3.9 or later there, as python3 on the PATH of an SSH session",
        )
    if answer["problem"]:
        raise HostError(f"the agent has nowhere to be stored: {answer['problem']}", where=where)
    if answer["uid"] != 0 and not sudo:
        raise HostError(
            f"the agent needs root, and we are user id {answer['uid']}",
            where=where,
            hint="set sudo: true or user: root in the host's ssh",
        )
    if not answer["intact"]:
        _upload(connection, PurePosixPath(answer["path"]), app.content)
    return Installed(answer["path"], app.sha256, answer["ssh_connection"], answer["uid"])


def _upload(connection: Connection, path: PurePosixPath, content: bytes) -> None:
    """Write under another name, then rename: nobody ever sees half an agent."""
    temporary = f"{path}.{secrets.token_hex(4)}"
    with contextlib.closing(connection.sftp()) as sftp:
        try:
            with sftp.open(temporary, "wx") as file:
                file.chmod(0o600)
                file.set_pipelined()
                file.write(content)
            sftp.posix_rename(temporary, str(path))
        except (OSError, EOFError, paramiko.SSHException) as error:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                sftp.remove(temporary)
            raise HostError(
                f"{path} cannot be written over SFTP: {error}",
                where=connection.name,
                hint="is there space, and does SFTP see the same files as a shell does?",
            ) from error
        with contextlib.suppress(OSError):
            _forget_old(sftp, path.parent)


def _forget_old(sftp: paramiko.SFTPClient, folder: PurePosixPath) -> None:
    files = [file for file in sftp.listdir_attr(str(folder)) if file.filename.startswith("agent-")]
    files.sort(key=lambda file: file.st_mtime or 0, reverse=True)
    for file in files[_KEPT:]:
        sftp.remove(str(folder / file.filename))
