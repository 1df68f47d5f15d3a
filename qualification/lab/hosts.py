"""A host of the lab: a network namespace with an OpenSSH server that needs no port.

A client starts `sshd -i` inside the namespace and speaks SSH on its standard input and output, as
with ProxyCommand. See sshd(8) and sshd_config(5).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

from qualification.errors import LabError
from qualification.lab.softnic.tap import inside
from qualification.topology import Ssh

from .records import Record

# The files that an agent leaves on its host are below the lab's directory, and are removed with the
# lab. The hosts share this machine's file system; without directories of their own, each would find
# the files of the others. A home of their own keeps the user's shell start-up files out: they may
# take longer than an agent, and may hold locks that a killed session leaves behind.
_SSHD_CONFIG = """\
HostKey {home}/host_key
AuthorizedKeysFile {user_key}.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
AllowTcpForwarding no
X11Forwarding no
PrintMotd no
PrintLastLog no
PidFile none
LogLevel ERROR
Subsystem sftp internal-sftp
SetEnv HOME={home} XDG_CACHE_HOME={home}/cache VXQUAL_RUN={home}/journals
"""


def make_user_key(record: Record) -> Path:
    """Makes the user key with which every host of a lab is logged in to.

    Returns:
        The path of the private key; that of the public key has `.pub` added.
    """
    key = record.directory / "user_key"
    _keygen(key)
    return key


def make_host(record: Record, name: str, user_key: Path) -> Ssh:
    """Makes a host with no interface but its loopback.

    Args:
        record: The lab that it belongs to.
        name: Its name in the topology, and in the lab's known_hosts file.
        user_key: Path of the private key that may log in.

    Returns:
        The `ssh` section of its topology.

    Raises:
        LabError: The namespace or its server cannot be made.
    """
    namespace, home = record.namespace(name), record.directory / "hosts" / name
    for folder in ("cache", "state", "run"):
        (home / folder).mkdir(mode=0o700, parents=True)
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    with inside(namespace), contextlib.suppress(FileNotFoundError):
        # There is no router, and router solicitations would be in every capture. There is no
        # duplicate address either, and its detection takes two seconds whenever a link comes up.
        for setting in ("router_solicitations", "accept_dad"):
            Path("/proc/sys/net/ipv6/conf/default", setting).write_text("0")

    _keygen(home / "host_key")
    kind, public_key, *_ = (home / "host_key.pub").read_text().split()
    known_hosts = record.directory / "known_hosts"
    with known_hosts.open("a") as file:
        file.write(f"{name} {kind} {public_key}\n")
    config = home / "sshd_config"
    config.write_text(_SSHD_CONFIG.format(home=home, user_key=user_key))
    return Ssh(
        address=name,
        user="root",
        key=str(user_key),
        password=None,
        known_hosts=str(known_hosts),
        proxy_command=f"ip netns exec {namespace} {sshd()} -i -e -f {config}",
        config="none",  # what a user's own says of all hosts is not about the lab's
        sudo=False,
    )


def sshd() -> str | None:
    """Returns the absolute path of sshd, which refuses to start by another; PATH may lack sbin."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def run(*command: str, text: str | None = None) -> None:
    """Runs a command that must succeed.

    Args:
        *command: The program and its arguments; no shell is involved.
        text: Its standard input.

    Raises:
        LabError: The command failed; the message has its output.
    """
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip()
        raise LabError(f"`{' '.join(command)}` failed: {output or f'exit code {done.returncode}'}")


def _keygen(path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path))
