"""What a user may ask of a firmware: the choice of a model and its knobs, checked, for one NIC."""

from __future__ import annotations

import difflib
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from qualification.errors import UsageError
from qualification.lab.softnic.tx_descriptor import RxStatus, TxDescriptor

from .registry import FirmwareState, Knob, Touches, find, models


@dataclass(frozen=True)
class Loaded:
    """A firmware that runs on one NIC. It has one of the three functions; the others are None.

    Attributes:
        state: Its state.
        touches: The descriptors for which `transmit` has to be called.
        offers: Whether the NIC offers its kernel offloads.
        transmit: As `Transmit`, without the state.
        receive: As `Receive`, without the state.
        path: As `PathFunction`, without the state.
    """

    state: FirmwareState
    touches: Touches = "nothing"
    offers: bool = True
    transmit: Callable[[TxDescriptor, list[bytearray]], list[bytearray]] | None = None
    receive: Callable[[bytearray], RxStatus | None] | None = None
    path: Callable[[list[bytearray]], list[bytearray]] | None = None


@dataclass(frozen=True)
class Firmware:
    """The firmware of one NIC: a model and its knobs, all checked.

    Attributes:
        model: A registered name.
        knobs: Every knob of the model, with defaults filled in.
        seed: The seed of its randomness; None if it depends on the NIC.
    """

    model: str
    knobs: Mapping[str, Knob]
    seed: int | None

    def __str__(self) -> str:
        """Returns the firmware string of the NIC. The seed is not part of it."""
        return " ".join([self.model, *(f"{name}={value}" for name, value in self.knobs.items())])

    def load(self, nic: str) -> Loaded:
        """Returns the firmware as it runs on a NIC.

        Args:
            nic: The NIC's name; without a `seed` it determines the randomness.
        """
        seed = zlib.crc32(nic.encode()) if self.seed is None else self.seed
        state, model = FirmwareState(self.knobs, random.Random(seed)), find(self.model)
        assert model
        function = model.function
        if model.acts == "transmit":
            committed = find(str(self.knobs["fault"])) if "fault" in self.knobs else model
            assert committed
            return Loaded(
                state,
                committed.touches,
                model.offers,
                lambda descriptor, frames: function(descriptor, frames, state),
            )
        if model.acts == "receive":
            return Loaded(state, receive=lambda frame: function(frame, state))
        return Loaded(state, path=lambda frames: function(frames, state))


def check(model: str, knobs: Mapping[str, object], *, where: str | None = None) -> Firmware:
    """Returns the firmware that a user asks for.

    Args:
        model: Name of a firmware.
        knobs: Those of its knobs that are set, and `seed` if the user wants a certain one.
        where: The key in the topology, for the error.

    Raises:
        UsageError: There is no such model or knob, or a value has the wrong type or range.
    """
    known = find(model)
    if known is None:
        raise UsageError(
            f"there is no firmware {model!r}",
            where=where,
            hint=_instead(model, (other.name for other in models())),
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


def ring_of(model: str, knobs: Mapping[str, object]) -> int | None:
    """Returns how many buffers each transmit queue of a NIC holds; None where it does not matter.

    Raises:
        UsageError: As for `check`.
    """
    firmware = check(model, knobs)
    known = find(model)
    acts_on_sent = known is not None and known.acts != "receive"
    return int(firmware.knobs["ring"]) if acts_on_sent and "ring" in firmware.knobs else None


def faults_to_commit(model: str) -> list[str]:
    """Returns the transmit faults that a firmware with a knob named `fault` may commit."""
    return [
        other.name
        for other in models()
        if other.kind == "fault" and other.acts == "transmit" and "fault" not in other.knobs
        if other.name != model
    ]


def describe(model: str, knobs: Mapping[str, object]) -> str:
    """Returns the firmware string of a NIC, such as `good` or `random-p p=0.03`.

    Raises:
        UsageError: As for `check`.
    """
    return str(check(model, knobs))


def _value(what: str, value: object, default: Knob, name: str, where: str | None) -> Knob:
    """Returns the value of one knob.

    Raises:
        UsageError: It has another type than the default, or is out of range.
    """
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
    """Returns a hint: the most similar of the known words, and all of them."""
    nearest = difflib.get_close_matches(name, known := sorted(known), n=1)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{meant}known: {', '.join(known)}"
