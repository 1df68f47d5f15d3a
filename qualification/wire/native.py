"""Finds and loads the native (C) implementations that setup.py built for this machine.

Everything works without them, but slower. The C implementation of a Python module is in the same
folder and has the same name: `batch.c` for `batch.py`, built as `batch-x86_64.so`. It is loaded by
ctypes, needs no libc, and is refused if it was built from other source than the C file next to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import struct
import zlib
from functools import cache
from typing import Any, NamedTuple

SWITCH = "VXQUAL_NATIVE"
"""Environment variable: "off" makes Python do all work, for tests and comparisons."""

REASONS = (
    None, "version", "length", "l4-length", "truncated", "fragment", "esp", "routing-header",
    "home-address", "jumbogram", "protocol", "vxlan-flag", "not-ip",
)  # fmt: skip
"""The names of `enum reason` (packet.h), in its order."""

_INCLUDED = re.compile(rb'^#include "(.+)"$', re.MULTILINE)


class NativeMismatchError(Exception):
    """The C implementation and the reference judge a frame differently.

    This is an error in vxqual, not in the NIC.
    """

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is wrong according to the C implementation, and right according to the Python "
            f"reference. This is a bug in vxqual: please report it with the capture. Set "
            f"{SWITCH}=off to run without the C implementation"
        )


class Native(NamedTuple):
    """A loaded C implementation, or the reason why there is none.

    Attributes:
        library: The shared object; None if Python does the work.
        says: Which implementation is used and why, for people: "native C (x86_64)".
    """

    library: ctypes.CDLL | None
    says: str


class KeyCounter(ctypes.Structure):
    """`struct key_counter`: counts distinct keys in memory that is allocated once."""

    used: int
    slot_mask: int
    _entry: struct.Struct
    _entries: memoryview
    _fields_ = [
        ("entries", ctypes.c_void_p),
        ("slots", ctypes.POINTER(ctypes.c_uint32)),
        ("capacity", ctypes.c_uint32),
        ("used", ctypes.c_uint32),
        ("slot_mask", ctypes.c_uint32),
    ]

    @classmethod
    def of(cls, capacity: int, key: str) -> KeyCounter:
        """Returns an empty counter.

        Args:
            capacity: The most distinct keys it can hold, a power of two.
            key: The format of a key for `struct`, a multiple of 64 bits.
        """
        slots = 8 * capacity  # so sparse that a key is nearly always in the first slot probed
        entry = struct.Struct(f"={key}Q")
        entries = ctypes.create_string_buffer(capacity * entry.size)
        made = cls(
            ctypes.addressof(entries), (ctypes.c_uint32 * slots)(), capacity, 0, slots - 1
        )  # ctypes keeps alive what a POINTER field refers to, but not what a c_void_p refers to
        made._entry, made._entries = entry, memoryview(entries)
        return made

    def drain(self) -> list[tuple[Any, ...]]:
        """Returns and clears the keys, each with its count at the end, in the order first seen."""
        found = list(self._entry.iter_unpack(self._entries[: self.used * self._entry.size]))
        ctypes.memset(self.slots, 0, ctypes.sizeof(ctypes.c_uint32) * (self.slot_mask + 1))
        self.used = 0
        return found


@cache
def native_for(module: str) -> Native:
    """Returns the C implementation of a Python module, which is loaded once.

    Args:
        module: The module's `__file__`, which may be in the zip application of the agent.
    """
    return load(os.path.splitext(module)[0] + ".c")  # noqa: PTH122


def load(source: str) -> Native:
    """Loads the shared object that was built from a C file for this machine.

    Args:
        source: Path of the C file. The shared object is in the same folder, and exports
            `vx_source`, the fingerprint of the source it was built from.
    """
    if os.environ.get(SWITCH) == "off":
        return Native(None, f"pure Python: {SWITCH}=off")
    machine = os.uname().machine
    path = f"{source[:-2]}-{machine}.so"
    try:
        built_from = fingerprint(source)
        content = _read(path)
    except OSError:
        return Native(None, f"pure Python: no C implementation was built for {machine} at install")
    try:
        library = ctypes.CDLL(path if os.path.exists(path) else _in_memory(content))  # noqa: PTH110
        fits = ctypes.c_uint32.in_dll(library, "vx_source").value == built_from
    except (OSError, ValueError) as error:
        return Native(None, f"pure Python: the C implementation cannot be loaded: {error}")
    if not fits:
        return Native(
            None, "pure Python: the C implementation was built from other source; install again"
        )
    return Native(library, f"native C ({machine})")


def fingerprint(source: str, before: int = 0) -> int:
    """Returns the CRC-32 of the files that a C file includes, followed by the file itself.

    setup.py compiles it into the shared object.

    Args:
        source: Path of the file. It names the files it includes by their paths in the package.
        before: CRC-32 of the bytes before it.

    Raises:
        OSError: A file does not exist.
    """
    content = _read(source)
    for name in _INCLUDED.findall(content):
        before = fingerprint(_included(source, name.decode()), before)
    return zlib.crc32(content, before)


def _included(source: str, name: str) -> str:
    """Returns the path of an included file, which is named relative to the package's folder.

    Raises:
        OSError: No folder above the source contains it.
    """
    folder = os.path.dirname(source)  # noqa: PTH120
    while folder and folder != os.path.dirname(folder):  # noqa: PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
        path = os.path.join(folder, name)  # noqa: PTH118
        with contextlib.suppress(OSError):
            _read(path)
            return path
    raise FileNotFoundError(f"{source} includes {name}, which no folder above it contains")


def _read(path: str) -> bytes:
    """Returns the content of a file of this package, on disk or in the zip application.

    Raises:
        OSError: The file does not exist.
    """
    loader = __spec__.loader
    assert loader is not None and hasattr(loader, "get_data")
    content = loader.get_data(path)
    assert isinstance(content, bytes)
    return content


def _in_memory(content: bytes) -> str:
    """Returns a path to load a shared object from that is not on disk, so that no file is left.

    The descriptor stays open: the dynamic linker identifies loaded objects by their path, and would
    take another object at a reused descriptor number for this one.
    """
    descriptor = os.memfd_create("vxqual")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return f"/proc/self/fd/{descriptor}"
