"""The orders by which throughput is measured: one end drops what it gets, the other one sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.serve import Context
from qualification.agent.traffic.unverified.reverse import ReverseSink
from qualification.agent.traffic.unverified.throughput import send_bulk
from qualification.messages.bursts import FlowOrder
from qualification.messages.throughput import Throughput


class ThroughputOperations:
    """Sends and receives bulk TCP in the tunnel namespace; one receiver at a time.

    Args:
        tunnel: Returns the descriptor of the tunnel namespace, or raises if there is none.
    """

    def __init__(self, tunnel: Callable[[], int]) -> None:
        self._tunnel = tunnel
        self._sink: ReverseSink | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {
            "receive_bulk": self.receive,
            "send_bulk": self.send,
            "end_bulk": self.end,
        }

    def receive(self, _context: Context, *, flow: FlowOrder) -> None:
        """Starts to receive and drop, until it is ended."""
        self.close()
        self._sink = ReverseSink(flow, self._tunnel())

    def send(self, context: Context, *, flow: FlowOrder, duration: float) -> Throughput:
        """Sends for some time; returns how much got through."""
        return send_bulk(flow, self._tunnel(), duration, context.stop.is_set)

    def end(self, _context: Context) -> None:
        """Ends the receiver."""
        self.close()

    def close(self) -> None:
        """Ends a receiver that was not ended."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()
