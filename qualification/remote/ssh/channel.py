"""Input and output of an SSH channel, with deadlines."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import paramiko

MOST_OUTPUT = 8 << 20
"""Bytes that a command may write; the probe writes a line of some hundred."""
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


@contextlib.contextmanager
def limited(channel: paramiko.Channel, seconds: float) -> Iterator[None]:
    """Closes a channel whose body takes too long: paramiko itself waits for answers for ever.

    Args:
        channel: The channel.
        seconds: How long its body may take.

    Raises:
        TimeoutError: It took longer.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):  # it is lost already
            channel.close()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (paramiko.SSHException, OSError, EOFError):
        if late.is_set():
            raise TimeoutError(f"no answer within {seconds:g} s") from None
        raise
    finally:
        timer.cancel()


def lost(channel: paramiko.Channel) -> bool:
    """Returns whether a channel has ended because its connection is lost."""
    if channel.exit_status >= 0:
        return False
    transport = channel.get_transport()
    transport.join(_AFTERMATH)
    return not transport.is_active()


def read(channel: paramiko.Channel, receive: Callable[[int], bytes], deadline: float) -> bytes:
    """Reads one of a channel's two output streams to its end.

    Raises:
        TimeoutError: The stream has no end in time.
        OverflowError: It has more than `MOST_OUTPUT` bytes.
    """
    content = bytearray()
    while True:
        if not (seconds := left(deadline)):
            raise TimeoutError
        channel.settimeout(seconds)
        chunk = receive(1 << 16)
        if not chunk:
            return bytes(content)
        content += chunk
        if len(content) > MOST_OUTPUT:
            raise OverflowError


def left(deadline: float) -> float:
    """Returns the seconds to a deadline of the monotonic clock; never less than 0."""
    return max(deadline - time.monotonic(), 0)
