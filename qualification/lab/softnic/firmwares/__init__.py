"""The firmwares of soft NICs: what a soft NIC does with frames, correctly or with one fault.

A firmware is one function. Most are called for each descriptor of the kernel's, with the frames
that a correct NIC would send for it. They return the frames to send instead: the same frames, some
of them, changed ones, or `descriptor.frame` as the kernel left it. To add one, write it in this
package under `@firmware`::

    @firmware("random-p", p=0.03)
    def random_p(
        descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
    ) -> list[bytearray]:

Its knobs are the keywords, with their defaults; a user sets them next to the model. What it has to
remember goes into `state.memory`. Other firmwares act on received frames (`acts="receive"`) or
between the two NICs (`acts="path"`); see `Transmit`, `Receive` and `PathFunction` in `registry`.
Faults are those that real NICs have been seen to commit; `good=True` marks firmwares that are only
unusual. `selection` checks what users ask for.

    python -m qualification.lab.softnic.firmwares

prints the table of topologies/firmwares.md.
"""

from . import (
    checksum_faults,
    good,
    path_faults,
    port_faults,
    receive_faults,
    segment_faults,
    selective_faults,
)
from .parts import garble
from .registry import FirmwareModel, FirmwareState, Knob, Touches, firmware, models
from .selection import Firmware, Loaded, check, describe, ring_of

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
    "ring_of",
]  # fmt: skip

_REGISTERED = (
    checksum_faults,
    good,
    path_faults,
    port_faults,
    receive_faults,
    segment_faults,
    selective_faults,
)
"""Modules that are imported because they register firmwares."""
