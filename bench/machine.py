"""What machine it was: as much as it takes to judge the figures, and nothing that names it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from qualification import __version__
from qualification.agent.capture import native_capture
from qualification.agent.host import facts
from qualification.errors import LabError

from .processes import run

_TOOLS = (("tcpdump", "--version"), ("tshark", "--version"), ("cc", "--version"))


@dataclass(frozen=True)
class Machine:
    """A machine and what ran on it.

    Attributes:
        day: When, as ISO 8601.
        version: Of vxqual.
        cpu: Model.
        cpus: How many the system has.
        memory: Of all, GB.
        os: The distribution.
        kernel: Its release.
        python: Version of the interpreter.
        verifier: Which verifier judges frames.
        tools: First line of what each says of its version, by name.
        load: Average of processes that wanted to run in the minute before: at rest it is 0.
    """

    day: str
    version: str
    cpu: str
    cpus: int
    memory: float
    os: str
    kernel: str
    python: str
    verifier: str
    tools: dict[str, str]
    load: float


def this_machine() -> Machine:
    """The one we are on."""
    host = facts.host(native_capture.native().says)
    return Machine(
        day=datetime.now(UTC).date().isoformat(),
        version=__version__,
        cpu=host.cpu,
        cpus=host.cpus,
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9,
        os=host.os,
        kernel=host.kernel,
        python=host.python,
        verifier=host.verifier,
        tools={name: _version(name, option) for name, option in _TOOLS},
        load=os.getloadavg()[0],
    )


def _version(name: str, option: str) -> str:
    try:
        said = run([name, option], keep=True)
    except LabError:
        return f"no {name}"
    return (said.output or said.errors).splitlines()[0].strip().rstrip(".")
