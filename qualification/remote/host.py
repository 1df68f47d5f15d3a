"""An agent on a host of a topology, and what its last report says."""

from __future__ import annotations

from typing import Any

from qualification.agent.host.journal import NOT_UNDONE
from qualification.errors import LabError
from qualification.topology import Topology

from .agent_client import AgentClient, open_agent


def open_host(topology: Topology, name: str) -> AgentClient:
    """Connects to a host of a resolved topology and starts an agent there.

    Raises:
        HostError: The host cannot take part.
    """
    ssh = topology.hosts[name].ssh
    if ssh is None:
        raise LabError("has no ssh section, and no lab was started for it", where=name)
    return open_agent(name, ssh)


def not_undone(report: Any) -> list[str]:
    """Of what an agent reports when it is closed, the lines that leave a host changed."""
    return [line for line in report or () if str(line).startswith(NOT_UNDONE)]
