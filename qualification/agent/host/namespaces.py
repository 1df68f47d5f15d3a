"""Network namespaces without a name: they end with their last descriptor, so that none is left.

A socket stays in the namespace in which it was made, so only making it needs the switch. Namespaces
belong to threads: a switch on one thread does not affect the others.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: int) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def current() -> int:
    """Returns a descriptor of the calling thread's network namespace; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(namespace: int | None) -> Iterator[None]:
    """Runs its body in the namespace of a descriptor; None is the current namespace."""
    if namespace is None:
        yield
        return
    home = current()
    try:
        _call("setns", namespace, _CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(home)


def new() -> int:
    """Makes a namespace without a name; returns its descriptor, which alone keeps it alive."""
    home = current()
    try:
        _call("unshare", _CLONE_NEWNET)
        try:
            return current()
        finally:
            _call("setns", home, _CLONE_NEWNET)
    finally:
        os.close(home)


def write_sysctl(key: str, value: str) -> None:
    """Sets a network sysctl of the calling thread's namespace, if the kernel has it."""
    try:
        with open("/proc/sys/net/" + key, "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(value)
    except FileNotFoundError:
        pass  # a kernel without IPv6, for example; adding an IPv6 address will fail with a message
