"""The leases of a run on its NICs, which an agent on each host holds until the run ends.

They are taken in one order, the same for all controllers whatever their topologies call the hosts,
so that two that want the same NICs never wait for each other.
"""

from __future__ import annotations

import getpass
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from qualification.errors import AgentError, HostLeftChangedError, LabError
from qualification.messages.host import Facts
from qualification.messages.lease import Lessee
from qualification.progress import Progress
from qualification.topology import Topology

from .agent_client import AgentClient
from .closing import close_all

_SECONDS = 60.0
"""How long an agent may take to take a lease: what is left changed is put back first."""
_TURN = 1.0
_SAID_EVERY = 10.0

_log = logging.getLogger("vxqual.lease")


@dataclass(frozen=True)
class LeaseDemand:
    """What a run wants of its NICs before it begins.

    Attributes:
        lessee: The run.
        seconds: How long it waits for NICs that another run has leased.
    """

    lessee: Lessee
    seconds: float = 0.0


def lessee(run: str) -> Lessee:
    """Returns who a run of this process is to others."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user has no name, as in some containers
        user = f"uid {os.geteuid()}"
    return Lessee(f"{user}@{socket.gethostname()}", run)


@contextmanager
def open_agents() -> Iterator[dict[str, AgentClient]]:
    """Yields a place for agents by host, which are ended afterwards, and their leases given back.

    They have changed nothing that they have not put back at once, and said so: where one was lost,
    that leaves no doubt.

    Raises:
        HostLeftChangedError: A host is known to be left changed.
    """
    agents: dict[str, AgentClient] = {}
    try:
        yield agents
    finally:
        try:
            close_all(agents.values())
        except HostLeftChangedError as error:
            if error.certain:
                raise
            _log.warning("%s", error)


def lease_all(
    topology: Topology,
    nics: Mapping[str, tuple[AgentClient, Facts]],
    demand: LeaseDemand,
    say: Progress,
) -> tuple[dict[str, LabError], list[str]]:
    """Takes the lease on every NIC.

    Args:
        topology: The topology.
        nics: By name, the agent of its host and what that host has said of itself.
        demand: Who wants them, and how long it waits.
        say: Takes lines on the progress.

    Returns:
        What is wrong with a NIC, by its name, other than that it is leased; and the names of the
        NICs on which something was put back.

    Raises:
        LabError: Another run has leased one of them, and still has after the time to wait.
    """

    def place(name: str) -> tuple[str, int, str]:
        host = nics[name][1].host
        return host.boot_id, host.namespace, topology.nic(name).interface

    until = time.monotonic() + demand.seconds
    faults: dict[str, LabError] = {}
    changed = []
    for name in sorted(nics, key=place):
        try:
            if _lease(nics[name][0], topology, name, demand, until, say):
                changed.append(name)
        except AgentError as error:
            fault = LabError(error.what, where=name, hint=error.hint)
            if error.kind == "nic-leased":
                raise fault from None
            faults[name] = fault
    return faults, changed


def _lease(
    agent: AgentClient,
    topology: Topology,
    name: str,
    demand: LeaseDemand,
    until: float,
    say: Progress,
) -> bool:
    """Takes one lease, and waits for it if it is asked to; returns whether it put anything back."""
    due = time.monotonic()
    while True:
        try:
            undone = agent.ask(
                list[str],
                "lease",
                timeout=_SECONDS,
                interface=topology.nic(name).interface,
                lessee=demand.lessee,
            )
            break
        except AgentError as error:
            left = until - time.monotonic()
            if error.kind != "nic-leased" or left <= 0:
                raise
            if time.monotonic() >= due:
                say(f"waiting up to {left:.0f} s: {name}: {error.what}")
                due = time.monotonic() + _SAID_EVERY
            time.sleep(min(_TURN, left))
    _log.info("%s: leased", name)
    for line in undone:
        say(f"{name}: put back what an agent that died had left changed: {line}")
    return bool(undone)
