"""Opens the agent of a host in a topology."""

from __future__ import annotations

from qualification.errors import LabError
from qualification.remote.ssh.connection import connect
from qualification.topology import Ssh, Topology

from .agent_client import AgentClient


def open_agent(host: str, ssh: Ssh, *, timeout: float = 10.0) -> AgentClient:
    """Connects to a host and starts an agent there; closing the agent closes the connection.

    Args:
        host: The host's name in the topology.
        ssh: How it is reached.
        timeout: Seconds for the connection.

    Raises:
        HostError: The host cannot be reached, or cannot run the agent.
        AgentError: The agent was started, and failed.
    """
    return AgentClient.start(connect(host, ssh, timeout=timeout), sudo=ssh.sudo)


def open_host(topology: Topology, name: str) -> AgentClient:
    """Connects to a host of a resolved topology and starts an agent there.

    Raises:
        LabError: The topology does not say how to reach the host.
        HostError: The host cannot be reached, or cannot run the agent.
        AgentError: The agent was started, and failed.
    """
    ssh = topology.hosts[name].ssh
    if ssh is None:
        raise LabError(
            "the topology has no `ssh` section for this host, and no lab was started for it",
            where=name,
            hint="add an `ssh` section to the host, or a `lab` section to the topology",
        )
    return open_agent(name, ssh)
