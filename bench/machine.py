"""Describes the machine as far as the figures depend on it, without its name."""

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
    """A machine and its software.

    Attributes:
        day: The date, as ISO 8601.
        version: The version of vxqual.
        cpu: The CPU model.
        cpus: The number of CPUs.
        memory: The size of the memory, GB.
        os: The distribution.
        kernel: The kernel release.
        python: The version of the interpreter.
        verifier: The implementation that judges frames.
        tools: The first line of each tool's version output, by name.
        load: The load average of the last minute; 0 on an idle machine.
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
    """Returns the machine that this runs on."""
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
        printed = run([name, option], keep=True)
    except LabError:
        return f"no {name}"
    return (printed.output or printed.errors).splitlines()[0].strip().rstrip(".")
