"""The firmwares there are, and what a user may ask of them."""

from __future__ import annotations

import difflib
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from qualification.errors import UsageError
from qualification.lab.softnic.tx_descriptor import RxStatus, TxDescriptor

Knob = bool | int | float | str
Choice = tuple[str, ...]
"""A knob that is one of these words; the first is its default."""

ModelKind = Literal["fault", "good"]
Acts = Literal["transmit", "receive", "path"]
Touches = Literal["nothing", "segmented", "unfinished", "all"]
"""Which of the descriptors on their way out a firmware does anything to, or remembers: none, those to be
cut, those on which the kernel left any work, all. Of the others it may never hear."""


@dataclass
class FirmwareState:
    """What one NIC's firmware has from one frame to the next.

    Attributes:
        knobs: The model's knobs by name, each of its default's type.
        rng: Seeded; the only randomness that a firmware uses, so that runs can be repeated.
        memory: Whatever the firmware wants to remember.
        resets: How often the interface has gone down.
        toggles: How often features of the interface have been switched.
        resizes: How often the interface has got another MTU.
    """

    knobs: Mapping[str, Knob]
    rng: random.Random
    memory: dict[str, object] = field(default_factory=dict)
    resets: int = 0
    toggles: int = 0
    resizes: int = 0

    def chance(self, knob: str) -> bool:
        """Throw the dice: true with the probability that a knob holds."""
        return self.rng.random() < float(self.knobs[knob])


Transmit = Callable[[TxDescriptor, list[bytearray], FirmwareState], list[bytearray]]
"""Gets what the kernel asks for and the frames that an honest NIC would send for it; returns what
goes on the wire instead."""

Receive = Callable[[bytearray, FirmwareState], RxStatus | None]
"""Gets a frame from the wire; returns what the kernel is told of its checksums, or None if the
kernel never sees it."""

PathFunction = Callable[[list[bytearray], FirmwareState], list[bytearray]]
"""Gets the frames that left the NIC, in order, and returns what gets to the other one. It is
called without frames when there are no more for now: what it holds back has to go then."""

_Function = TypeVar("_Function", Transmit, Receive, PathFunction)


@dataclass(frozen=True)
class FirmwareModel:
    """A firmware as it can be asked for.

    Attributes:
        name: Its name in topologies and reports.
        kind: "fault", or "good" if it is merely unusual and must never be called wrong.
        acts: "transmit", "receive" or "path": on what the NIC sends, on what arrives at it, or
            between the two NICs, on what left the one it is named for.
        touches: Which descriptors it has to see, if it acts on those.
        knobs: What a user may set, with the defaults.
        summary: One sentence.
        function: What it does.
    """

    name: str
    kind: ModelKind
    acts: Acts
    touches: Touches
    knobs: Mapping[str, Knob | Choice]
    summary: str
    function: Callable[..., Any]  # Transmit, Receive or PathFunction, as `acts` says

    def defaults(self) -> dict[str, Knob]:
        """Give the value of each knob that nobody has set."""
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
    **knobs: Knob | Choice,
) -> Callable[[_Function], _Function]:
    """Register a firmware; the first line of its docstring tells users what it does.

    Args:
        model: Its name in topologies and reports.
        good: It is no fault, merely unusual.
        acts: Where it acts, which says what it gets: `Transmit`, `Receive` or `PathFunction`.
        touches: Which descriptors it has to see, if it is of those that act on them; what the kernel
            has finished itself, a fault leaves alone.
        **knobs: What a user may set, and the defaults. A knob named `p` is a probability; a
            tuple lists the words that a knob may be.
    """

    def register(function: _Function) -> _Function:
        summary = (function.__doc__ or "").strip().partition("\n")[0]
        kind: ModelKind = "good" if good else "fault"
        _models[model] = FirmwareModel(model, kind, acts, touches, knobs, summary, function)
        return function

    return register


def models() -> tuple[FirmwareModel, ...]:
    """List every firmware: the faults, then the good ones, each by name."""
    return tuple(sorted(_models.values(), key=lambda model: (model.kind == "good", model.name)))


@dataclass(frozen=True)
class Loaded:
    """A firmware at work on one NIC. Where it does not act, what it would call is None.

    Attributes:
        state: What it has in mind.
        touches: The descriptors on which `transmit` has to be called.
        transmit: As `Transmit`, less the state.
        receive: As `Receive`, less the state.
        path: As `PathFunction`, less the state.
    """

    state: FirmwareState
    touches: Touches = "nothing"
    transmit: Callable[[TxDescriptor, list[bytearray]], list[bytearray]] | None = None
    receive: Callable[[bytearray], RxStatus | None] | None = None
    path: Callable[[list[bytearray]], list[bytearray]] | None = None


