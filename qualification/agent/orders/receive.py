"""The orders that are about frames made for a tunnel's receiver; the others are in `operations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.capture.csum_status import CsumStatusCapture
from qualification.agent.capture.receive_test import ReceiveTest, receive_frames_of
from qualification.agent.host.counters import Moves
from qualification.agent.orders.serve import Context
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.agent.waiting import await_all
from qualification.messages.protocol import AgentProblem
from qualification.messages.receive import ReceiveOrder, ReceiveResult

_MOST_SECONDS = 60.0


class ReceiveOperations:
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
        self._capture: CsumStatusCapture | None = None
        self._expected: tuple[ReceiveTest, Moves] | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """The orders by name."""
        return {
            "expect_received": self.expect,
            "inject_received": self.inject,
            "collect_received": self.collect,
        }

    def expect(self, _context: Context, *, order: dict[str, Any]) -> None:
        """Opens sockets and a capture for a burst."""
        self._end()
        interface, tunnel = self._interface(), self._tunnel()
        if self._capture is None:
            self._capture = CsumStatusCapture(interface)
        moves = Moves(interface, tunnel)
        self._expected = ReceiveTest(ReceiveOrder(**order), self._capture, tunnel), moves

    def inject(self, _context: Context, *, order: dict[str, Any]) -> int:
        """Makes the frames of a burst and sends them."""
        made = receive_frames_of(ReceiveOrder(**order))
        return self._raw.inject((receive_frame.frame for receive_frame in made), self._interface())

    def collect(self, context: Context) -> ReceiveResult:
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
