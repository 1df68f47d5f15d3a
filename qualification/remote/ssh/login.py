"""Logging in: which keys are offered, and what to say when none is taken."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko

from qualification.errors import HostError

if TYPE_CHECKING:
    from qualification.topology import Ssh

_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")


def load_key(where: str, ssh: Ssh) -> paramiko.PKey | None:
    """The key that the topology names, if it names one.

    Raises:
        HostError: The file is missing, unreadable, encrypted or no private key.
    """
    path = ssh.key_file
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
        hint = f"give it to your SSH agent (ssh-add {path}) and leave the host's `key` out"
    except ValueError:
        what, hint = "is no private key that we can read", "name the private half, not FILE.pub"
    raise HostError(f"the key file {path} {what}", where=where, hint=hint)


def log_in(
    where: str,
    ssh: Ssh,
    transport: paramiko.Transport,
    *,
    key: paramiko.PKey | None,
    deadline: float,
) -> None:
    """Authenticate with the topology's key, else with any that the user has.

    These are the SSH agent's, then the usual files. A password, if there is one, comes last.

    Raises:
        HostError: Nobody was let in; says what was tried.
        SSHException: The connection broke, or the time is up.
    """
    tried: list[str] = []

    def lets_in(label: str, method: Callable[[], object]) -> bool:
        tried.append(label)
        transport.auth_timeout = max(deadline - time.monotonic(), 0)
        try:
            method()
        except paramiko.AuthenticationException:
            if time.monotonic() >= deadline:
                raise
        return transport.is_authenticated()

    with contextlib.closing(paramiko.Agent()) as agent:
        for label, candidate in [(str(ssh.key), key)] if key else _candidates(agent):
            if candidate is None:
                tried.append(label)
            elif lets_in(label, partial(transport.auth_publickey, ssh.user, candidate)):
                return
            if not transport.is_active():
                break
    if ssh.password is not None and transport.is_active():
        password = ssh.password.get_secret_value()
        if lets_in("the password", partial(transport.auth_password, ssh.user, password)):
            return
    raise HostError(
        f"user {ssh.user} is not let in; tried: {', '.join(tried)}"
        if tried
        else f"there is no key to log in with as {ssh.user}",
        where=where,
        hint="put a public key into that user's authorized_keys there (ssh-copy-id) and name its "
        "private half as the host's `key`"
        if transport.is_active()
        else "sshd hung up, as it does after too many keys (its MaxAuthTries): name the right one "
        "as the host's `key`",
    )


def _load(path: Path) -> paramiko.PKey:
    """Read a private key.

    Raises:
        OSError: The file cannot be read.
        TypeError: It is encrypted; this is how cryptography says so.
        ValueError: It is no key, or of a kind that we do not know.
    """
    try:
        return paramiko.PKey.from_path(path)
    except (OSError, TypeError):
        raise
    except Exception as error:  # of paramiko's and of cryptography's many kinds
        raise ValueError(f"{path} is no private key that we can read") from error


def _candidates(agent: paramiko.Agent) -> Iterator[tuple[str, paramiko.PKey | None]]:
    """Keys to offer, with what to call them; None for those that cannot be used."""
    for offered in agent.get_keys():
        yield f"{offered.comment or offered.get_name()} of the SSH agent", offered
    for path in (Path("~/.ssh", name).expanduser() for name in _USUAL):
        try:
            yield str(path), _load(path)
        except FileNotFoundError:
            continue
        except TypeError:
            yield f"{path} (encrypted, not used)", None
        except (OSError, ValueError):
            yield f"{path} (unreadable, not used)", None
