"""The orders that probe a link: whether a UDP port passes, and who answers. They change nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.host import links, neighbours
from qualification.agent.serve import Context
from qualification.agent.traffic import port_probe
from qualification.messages.host import PortProbe, PortProbeResult
from qualification.messages.protocol import AgentProblem

_REACH_SECONDS = 3.0


class PortProbeOperations:
    """Listens on a tunnel's port at one end, and sends to it at the other."""

    def __init__(self) -> None:
        self._listener: port_probe.PortListener | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {
            "probe_listen": self.listen,
            "probe_send": self.send,
            "probe_collect": self.collect,
            "who_answers": self.who_answers,
        }

    def listen(self, _context: Context, *, probe: PortProbe) -> None:
        """Opens a socket on the tunnel's port."""
        self.close()
        self._listener = port_probe.PortListener(probe)

    def send(self, context: Context, *, probe: PortProbe) -> None:
        """Sends packets to the other end's port, once that end answers for its address."""
        neighbours.reach(probe.interface, probe.remote, context.stop.is_set, _REACH_SECONDS)
        port_probe.send(probe)

    def collect(self, _context: Context, *, seconds: float) -> PortProbeResult:
        """Returns what came, and closes the socket."""
        if self._listener is None:
            raise AgentProblem("not-prepared", "'probe_listen' must come before 'probe_collect'")
        try:
            return self._listener.collect(seconds)
        finally:
            self.close()

    def who_answers(
        self, _context: Context, *, interface: str, addresses: tuple[str, ...]
    ) -> list[str]:
        """Returns the MAC addresses that answer for IPv4 addresses; none without a link."""
        if not addresses or not links.has_carrier(interface):
            return []
        return neighbours.answering(interface, [socket.inet_aton(text) for text in addresses])

    def close(self) -> None:
        """Closes the socket, if there is one."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
