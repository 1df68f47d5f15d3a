"""Where a host is and how to log in there, from the topology and OpenSSH's client configuration.

What the topology says counts first, as what `ssh -o` says does; then ~/.ssh/config; then defaults.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from qualification.errors import HostError
from qualification.topology.hosts import expanded

from .client_config import Settings, settings

if TYPE_CHECKING:
    from qualification.topology import Password, Ssh

_GLOBAL_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
_MOST_JUMPS = 8
_JUMP = re.compile(
    r"(?:ssh://)?(?:(?P<user>[^@\s]+)@)?(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\s/]+))(?::(?P<port>\d+))?/?"
)


@dataclass(frozen=True)
class Target:
    """One sshd, and how to log in to it.

    Attributes:
        address: Host name or IP address.
        port: TCP port.
        user: User to log in as.
        known_hosts: Files with trusted host keys; at least one has to exist.
        host_key_name: The name in those files.
        key: The private key that the topology names: no other is tried.
        identities: Private keys of the configuration, tried after those of the SSH agent.
        certificates: Certificates for those keys, beside KEY-cert.pub.
        identities_only: Whether the agent's other keys are left out.
        password: Tried last.
        proxy_command: Command whose stdin and stdout are the connection.
        via: The jump host through which the connection goes.
    """

    address: str
    port: int
    user: str
    known_hosts: tuple[Path, ...]
    host_key_name: str
    key: Path | None = None
    identities: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    identities_only: bool = False
    password: Password | None = field(default=None, repr=False)
    proxy_command: str | None = None
    via: Target | None = None

    def __str__(self) -> str:
        """Returns it for logs; neither a proxy command nor a password, either may be a secret."""
        text = f"{self.user}@{self.address} port {self.port}"
        if self.via:
            return f"{text} through {self.via}"
        return text + (" through a proxy command" if self.proxy_command else "")


def target(where: str, ssh: Ssh) -> Target:
    """Returns where a host is and how to log in.

    Args:
        where: The host's name in the topology, for errors.
        ssh: What the topology says.

    Raises:
        HostError: The client configuration cannot be used.
    """
    given = {"Port": ssh.port, "User": ssh.user}
    found = settings(where, ssh.address, ssh.config, given)
    return _target(where, ssh.address, found, ssh, ssh.config, 0)


def _target(
    where: str, alias: str, found: Settings, ssh: Ssh | None, file: str | None, depth: int
) -> Target:
    """Returns a host's target; for a jump host `ssh` is None."""
    if depth > _MOST_JUMPS:
        raise HostError(f"more than {_MOST_JUMPS} jump hosts, the last is {alias}", where=where)
    address = _text(found, "hostname") or alias
    port = _port(where, found)
    known = ssh.known_hosts_file if ssh else None
    proxy, via = _way(where, found, ssh, file, depth)
    named = _text(found, "hostkeyalias")
    lowered = (named or address).lower()
    return Target(
        address=address,
        port=port,
        user=_text(found, "user") or "root",
        known_hosts=(known,) if known else _known_hosts(found),
        host_key_name=lowered if named or port == 22 else f"[{lowered}]:{port}",
        key=ssh.key_file if ssh else None,
        identities=tuple(expanded(path) for path in _list(found, "identityfile")),
        certificates=tuple(expanded(path) for path in _list(found, "certificatefile")),
        identities_only=_text(found, "identitiesonly") == "yes",
        password=ssh.password if ssh else None,
        proxy_command=proxy,
        via=via,
    )


def _way(
    where: str, found: Settings, ssh: Ssh | None, file: str | None, depth: int
) -> tuple[str | None, Target | None]:
    """Returns the proxy command and the jump host; of the two settings the first one counts."""
    if ssh and ssh.proxy_command:
        return ssh.proxy_command, None
    first = next((key for key in found if key in ("proxyjump", "proxycommand")), None)
    text = _text(found, first) if first else None
    if text is None or text.lower() == "none":
        return None, None
    if first == "proxycommand":
        # ssh has the user's shell run it. The tokens are expanded already.
        return shlex.join(["/bin/sh", "-c", f"exec {text}"]).replace("%", "%%"), None
    via: Target | None = None
    for hop in text.split(","):
        via = _hop(where, hop.strip(), via, file, depth + 1)
    return None, via


def _hop(where: str, hop: str, via: Target | None, file: str | None, depth: int) -> Target:
    """Returns a jump host; the first of a list has a way of its own, the next goes through it."""
    parts = _JUMP.fullmatch(hop)
    if parts is None:
        raise HostError(f"ProxyJump names no host: {hop!r}", where=where)
    alias = parts["six"] or parts["host"]
    found = dict(settings(where, alias, file, {"Port": parts["port"], "User": parts["user"]}))
    if via:
        for key in ("proxyjump", "proxycommand"):
            found.pop(key, None)
    hop_target = _target(where, alias, found, None, file, depth)
    return hop_target if via is None else replace(hop_target, via=via)


def _known_hosts(found: Settings) -> tuple[Path, ...]:
    files = _text(found, "userknownhostsfile") or "~/.ssh/known_hosts ~/.ssh/known_hosts2"
    return (*(expanded(path) for path in shlex.split(files)), _GLOBAL_KNOWN_HOSTS)


def _port(where: str, found: Settings) -> int:
    text = _text(found, "port") or "22"
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise HostError(f"the SSH configuration has no port but {text!r}", where=where)
    return int(text)


def _text(found: Settings, key: str) -> str | None:
    value = found.get(key)
    return value if isinstance(value, str) else None


def _list(found: Settings, key: str) -> list[str]:
    value = found.get(key) or []
    return [value] if isinstance(value, str) else value
