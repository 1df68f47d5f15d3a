"""Has the hosts of a lab put back what agents that died have left changed there."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from qualification.errors import AgentError, VxqualError
from qualification.messages.closing import left_changed
from qualification.messages.lease import Lessee
from qualification.topology import Topology

from .agent_client import AgentClient
from .closing import close_all
from .host import open_host
from .questions import nics_of, on_all

_SECONDS = 120.0
"""How long the undo on one NIC may take: it waits for links and addresses."""
_AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class Restored:
    """What came of one host.

    Attributes:
        host: Its name in the topology.
        done: What was put back on each of its NICs, a line for each thing.
        left: What is still changed on a NIC, by NIC; one is named here only if something is.
        errors: Why the host, or one of its NICs, was not touched.
    """

    host: str
    done: dict[str, list[str]]
    left: dict[str, list[str]]
    errors: list[VxqualError]

    @property
    def as_it_was(self) -> bool:
        """Whether the host is as it was before the first run."""
        return not self.left and not self.errors

    @property
    def sentences(self) -> list[str]:
        """What is still changed, a sentence for each thing."""
        return [
            f"host {self.host} is left changed: {line}"
            for lines in self.left.values()
            for line in lines
        ]


def restore(
    topology: Topology,
    pairs: Iterable[str],
    *,
    lessee: Lessee | None = None,
    patience: float = 0.0,
) -> list[Restored]:
    """Puts every host of some pairs back, as far as agents that died have left it changed.

    Args:
        topology: The topology, with SSH settings for every host.
        pairs: Names of the pairs.
        lessee: The run that has leased the NICs; None for nobody.
        patience: Seconds to wait for an agent that still has a NIC; it is never disturbed.
    """
    hosts = nics_of(topology, pairs)

    def put_back(host: str) -> Restored:
        found = Restored(host, {}, {}, [])
        try:
            agent = open_host(topology, host)
        except VxqualError as error:
            found.errors.append(error)
            return found
        try:
            for name in hosts[host]:
                _put_back(agent, name, topology.nic(name).interface, found, lessee, patience)
        finally:
            try:
                close_all([agent])
            except VxqualError as error:
                if not found.left:
                    found.errors.append(error)
        return found

    return [answer for _host, answer in on_all(hosts, put_back)]


def _put_back(
    agent: AgentClient,
    name: str,
    interface: str,
    found: Restored,
    lessee: Lessee | None,
    patience: float,
) -> None:
    end = time.monotonic() + patience
    while True:
        try:
            report = agent.ask(
                list[str], "put_back", timeout=_SECONDS, interface=interface, lessee=lessee
            )
        except AgentError as error:
            if error.kind == "nic-leased" and time.monotonic() < end:
                time.sleep(_AGAIN_SECONDS)
                continue
            found.errors.append(
                AgentError(error.what, where=name, hint=error.hint, kind=error.kind)
            )
            return
        left = left_changed(report)
        if left:
            found.left[name] = left
        found.done[name] = [line for line in report if not left_changed([line])]
        return
