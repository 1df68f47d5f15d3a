"""Verifies a host's key against a known_hosts file, which it reads as OpenSSH does.

paramiko's own reader supports neither patterns nor a second key of one type, and fails on
`@cert-authority` lines.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from qualification.errors import HostError

if TYPE_CHECKING:
    import paramiko

    from .target import Target


class _Key(NamedTuple):
    kind: str
    base64: str

    def __str__(self) -> str:
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return f"{self.kind} SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


class HostKeys:
    """The keys that known_hosts files hold for one host.

    Args:
        where: The host's name in the topology, for errors.
        target: Where it is, and which files are trusted.

    Raises:
        HostError: The files are missing, or one cannot be read.
    """

    def __init__(self, where: str, target: Target) -> None:
        self._where, self._target = where, target
        self._path, self._name = target.known_hosts[0], target.host_key_name
        texts = [text for path in target.known_hosts if (text := self._text(path)) is not None]
        if not texts:
            raise HostError(
                f"the known_hosts file {self._path} does not exist",
                where=where,
                hint=f"make it with `{self._keyscan()}`, then compare the fingerprints that "
                f"`ssh-keygen -lf {self._path}` shows with the host's own",
            )
        text = "\n".join(texts)
        entries = list(_entries(text, self._name))
        self._known = [key for marker, key in entries if not marker]
        self._revoked = [key for marker, key in entries if marker == "@revoked"]

    def _text(self, path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HostError(
                f"the known_hosts file {path} cannot be read: {error.strerror}", where=self._where
            ) from None

    def preferred(self, offered: Sequence[str]) -> list[str]:
        """Returns the algorithms to offer, with those of known keys first.

        A host has keys of several types, and presents one of the type that is listed first.
        """
        known = {key.kind for key in self._known}
        if "ssh-rsa" in known:
            known |= {"rsa-sha2-512", "rsa-sha2-256"}
        return sorted(offered, key=lambda algorithm: algorithm not in known)

    def check(self, shown: paramiko.PKey) -> None:
        """Verifies the key that the host presents.

        Raises:
            HostError: The key is unknown or revoked, or differs from those in the file.
        """
        key = _Key(shown.get_name(), shown.get_base64())
        if key in self._revoked:
            raise HostError(
                f"host key {key} is revoked in {self._path}",
                where=self._where,
                hint="do not log in there; ask whoever revoked the key",
            )
        if key in self._known:
            return
        if self._known:
            held = ", ".join(str(known) for known in self._known)
            name, path = shlex.quote(self._name), shlex.quote(str(self._path))
            raise HostError(
                f"host key changed: it shows {key}, but {self._path} holds {held}",
                where=self._where,
                hint="the host was reinstalled, or somebody intercepts the connection. If the new "
                f"fingerprint is the host's own: ssh-keygen -R {name} -f {path}, then "
                f"{self._add(key)}",
            )
        raise HostError(
            f"unknown host key {key}: {self._path} holds none for {self._name}",
            where=self._where,
            hint="compare the fingerprint with the host's own (on its console: ssh-keygen -lf "
            f"/etc/ssh/ssh_host_*_key.pub); if it is the same: {self._add(key)}",
        )

    def _add(self, key: _Key) -> str:
        if self._target.proxy_command is None and self._target.via is None:
            return self._keyscan()
        line = f"{self._name} {key.kind} {key.base64}"  # ssh-keyscan knows no proxies
        return f"echo {shlex.quote(line)} >> {shlex.quote(str(self._path))}"

    def _keyscan(self) -> str:
        address, path = shlex.quote(self._target.address), shlex.quote(str(self._path))
        return f"ssh-keyscan -p {self._target.port} {address} >> {path}"


def _entries(text: str, name: str) -> Iterator[tuple[str, _Key]]:
    """Yields the keys for a name, each with its marker: "@revoked", for example, or ""."""
    for line in text.splitlines():
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) >= 3 and not fields[0].startswith("#") and _matches(fields[0], name):
            yield marker, _Key(fields[1], fields[2])


def _matches(names: str, name: str) -> bool:
    """Returns whether the first field of a line (a hash, or patterns) matches a host's name."""
    if names.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part) for part in names[3:].split("|"))
        except ValueError:
            return False
        return hmac.digest(salt, name.encode(), "sha1") == digest
    found = False
    for pattern in names.lower().split(","):
        # Not fnmatch, which takes the brackets of "[host]:port" for a set of characters.
        regex = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(regex, name):
            if pattern.startswith("!"):
                return False
            found = True
    return found
