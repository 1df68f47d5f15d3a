"""The orders that are about frames made for a tunnel's receiver; the others are in `operations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .arrival_messages import ArrivalOrder, Arrived
from .arrivals import Expected, arrivals_of
from .counters import Moves
from .protocol import AgentProblem, Context
from .volley import RawSockets
from .vouched import Vouched
from .waiting import await_all

_MOST_SECONDS = 60.0


class ArrivalOrders:
    """Sends or receives one burst at a time.

    Args:
        interface: Gives the NIC.
        tunnel: Gives the descriptor of the tunnel namespace, or raises if there is none.
        log: Gives what the kernel has logged since it was asked last.
        raw: Sends frames.
    """

    def __init__(
        self,
        interface: Callable[[], str],
        tunnel: Callable[[], int],
        log: Callable[[], tuple[str, ...]],
        raw: RawSockets,
    ) -> None:
        self._interface, self._tunnel, self._log, self._raw = interface, tunnel, log, raw
        self._capture: Vouched | None = None
        self._expected: tuple[Expected, Moves] | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """The orders by name."""
        return {"expect": self.expect, "throw": self.throw, "tell_arrivals": self.tell}

    def expect(self, _context: Context, *, order: dict[str, Any]) -> None:
        """Opens sockets and a capture for a burst."""
        self._end()
        interface, tunnel = self._interface(), self._tunnel()
        if self._capture is None:
            self._capture = Vouched(interface)
        moves = Moves(interface, tunnel)
        self._expected = Expected(ArrivalOrder(**order), self._capture, tunnel), moves

    def throw(self, _context: Context, *, order: dict[str, Any]) -> int:
        """Makes the frames of a burst and sends them."""
        made = arrivals_of(ArrivalOrder(**order))
        return self._raw.throw((arrival.frame for arrival in made), self._interface())

    def tell(self, context: Context) -> Arrived:
        """Waits until all of the burst is accounted for, or nothing comes; tells what came."""
        if self._expected is None:
            raise AgentProblem("not-expecting", "tell_arrivals without expect")
        expected, moves = self._expected

        def complete() -> bool:
            expected.drain()
            return expected.complete()

        await_all(complete, expected.quiet_for, _MOST_SECONDS, context.stop.is_set)
        told = expected.finish(moves.so_far(), self._log())
        self._expected = None
        return told

    def close(self) -> None:
        """Ends everything."""
        self._end()
        if self._capture is not None:
            self._capture.close()
            self._capture = None

    def _end(self) -> None:
        """Ends a burst that nobody has asked the end of."""
        if self._expected is not None:
            (expected, _moves), self._expected = self._expected, None
            expected.close()
