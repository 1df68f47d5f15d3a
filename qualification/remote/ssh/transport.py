"""Opens an authenticated SSH transport: the way there, the key exchange, the login."""

from __future__ import annotations

import contextlib
import socket
import time

import paramiko

from qualification.errors import HostError

from .channel import left
from .dial import dial, timed_out
from .host_keys import HostKeys
from .login import load_key, log_in
from .proxy import Proxy
from .target import Target

_KEEPALIVE = 15
"""Seconds between keepalives; NAT and firewalls drop the state of idle connections."""


def open_transport(
    name: str, there: Target, timeout: float, stack: contextlib.ExitStack
) -> tuple[paramiko.Transport, str]:
    """Opens an authenticated connection, through its jump hosts if it has some.

    Args:
        name: The host's name in the topology, for errors.
        there: Where it is.
        timeout: Seconds for all steps together.
        stack: Is given what closes it.

    Returns:
        The connection, whose host key was verified, and what the user was authenticated with.

    Raises:
        HostError: A step failed; says which, and what to do.
    """
    deadline = time.monotonic() + timeout
    host_keys = HostKeys(name, there)
    key = load_key(name, there)
    proxy = None
    sock: socket.socket | paramiko.Channel
    if there.via is not None:
        sock = _through(name, there, timeout, stack)
    elif there.proxy_command is None:
        sock = dial(name, there, timeout)
    else:
        proxy = Proxy(
            there.proxy_command, where=name, address=there.address, port=there.port, user=there.user
        )
        stack.callback(proxy.close)
        sock = proxy.sock
    stack.callback(sock.close)
    try:
        transport = paramiko.Transport(sock)
        stack.callback(transport.close)
        stack.callback(_end, sock)
        _negotiate(transport, host_keys, deadline)
        method = log_in(name, there, transport, key=key, deadline=deadline)
    except (paramiko.SSHException, OSError, EOFError) as error:
        if proxy and (failure := proxy.failure()):
            raise HostError(
                f"the proxy command failed: {failure}",
                where=name,
                hint=f"check the host's proxy_command: {there.proxy_command}",
            ) from error
        if time.monotonic() >= deadline:
            raise timed_out(name, there, timeout) from error
        raise HostError(
            f"sshd closed the connection: {error or 'no reason given'}",
            where=name,
            hint="sshd's log on the host says why (journalctl -u ssh)",
        ) from error
    transport.set_keepalive(_KEEPALIVE)
    return transport, method


def _through(
    name: str, there: Target, timeout: float, stack: contextlib.ExitStack
) -> paramiko.Channel:
    """Opens a connection to a host from its jump host (RFC 4254, 7.2)."""
    started = time.monotonic()
    jump = there.via
    assert jump is not None
    transport, _ = open_transport(f"{name}, jump host {jump.address}", jump, timeout, stack)
    seconds = max(timeout - (time.monotonic() - started), 0.1)
    try:
        return transport.open_channel(
            "direct-tcpip", (there.address, there.port), ("127.0.0.1", 0), timeout=seconds
        )
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise HostError(
            f"jump host {jump.address} opens no connection to {there.address} port {there.port}: "
            f"{error or 'it closed the connection'}",
            where=name,
            hint="is sshd running there, and does the jump host's sshd allow it "
            "(AllowTcpForwarding)?",
        ) from error


def _negotiate(transport: paramiko.Transport, host_keys: HostKeys, deadline: float) -> None:
    """Exchanges keys with sshd, and verifies the host's key."""
    seconds = left(deadline)
    transport.banner_timeout = transport.handshake_timeout = seconds
    options = transport.get_security_options()
    options.key_types = host_keys.preferred(options.key_types)
    transport.start_client(timeout=seconds)
    host_keys.check(transport.get_remote_server_key())


def _end(sock: socket.socket | paramiko.Channel) -> None:
    """Shuts the socket down at once: paramiko's thread would keep a closed one open for a while."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
