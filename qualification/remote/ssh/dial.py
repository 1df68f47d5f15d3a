"""Opens the TCP connection to a host's sshd."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from qualification.errors import HostError

if TYPE_CHECKING:
    from .target import Target

_UNACKNOWLEDGED_MS = 60_000
"""How long the kernel waits for an acknowledgement (TCP_USER_TIMEOUT), milliseconds; its default
is a quarter of an hour."""


def dial(name: str, target: Target, timeout: float) -> socket.socket:
    """Opens the TCP connection.

    Args:
        name: The host's name in the topology, for errors.
        target: Where it is.
        timeout: Seconds.

    Raises:
        HostError: The connection cannot be opened; says why, and what to do.
    """
    where = f"{target.address} port {target.port}"
    try:
        sock = socket.create_connection((target.address, target.port), timeout)
    except socket.gaierror as error:
        raise HostError(
            f"{target.address} does not resolve: {error.strerror}",
            where=name,
            hint="correct the host's `address`, or write its IP address",
        ) from None
    except ConnectionRefusedError:
        raise HostError(
            f"{where} refuses connections",
            where=name,
            hint="is sshd running there, and on that port?",
        ) from None
    except TimeoutError:
        raise timed_out(name, target, timeout) from None
    except OSError as error:
        raise HostError(
            f"{where} is unreachable: {error.strerror}",
            where=name,
            hint="check the address, the route to it and that the host is up",
        ) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
    return sock


def timed_out(name: str, target: Target, timeout: float) -> HostError:
    """Returns the error for an SSH session that took too long to open."""
    return HostError(
        f"timed out connecting to {target.address} port {target.port}: no SSH session within "
        f"{timeout:g} s",
        where=name,
        hint="check the address, firewalls on the way and that the host is up",
    )