@dataclass(frozen=True)
class Firmware:
    """One NIC's firmware: a model and its knobs, all checked.

    Attributes:
        model: A registered name.
        knobs: Every knob of the model, defaults filled in.
        seed: Of its randomness; None until the NIC it runs on is known.
    """

    model: str
    knobs: Mapping[str, Knob]
    seed: int | None

    def __str__(self) -> str:
        """Give the firmware string of the NIC; by its seed a NIC does not differ."""
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.knobs.items())])

    def load(self, nic: str) -> Loaded:
        """Start it on a NIC.

        Args:
            nic: The NIC's name; without a `seed` knob it determines the randomness.
        """
        seed = zlib.crc32(nic.encode()) if self.seed is None else self.seed
        state, model = FirmwareState(self.knobs, random.Random(seed)), _models[self.model]
        function = model.function
        if model.acts == "transmit":
            committed = _models[str(self.knobs["fault"])] if "fault" in self.knobs else model
            return Loaded(
                state,
                committed.touches,
                lambda descriptor, frames: function(descriptor, frames, state),
            )
        if model.acts == "receive":
            return Loaded(state, receive=lambda frame: function(frame, state))
        return Loaded(state, path=lambda frames: function(frames, state))


def commit(
    model: str, descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Commit another transmit fault as it is by default, for a firmware that only says when.

    Args:
        model: Its name, as a user wrote it.
        descriptor: As the caller got it.
        frames: As the caller got them.
        state: The caller's; the other fault's own is kept in its memory.
    """
    other = state.memory.get(model)
    if not isinstance(other, FirmwareState):
        other = FirmwareState(_models[model].defaults(), state.rng)
        state.memory[model] = other
    other.resets, other.toggles, other.resizes = state.resets, state.toggles, state.resizes
    done: list[bytearray] = _models[model].function(descriptor, frames, other)
    return done


def check(model: str, knobs: Mapping[str, object], *, where: str | None = None) -> Firmware:
    """Check what a user wrote.

    Args:
        model: Name of a firmware.
        knobs: Its knobs as far as they are set, and `seed` if the user wants one.
        where: The key in the topology, for the error.

    Raises:
        UsageError: There is no such model or knob, or a value is of the wrong kind or range.
    """
    known = _models.get(model)
    if known is None:
        raise UsageError(
            f"there is no firmware {model!r}", where=where, hint=_instead(model, _models)
        )
    given = dict(knobs)
    seed = given.pop("seed", None)
    if seed is not None and type(seed) is not int:
        raise UsageError(f"seed must be a whole number, not {seed!r}", where=where)
    for name in given:
        if name not in known.knobs:
            raise UsageError(
                f"firmware {model} has no knob {name!r}",
                where=where,
                hint=_instead(name, [*known.knobs, "seed"]),
            )
    filled = {
        name: _value(f"{model}'s {name}", given.get(name, default), default, name, where)
        for name, default in known.defaults().items()
    }
    for name, value in filled.items():
        words = known.knobs[name]
        if name == "fault":
            words = tuple(faults_to_commit(model))
        if isinstance(words, tuple) and value not in words:
            raise UsageError(
                f"{model} has no {name} {value!r}",
                where=where,
                hint=_instead(str(value), words),
            )
    return Firmware(model, filled, seed)


def faults_to_commit(model: str) -> list[str]:
    """List the transmit faults that a firmware with a knob named `fault` may commit."""
    return [
        other.name
        for other in models()
        if other.kind == "fault" and other.acts == "transmit" and "fault" not in other.knobs
        if other.name != model
    ]


def describe(model: str, knobs: Mapping[str, object]) -> str:
    """Give the firmware string of a NIC, such as `good` or `random-p p=0.03`.

    Raises:
        UsageError: As from `check`.
    """
    return str(check(model, knobs))


def _value(what: str, value: object, default: Knob, name: str, where: str | None) -> Knob:
    """Check one knob's value by the type of its default."""
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if not isinstance(value, bool | int | float | str) or type(value) is not type(default):
        kind = type(default).__name__
        raise UsageError(f"{what} must be of type {kind}, not {value!r}", where=where)
    if name == "p" and not 0 <= float(value) <= 1:
        raise UsageError(f"{what} is a share, from 0 to 1, not {value!r}", where=where)
    if type(value) is int and value < 0:
        raise UsageError(f"{what} must not be negative, as {value!r} is", where=where)
    return value


def _instead(name: str, known: Iterable[str]) -> str:
    """Name the nearest of the known words, and all of them."""
    nearest = difflib.get_close_matches(name, known := sorted(known), n=1)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{meant}known: {', '.join(known)}"
