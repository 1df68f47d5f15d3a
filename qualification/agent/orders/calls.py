"""The orders of calls: request and answer over TCP, as an application makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.serve import Context
from qualification.agent.traffic.calls.client import TcpChannel, make_calls
from qualification.agent.traffic.calls.server import CallServer
from qualification.messages.calls import Calls, CallsOrder, Served
from qualification.messages.protocol import AgentProblem


class CallOperations:
    """Serves and makes calls in the tunnel namespace; one server at a time.

    Args:
        tunnel: Returns the descriptor of the tunnel namespace, or raises if there is none.
    """

    def __init__(self, tunnel: Callable[[], int]) -> None:
        self._tunnel = tunnel
        self._server: CallServer | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {
            "serve_calls": self.serve,
            "make_calls": self.make,
            "finish_calls": self.finish,
        }

    def serve(self, _context: Context, *, order: CallsOrder) -> None:
        """Starts a server that answers calls."""
        self.close()
        self._server = CallServer(order, self._tunnel())

    def make(self, context: Context, *, order: CallsOrder) -> Calls:
        """Makes calls; returns how each of them ended."""
        tunnel = self._tunnel()

        def channel(number: int) -> TcpChannel:
            return TcpChannel(order, number, tunnel)

        return make_calls(order, channel, context.stop.is_set)

    def finish(self, _context: Context) -> Served:
        """Ends the server; returns what it has served."""
        if self._server is None:
            raise AgentProblem("not-serving", "'finish_calls' without 'serve_calls'")
        server, self._server = self._server, None
        return server.finish()

    def close(self) -> None:
        """Ends a server that was not finished."""
        if self._server is not None:
            server, self._server = self._server, None
            server.finish()
