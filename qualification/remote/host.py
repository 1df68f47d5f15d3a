"""A host of the topology with its agent running: connect, install, start, and close all of it."""

from __future__ import annotations

import contextlib
from typing import Any, Self

from qualification.errors import LabError
from qualification.topology import Topology

from .agent_client import AgentClient
from .ssh import connect


class RemoteHost:
    """An agent at the other end of an SSH connection of its own.

    Args:
        topology: A resolved one.
        name: The host's name in it.

    Raises:
        HostError: The host cannot take part.
    """

    def __init__(self, topology: Topology, name: str) -> None:
        ssh = topology.hosts[name].ssh
        if ssh is None:
            raise LabError("has no ssh section, and no lab was started for it", where=name)
        self.name = name
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(connect(name, ssh))
            self._agent = stack.enter_context(AgentClient.start(connection, sudo=ssh.sudo))
            self._stack = stack.pop_all()

    def call(self, op: str, /, *, timeout: float, **args: Any) -> Any:
        """Has the agent carry out an order; see `AgentClient.call`."""
        return self._agent.call(op, timeout=timeout, **args)

    def close(self) -> None:
        """Has the host put back and ends the connection; a second call does nothing."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
