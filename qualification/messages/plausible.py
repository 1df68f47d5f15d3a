"""Refuses answers that no capture can give, whatever their types: a negative count, for example.

What judges evidence relies on it: statistics of -5 frames have no meaning, and no verdict.
"""

from __future__ import annotations

import binascii
import dataclasses
from typing import Any

from .bursts import BadFrame, CaptureResult
from .host import MOST_LINES, MOST_SETTINGS, MOST_WIDTH, HostFacts, NicFacts, NicSettings
from .submitted import SubmittedPacket

_MOST_TEXT = 1000
"""Characters of a name, a version or a model; the kernel's own have less than 100."""


def implausible(value: Any, path: str = "") -> str | None:
    """Returns what in a value cannot be, after its place; None if all of it can.

    Args:
        value: A message, or dataclasses, tuples, lists and mappings that contain some. Numbers that
            are fields of a dataclass count something; those of a mapping may be differences.
        path: What the value is called.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = [
            (f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value)
        ]
        for step, each in inside:
            if type(each) is int and each < 0:
                return f"{(path + step).lstrip('.')}: must not be negative, is {each}"
        wrong = _one(value)
        if wrong:
            return f"{path.lstrip('.')}{wrong}"
    elif isinstance(value, dict):
        inside = [(f".{key}"[:60], each) for key, each in value.items()]
    elif isinstance(value, (list, tuple)):
        inside = [(f"[{number}]", each) for number, each in enumerate(value)]
    else:
        return None
    for step, each in inside:
        found = implausible(each, path + step)
        if found:
            return found
    return None


def _one(value: Any) -> str | None:
    if isinstance(value, (HostFacts, NicFacts)):
        for name, text in vars(value).items():
            if isinstance(text, str) and len(text) > _MOST_TEXT:
                return f".{name}: has more than {_MOST_TEXT} characters"
    if isinstance(value, NicSettings):
        return _too_much(value)
    if isinstance(value, CaptureResult) and value.bad > value.frames:
        return f".bad: {value.bad} frames of {value.frames} cannot be bad"
    if isinstance(value, CaptureResult):
        for dimension, shapes in value.shapes.items():
            for name, (frames, bad) in shapes.items():
                if not 0 <= bad <= frames:
                    return f".shapes.{dimension}.{name}: {bad} frames of {frames} cannot be bad"
    if isinstance(value, (BadFrame, SubmittedPacket)):
        return _no_frame(value)
    return None


def _no_frame(value: BadFrame | SubmittedPacket) -> str | None:
    """Returns what of a frame or buffer cannot be."""
    for name in ("data",) if isinstance(value, SubmittedPacket) else ("data", "counterpart"):
        length = _length(getattr(value, name))
        if length is None:
            return f".{name}: is not base64"
        if isinstance(value, SubmittedPacket) and length > value.length:
            return f".data: has {length} bytes of a packet of {value.length}"
    return None


def _length(text: str) -> int | None:
    """Returns how many bytes base64 text stands for; None if it is none."""
    try:
        return len(binascii.a2b_base64(text.encode("ascii")))
    except ValueError:
        return None


def _too_much(settings: NicSettings) -> str | None:
    """Returns what of the settings is more than any agent reports."""
    for name, some in vars(settings).items():
        most = MOST_LINES if name == "pci" else MOST_SETTINGS
        if len(some) > most:
            return f".{name}: has more than {most} values"
        texts = [*some, *some.values()] if isinstance(some, dict) else some
        # What is not printable is escaped once the answer is read: `\x1b` for ESC, for example.
        if any(isinstance(text, str) and len(text) > 10 * MOST_WIDTH for text in texts):
            return f".{name}: has a text of more than {10 * MOST_WIDTH} characters"
    return None
