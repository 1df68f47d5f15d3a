"""The registered firmwares, and the types of their functions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from qualification.lab.softnic.tx_descriptor import RxStatus, TxDescriptor

Knob = bool | int | float | str
Choice = tuple[str, ...]
"""The words that a knob may be; the first is the default."""

ModelKind = Literal["fault", "good"]
Acts = Literal["transmit", "receive", "path"]
Touches = Literal["nothing", "segmented", "unfinished", "all"]
"""The transmit descriptors that a firmware has to see: none, those with a super-packet to segment,
those with any work left to the NIC, or all. It may not see any others."""


@dataclass
class FirmwareState:
    """The state of one NIC's firmware.

    Attributes:
        knobs: The model's knobs by name, each with the type of its default.
        rng: A seeded generator; firmwares use no other randomness, so that runs can be repeated.
        memory: What the firmware remembers between frames.
        resets: How often the interface has gone down.
        toggles: How often features of the interface have been switched.
        resizes: How often the MTU of the interface has changed.
    """

    knobs: Mapping[str, Knob]
    rng: random.Random
    memory: dict[str, object] = field(default_factory=dict)
    resets: int = 0
    toggles: int = 0
    resizes: int = 0

    def chance(self, knob: str) -> bool:
        """Returns True with the probability that a knob gives."""
        return self.rng.random() < float(self.knobs[knob])


Transmit = Callable[[TxDescriptor, list[bytearray], FirmwareState], list[bytearray]]
"""Takes a descriptor and the frames that a correct NIC would send for it; returns the frames to
send instead."""

Receive = Callable[[bytearray, FirmwareState], RxStatus | None]
"""Takes a frame from the wire; returns the checksum status that the NIC reports to the kernel,
`NO_ROOM` if the driver drops the frame and counts it, or None if the NIC drops it in silence."""

PathFunction = Callable[[list[bytearray], FirmwareState], list[bytearray]]
"""Takes the frames that left the NIC, in order, and returns those that reach the other NIC. It is
called without frames when there are no more for now; it then has to return what it held back."""

_Function = TypeVar("_Function", Transmit, Receive, PathFunction)


@dataclass(frozen=True)
class FirmwareModel:
    """A registered firmware.

    Attributes:
        name: Its name in topologies and reports.
        kind: "fault", or "good" if it is only unusual and must never be reported as wrong.
        acts: Where it acts: "transmit" on what the NIC sends, "receive" on what it receives, or
            "path" on the way from this NIC to the other one.
        touches: The descriptors that it has to see, if it acts on transmit.
        offers: Whether the NIC offers its kernel offloads.
        knobs: What a user may set, with the defaults.
        summary: One sentence.
        function: A `Transmit`, `Receive` or `PathFunction`, according to `acts`.
    """

    name: str
    kind: ModelKind
    acts: Acts
    touches: Touches
    offers: bool
    knobs: Mapping[str, Knob | Choice]
    summary: str
    function: Callable[..., Any]

    def defaults(self) -> dict[str, Knob]:
        """Returns the default of each knob."""
        return {
            name: default[0] if isinstance(default, tuple) else default
            for name, default in self.knobs.items()
        }


_models: dict[str, FirmwareModel] = {}


def firmware(
    model: str,
    *,
    good: bool = False,
    acts: Acts = "transmit",
    touches: Touches = "unfinished",
    offers: bool = True,
    **knobs: Knob | Choice,
) -> Callable[[_Function], _Function]:
    """Registers a firmware. The first line of its docstring is its description for users.

    Args:
        model: Its name in topologies and reports.
        good: It is not a fault, only unusual.
        acts: Where it acts; the function is a `Transmit`, `Receive` or `PathFunction` accordingly.
        touches: The descriptors that it has to see, if it acts on transmit. Faults do not change
            frames that the kernel has finished itself, so most need not see those.
        offers: Whether the NIC offers its kernel offloads.
        **knobs: What a user may set, and the defaults. A knob named `p` is a probability; a
            tuple lists the words that a knob may be.
    """

    def register(function: _Function) -> _Function:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        kind: ModelKind = "good" if good else "fault"
        _models[model] = FirmwareModel(model, kind, acts, touches, offers, knobs, summary, function)
        return function

    return register


def models() -> tuple[FirmwareModel, ...]:
    """Returns every firmware: first the faults, then the good ones, each sorted by name."""
    return tuple(sorted(_models.values(), key=lambda model: (model.kind == "good", model.name)))


def find(model: str) -> FirmwareModel | None:
    """Returns the firmware of a name, or None."""
    return _models.get(model)


def commit(
    model: str, descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Commits another transmit fault with its default knobs.

    Firmwares use it that commit another fault on a part of the traffic.

    Args:
        model: Name of the other fault, which `check` has accepted.
        descriptor: The caller's descriptor.
        frames: The caller's frames.
        state: The caller's state. Its memory holds the state of the other fault.

    Returns:
        The frames to send.
    """
    other = state.memory.get(model)
    if not isinstance(other, FirmwareState):
        other = FirmwareState(_models[model].defaults(), state.rng)
        state.memory[model] = other
    other.resets, other.toggles, other.resizes = state.resets, state.toggles, state.resizes
    done: list[bytearray] = _models[model].function(descriptor, frames, other)
    return done
