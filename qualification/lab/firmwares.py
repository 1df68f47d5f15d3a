"""What a soft NIC does with the frames it sends: well, or wrong in one way.

A firmware is one function, called for each job with the frames that an honest NIC would send for
it. It returns what goes on the wire instead: those frames, some of them, changed ones, or
`job.frame` as the kernel left it. To add one, write it here under `@firmware`::

    @firmware("random-p", p=0.03)
    def random_p(job: Job, frames: list[bytearray], state: State) -> list[bytearray]:

Its knobs are the keywords, with their defaults; a user sets them beside the model. Whatever it has
to remember goes into `state.memory`. FAULTS.md lists what real NICs have been seen to do.
"""

from __future__ import annotations

import difflib
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from struct import Struct

from qualification.errors import UsageError
from qualification.lab.job import GSO_NONE, Job

Knob = bool | int | float | str

_U16 = Struct("!H")
_UDP_CHECK = 6


@dataclass
class State:
    """What one NIC's firmware has from one job to the next.

    Attributes:
        knobs: The model's knobs by name, each of its default's type.
        rng: Seeded; the only randomness that a firmware uses, so that runs can be repeated.
        memory: Whatever the firmware wants to remember.
    """

    knobs: Mapping[str, Knob]
    rng: random.Random
    memory: dict[str, object] = field(default_factory=dict)

    def chance(self, knob: str) -> bool:
        """Throw the dice: true with the probability that a knob holds."""
        return self.rng.random() < float(self.knobs[knob])


Function = Callable[[Job, list[bytearray], State], list[bytearray]]


@dataclass(frozen=True)
class _Model:
    function: Function
    defaults: Mapping[str, Knob]


_models: dict[str, _Model] = {}


def firmware(model: str, **knobs: Knob) -> Callable[[Function], Function]:
    """Register a firmware.

    Args:
        model: Its name in topologies and reports.
        **knobs: What a user may set, and the defaults. A knob named `p` is a probability.
    """

    def register(function: Function) -> Function:
        _models[model] = _Model(function, knobs)
        return function

    return register


@firmware("good")
def good(_job: Job, frames: list[bytearray], _state: State) -> list[bytearray]:
    """Do what was asked."""
    return frames


@firmware("random-p", p=0.03)
def random_p(job: Job, frames: list[bytearray], state: State) -> list[bytearray]:
    """Get the outer checksum of tunnel segments wrong, on a share `p` of them at random.

    Hits what `tx-udp_tnl-csum-segmentation` hands to the NIC and nothing else, as the X710 of
    the incident did.
    """
    if not (job.tunnel_csum and job.gso != GSO_NONE):
        return frames
    for frame in frames:
        if state.chance("p"):
            garble(frame, job.l4 + _UDP_CHECK, state.rng)
    return frames


def garble(frame: bytearray, at: int, rng: random.Random) -> None:
    """Put noise over a checksum so that it is wrong by every reading.

    The new value is never 0, which would mean "none" to UDP, and never the same one's complement
    number as before: 0x0000 and 0xffff are one.

    Args:
        frame: Changed in place.
        at: Where the checksum is, in bytes from the frame's start.
        rng: Where the noise comes from.
    """
    (right,) = _U16.unpack_from(frame, at)
    wrong = right
    while wrong == 0 or wrong % 65535 == right % 65535:
        wrong = right ^ rng.randrange(1, 65536)
    _U16.pack_into(frame, at, wrong)


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

    def load(self, nic: str) -> Callable[[Job, list[bytearray]], list[bytearray]]:
        """Start it on a NIC.

        Args:
            nic: The NIC's name; without a `seed` knob it determines the randomness.

        Returns:
            What turns a job and the honest frames for it into the frames to send.
        """
        seed = zlib.crc32(nic.encode()) if self.seed is None else self.seed
        state, function = State(self.knobs, random.Random(seed)), _models[self.model].function
        return lambda job, frames: function(job, frames, state)


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
        if name not in known.defaults:
            raise UsageError(
                f"firmware {model} has no knob {name!r}",
                where=where,
                hint=_instead(name, [*known.defaults, "seed"]),
            )
    filled = {
        name: _value(f"{model}'s {name}", given.get(name, default), default, name == "p", where)
        for name, default in known.defaults.items()
    }
    return Firmware(model, filled, seed)


def describe(model: str, knobs: Mapping[str, object]) -> str:
    """Give the firmware string of a NIC, such as `good` or `random-p p=0.03`.

    Raises:
        UsageError: As from `check`.
    """
    return str(check(model, knobs))


def _value(what: str, value: object, default: Knob, share: bool, where: str | None) -> Knob:
    """Check one knob's value by the type of its default."""
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if not isinstance(value, bool | int | float | str) or type(value) is not type(default):
        kind = type(default).__name__
        raise UsageError(f"{what} must be of type {kind}, not {value!r}", where=where)
    if share and not 0 <= float(value) <= 1:
        raise UsageError(f"{what} is a share, from 0 to 1, not {value!r}", where=where)
    return value


def _instead(name: str, known: Iterable[str]) -> str:
    """Name the nearest of the known words, and all of them."""
    nearest = difflib.get_close_matches(name, known := sorted(known), n=1)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{meant}known: {', '.join(known)}"
