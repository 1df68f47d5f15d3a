"""Logs in to a host: chooses the keys to offer, and reports what was tried if all are refused."""

from __future__ import annotations

import contextlib
import copy
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko

from qualification.errors import HostError

if TYPE_CHECKING:
    from .target import Target

_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")

_log = logging.getLogger("vxqual.ssh")


def load_key(where: str, target: Target) -> paramiko.PKey | None:
    """Loads the key that the topology names; returns None if it names none.

    Raises:
        HostError: The file is missing, unreadable or encrypted, or holds no private key.
    """
    path = target.key
    if path is None:
        return None
    try:
        return _load(path)
    except FileNotFoundError:
        what, hint = "does not exist", "correct the host's `key`"
    except OSError as error:
        what, hint = f"cannot be read: {error.strerror}", "correct the host's `key`"
    except TypeError:
        what = "is encrypted"
        hint = f"add it to your SSH agent (ssh-add {path}) and remove the host's `key`"
    except ValueError:
        what, hint = "is not a private key of a known kind", "name the private key, not FILE.pub"
    raise HostError(f"the key file {path} {what}", where=where, hint=hint)


def log_in(
    where: str,
    target: Target,
    transport: paramiko.Transport,
    *,
    key: paramiko.PKey | None,
    deadline: float,
) -> str:
    """Authenticates with the topology's key or, if it names none, with the user's own keys.

    The user's own keys are the SSH agent's, then those of ~/.ssh/config, or in the usual files if
    it names none. A certificate is tried before its key alone, as ssh does. The password, if the
    topology has one, is tried last.

    Args:
        where: The host's name in the topology, for errors and the log.
        target: Where it is, and which keys are for it.
        transport: The connection, with its host key verified.
        key: The key that the topology names, if any.
        deadline: How long to try, as a time of the monotonic clock.

    Returns:
        What the user was authenticated with, in words.

    Raises:
        HostError: Every key and the password were refused; says what was tried.
        SSHException: The connection broke, or the time is up.
    """
    tried: list[str] = []

    def accepts(label: str, method: Callable[[], object]) -> bool:
        tried.append(label)
        transport.auth_timeout = max(deadline - time.monotonic(), 0)
        try:
            method()
        except paramiko.AuthenticationException:
            if time.monotonic() >= deadline:
                raise
        accepted = transport.is_authenticated()
        _log.debug("%s: sshd %s %s", where, "accepts" if accepted else "refuses", label)
        return accepted

    with contextlib.closing(paramiko.Agent()) as agent:
        keys = [(str(target.key), key)] if key else _candidates(agent, target)
        for label, candidate in _with_certificates(keys, target):
            if candidate is None:
                tried.append(label)
            elif accepts(label, partial(transport.auth_publickey, target.user, candidate)):
                return label
            if not transport.is_active():
                break
    if target.password is not None and transport.is_active():
        password = target.password.get_secret_value()
        if accepts("the password", partial(transport.auth_password, target.user, password)):
            return "the password"
    raise HostError(
        f"sshd refuses to authenticate user {target.user}; tried: {', '.join(tried)}"
        if tried
        else f"there is neither a key nor a password to authenticate user {target.user} with",
        where=where,
        hint="add a public key to that user's authorized_keys there (ssh-copy-id) and name its "
        "private key as the host's `key`"
        if transport.is_active()
        else "sshd closed the connection, as it does after too many keys (MaxAuthTries in "
        "sshd_config): name the right one as the host's `key`",
    )


def _load(path: Path) -> paramiko.PKey:
    """Reads a private key.

    Raises:
        OSError: The file cannot be read.
        TypeError: The key is encrypted; this is the exception that `cryptography` raises then.
        ValueError: The file holds no key, or one of an unknown kind.
    """
    try:
        return paramiko.PKey.from_path(path)
    except (OSError, TypeError):
        raise
    except Exception as error:  # paramiko and cryptography raise many kinds
        raise ValueError(f"{path} is not a private key of a known kind") from error


_Labelled = tuple[str, paramiko.PKey | None]


def _candidates(agent: paramiko.Agent, target: Target) -> Iterator[_Labelled]:
    """Yields the keys to offer, each after its label; None instead of a key that cannot be used."""
    files = target.identities or tuple(Path("~/.ssh", name).expanduser() for name in _USUAL)
    wanted = {_public(path) for path in files} if target.identities_only else None
    for offered in agent.get_keys():
        if wanted is None or offered.get_base64() in wanted:
            yield f"{offered.comment or offered.get_name()} of the SSH agent", offered
    for path in files:
        try:
            yield str(path), _load(path)
        except FileNotFoundError:
            if target.identities:
                yield f"{path} (not there)", None
        except TypeError:
            yield f"{path} (encrypted, not used)", None
        except (OSError, ValueError):
            yield f"{path} (unreadable, not used)", None


def _public(path: Path) -> str | None:
    """Returns the public key beside a private one, base64, if it is there."""
    try:
        return Path(f"{path}.pub").read_text(encoding="utf-8", errors="replace").split()[1]
    except (OSError, IndexError):
        return None


def _with_certificates(keys: Iterable[_Labelled], target: Target) -> Iterator[_Labelled]:
    """Yields each key with its certificate first, if there is one, and then alone."""
    for label, key in keys:
        if key is None or isinstance(key, paramiko.AgentKey):
            yield label, key
            continue
        plain = key.get_base64()
        for path in target.certificates:
            certified = copy.copy(key)
            try:
                certified.load_certificate(str(path))
            except (OSError, ValueError, paramiko.SSHException):  # another key's, or none at all
                continue
            if certified.get_base64() == plain:
                yield f"{label} with {path}", certified
        if key.public_blob is not None:  # KEY-cert.pub, which paramiko has found by itself
            yield f"{label} with its certificate", key
            key = copy.copy(key)  # noqa: PLW2901
            key.public_blob = None
        yield label, key
