"""Finds and loads what C there is, as setup.py built it for machines like this one.

Everything works without it, slower. The C implementation of a Python module stands beside it and is named
after it, `batch.c`, and so is what was built of that, `batch-x86_64.so`: loaded by ctypes, in need
of no libc, and refused if it was built from another source than the one it stands beside.
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
"""Environment variable: "off" leaves all work to Python, for tests and comparisons."""

REASONS = (
    None, "version", "length", "l4-length", "truncated", "fragment", "esp", "routing-header",
    "home-address", "jumbogram", "protocol", "vxlan-flag", "not-ip",
)  # fmt: skip
"""`enum reason`, in its order."""

_INCLUDED = re.compile(rb'^#include "(.+)"$', re.MULTILINE)


class NativeMismatchError(Exception):
    """The C implementation and the reference judged a frame differently: an error of ours, not the NIC's."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} is wrong by the C implementation, and not by the reference: please report it with the "
            f"capture. {SWITCH}=off leaves the C implementation out"
        )


class Native(NamedTuple):
    """A shared object of ours, or the reason why there is none.

    Attributes:
        library: It; None where Python has to do.
        says: Which of the two is used and why, for people: "native C (x86_64)".
    """

    library: ctypes.CDLL | None
    says: str


class KeyCounter(ctypes.Structure):
    """`struct tally`: counts distinct keys in memory that is given once."""

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
        """An empty one.

        Args:
            capacity: Keys that there is room for, a power of two.
            key: What one consists of, as `struct` has it: whole words of 64 bits.
        """
        slots = 8 * capacity  # so many that a key is found where it is looked for first
        entry = struct.Struct(f"={key}Q")
        entries = ctypes.create_string_buffer(capacity * entry.size)
        made = cls(
            ctypes.addressof(entries), (ctypes.c_uint32 * slots)(), capacity, 0, slots - 1
        )  # ctypes keeps what a pointer in a structure was made of, but not what an address was
        made._entry, made._entries = entry, memoryview(entries)
        return made

    def drain(self) -> list[tuple[Any, ...]]:
        """Gives keys, each with its count at the end, first seen first, and is empty again."""
        found = list(self._entry.iter_unpack(self._entries[: self.used * self._entry.size]))
        ctypes.memset(self.slots, 0, ctypes.sizeof(ctypes.c_uint32) * (self.slot_mask + 1))
        self.used = 0
        return found


@cache
def native_for(module: str) -> Native:
    """The C implementation of a Python module, loaded once.

    Args:
        module: Its `__file__`, which may lie in the zip application that this module came from.
    """
    return load(os.path.splitext(module)[0] + ".c")  # noqa: PTH122


def load(source: str) -> Native:
    """Loads the shared object that was built from a C file for this machine.

    Args:
        source: Path of the C file, beside which it stands. Every such file has `vx_source`, its
            fingerprint.
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
            None, "pure Python: the C implementation here is of another source; install again"
        )
    return Native(library, f"native C ({machine})")


def fingerprint(source: str, before: int = 0) -> int:
    """CRC-32 of a C file behind what it includes, which setup.py puts into what it builds.

    Args:
        source: Path of the file; what it includes is named by its path in the package.
        before: CRC-32 of what goes before.

    Raises:
        OSError: A file is not there.
    """
    content = _read(source)
    for name in _INCLUDED.findall(content):
        before = fingerprint(_included(source, name.decode()), before)
    return zlib.crc32(content, before)


def _included(source: str, name: str) -> str:
    """The path of an included file, which is named by its path from the package's folder.

    Raises:
        OSError: No folder above the source holds it.
    """
    folder = os.path.dirname(source)  # noqa: PTH120
    while folder and folder != os.path.dirname(folder):  # noqa: PTH120
        folder = os.path.dirname(folder)  # noqa: PTH120
        path = os.path.join(folder, name)  # noqa: PTH118
        with contextlib.suppress(OSError):
            _read(path)
            return path
    raise FileNotFoundError(f"{source} includes {name}, which is in no folder above it")


def _read(path: str) -> bytes:
    """A file of this package, on disk or in the zip application.

    Raises:
        OSError: There is none.
    """
    loader = __spec__.loader
    assert loader is not None and hasattr(loader, "get_data")
    content = loader.get_data(path)
    assert isinstance(content, bytes)
    return content


def _in_memory(content: bytes) -> str:
    """A path to load a shared object from that is on no disk, so that none is left on a host.

    Its file stays open: the dynamic linker knows what it has loaded by path, and the next
    descriptor of the same number would lead it to this one.
    """
    descriptor = os.memfd_create("vxqual")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    return f"/proc/self/fd/{descriptor}"
