"""Reads the files of a stored run, which may be anybody's: with bounds, and with inert text.

A run may come from another machine, by mail, or from a directory that others can write to. No file
of it is followed to another place, waited for, or read beyond its bound; no number is out of range;
and no text can do more than be shown (`qualification.printable`). Line feeds stay: the messages of
errors have some, and so has the topology.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from qualification.errors import UsageError
from qualification.messages.untrusted import UntrustedError, json_value
from qualification.printable import inert

T = TypeVar("T")

MOST_BYTES = 1 << 30
"""Of a file. The evidence of ten thousand cells has some hundred million."""
MOST_LINE = 64 << 20
_MOST_VALUES = 1 << 21
_SPECIAL = re.compile(rb'\\[^"\\/nt]|[^\x20-\x7e\n]|NaN|Infinity|[eE]\+?\d{3}|\d{20}')
"""What only a text has that is not printable, or that has numbers which are none; or a harmless one
that looks like it. All others are read by pydantic's own parser, ten times as fast."""


def content(path: Path, hint: str | None = None, *, most: int = MOST_BYTES) -> bytes:
    """Returns the bytes of a file of a run.

    Args:
        path: The file.
        hint: The next step where it cannot be read.
        most: The most bytes that it may have.

    Raises:
        UsageError: It cannot be read, is no regular file, or is too large.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            there = os.fstat(file)
            if not stat.S_ISREG(there.st_mode):
                raise UsageError("is not a regular file", where=str(path), hint=hint)
            if there.st_size <= most:
                found = opened.read(most + 1)
                if len(found) <= most:
                    return found
    except OSError as error:
        why = "it is a link to another place" if path.is_symlink() else error.strerror
        raise UsageError(f"cannot be read: {why}", where=str(path), hint=hint) from None
    raise UsageError(f"has more than {most >> 20} MiB", where=str(path), hint=hint)


def valid(adapter: TypeAdapter[T], text: bytes) -> T:
    """Returns what a JSON text describes, with inert strings and finite numbers.

    Args:
        adapter: Of the type that it describes.
        text: The text.

    Raises:
        UntrustedError: It is no JSON, or too large.
        ValidationError: It does not describe a value of that type.
    """
    if len(text) > MOST_LINE:
        raise UntrustedError(f"more than {MOST_LINE >> 20} MiB")
    if sum(map(text.count, (b",", b"[", b"{"))) >= _MOST_VALUES:
        raise UntrustedError(f"more than {_MOST_VALUES} values")
    if _SPECIAL.search(text):
        text = json.dumps(plain(text)).encode()
    return adapter.validate_json(text)


def plain(text: bytes) -> Any:
    """Returns the value of a JSON text, with inert strings and finite numbers.

    Raises:
        UntrustedError: It is no JSON, or too large.
    """
    if len(text) > MOST_LINE:
        raise UntrustedError(f"more than {MOST_LINE >> 20} MiB")
    return inert(json_value(text, most_values=_MOST_VALUES), lines=True)


def first(error: ValidationError) -> str:
    """Returns the first thing that is wrong, after its place."""
    details = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, details["loc"]))
    return f"{place}: {details['msg']}" if place else details["msg"]
