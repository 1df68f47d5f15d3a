"""Input and output of an SSH channel, with deadlines."""

from __future__ import annotations

import time
from collections.abc import Callable

import paramiko

_AFTERMATH = 0.2
"""Seconds within which paramiko, having closed the channels of a lost connection, reports that the
connection is lost."""


def give(channel: paramiko.Channel, stdin: bytes) -> None:
    """Sends a command its input; a command that ends without reading all of it is no error."""
    try:
        channel.sendall(stdin)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:
        if not channel.closed:
            raise


def lost(channel: paramiko.Channel) -> bool:
    """Returns whether a channel has ended because its connection is lost."""
    if channel.exit_status >= 0:
        return False
    transport = channel.get_transport()
    transport.join(_AFTERMATH)
    return not transport.is_active()


def read(channel: paramiko.Channel, receive: Callable[[int], bytes], deadline: float) -> bytes:
    """Reads one of a channel's two output streams to its end."""
    content = bytearray()
    while True:
        channel.settimeout(left(deadline))
        chunk = receive(1 << 16)
        if not chunk:
            return bytes(content)
        content += chunk


def left(deadline: float) -> float:
    """Returns the seconds to a deadline of the monotonic clock; never less than 0."""
    return max(deadline - time.monotonic(), 0)
