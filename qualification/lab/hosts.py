"""A host of the lab: a network namespace with an OpenSSH server that needs no port.

Whoever wants in starts `sshd -i` inside the namespace and speaks SSH to its standard input, as
ProxyCommand does. See sshd(8) and sshd_config(5).
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

# Whatever is "kept on the host" is kept below the lab's directory, and goes away with the lab.
# Hosts share this machine's file system: without their own directories they would find each
# other's things.
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
SetEnv XDG_CACHE_HOME={home}/cache VXQUAL_RUN={home}/journals
"""


def make_user_key(record: Record) -> Path:
    """Make the key that opens every host of a lab.

    Returns:
        The private key; the public one is beside it, with `.pub`.
    """
    key = record.directory / "user_key"
    _keygen(key)
    return key


def make_host(record: Record, name: str, user_key: Path) -> Ssh:
    """Make a host, with a loopback interface and nothing else.

    Args:
        record: Its lab.
        name: Its name in the topology; also the name its host key goes by.
        user_key: Which private key opens it.

    Returns:
        How it is reached, as a topology says it.

    Raises:
        LabError: The namespace or its server cannot be made.
    """
    namespace, home = record.namespace(name), record.directory / "hosts" / name
    for folder in ("cache", "state", "run"):
        (home / folder).mkdir(mode=0o700, parents=True)
    run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")
    with inside(namespace), contextlib.suppress(FileNotFoundError):
        # No router will ever answer, and the questions would be in every capture. Nor will another
        # host have our address: to wait for its answer takes two seconds each time a link comes up.
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
        port=22,
        user="root",
        key=str(user_key),
        password=None,
        known_hosts=str(known_hosts),
        proxy_command=f"ip netns exec {namespace} {sshd()} -i -e -f {config}",
        sudo=False,
    )


def sshd() -> str | None:
    """Find OpenSSH's server, by an absolute path as it demands, also where PATH lacks sbin."""
    return shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def run(*command: str, text: str | None = None) -> None:
    """Run a command that must succeed.

    Args:
        *command: The program and its arguments; no shell is involved.
        text: What it reads.

    Raises:
        LabError: It failed; carries what it said.
    """
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"`{' '.join(command)}` failed: {said or f'exit code {done.returncode}'}")


def _keygen(path: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path))
