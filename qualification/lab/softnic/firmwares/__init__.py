"""What a soft NIC does with frames: well, or wrong in one way.

A firmware is one function. Most are called for each descriptor of the kernel's, with the frames that an
honest NIC would send for it, and return what goes on the wire instead: those frames, some of them,
changed ones, or `descriptor.frame` as the kernel left it. To add one, write it here under `@firmware`::

    @firmware("random-p", p=0.03)
    def random_p(descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState) -> list[bytearray]:

Its knobs are the keywords, with their defaults; a user sets them beside the model. Whatever it has
to remember goes into `state.memory`. Others act on what arrives (`acts="receive"`) or between the
two NICs (`acts="path"`): see `Transmit`, `Receive` and `PathFunction` in `registry`. Faults are those that
real NICs have been seen to commit; `good=True` marks what is merely unusual.

    python -m qualification.lab.softnic.firmwares

prints them all, as they stand in topologies/firmwares.md.
"""

from . import checksums, good, path, ports, receive, segments, selective
from .parts import garble
from .registry import (
    Firmware,
    FirmwareModel,
    FirmwareState,
    Knob,
    Loaded,
    Touches,
    check,
    describe,
    firmware,
    models,
)

__all__ = [
    "Firmware",
    "FirmwareModel",
    "FirmwareState",
    "Knob",
    "Loaded",
    "Touches",
    "check",
    "describe",
    "firmware",
    "garble",
    "models",
]  # fmt: skip

_ROOMS = (checksums, good, path, ports, receive, segments, selective)
"""Imported for the firmwares they register."""
