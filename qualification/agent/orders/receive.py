"""The orders of receive tests: frames that one end makes and the other end's kernel receives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.capture.csum_status import CsumStatusCapture
from qualification.agent.capture.receive_test import ReceiveTest, receive_frames_of
from qualification.agent.host.counters import CounterChanges
from qualification.agent.serve import Context
from qualification.agent.traffic.pace import quiet_seconds
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.agent.waiting import await_all
from qualification.messages.protocol import AgentProblem
from qualification.messages.receive import ReceiveOrder, ReceiveResult

_MOST_SECONDS = 60.0


class ReceiveOperations:
    """Sends or receives one burst of a receive test at a time.

    Args:
        interface: Returns the name of the NIC.
        tunnel: Returns the descriptor of the tunnel namespace, or raises if there is none.
        log: Returns the lines of the kernel log since its last call.
        raw: The sockets that frames are sent through.
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
        self._expected: tuple[ReceiveTest, CounterChanges] | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {
            "expect_received": self.expect,
            "inject_received": self.inject,
            "collect_received": self.collect,
        }

    def expect(self, _context: Context, *, order: ReceiveOrder) -> None:
        """Opens the sockets and the capture for a burst."""
        self._end()
        interface, tunnel = self._interface(), self._tunnel()
        if self._capture is None:
            self._capture = CsumStatusCapture(interface)
        moves = CounterChanges(interface, tunnel)
        self._expected = ReceiveTest(order, self._capture, tunnel), moves

    def inject(self, _context: Context, *, order: ReceiveOrder) -> int:
        """Makes the frames of a burst and sends them; returns their number."""
        made = receive_frames_of(order)
        frames = (receive_frame.frame for receive_frame in made)
        return self._raw.inject(frames, self._interface(), order.pace)

    def collect(self, context: Context) -> ReceiveResult:
        """Waits until the burst is complete or the wire is quiet; returns what was received."""
        if self._expected is None:
            raise AgentProblem("not-expecting", "'collect_received' without 'expect_received'")
        expected, moves = self._expected

        def complete() -> bool:
            expected.drain()
            return expected.complete()

        quiet = quiet_seconds(expected.pace)
        await_all(complete, expected.quiet_for, quiet, _MOST_SECONDS, context.stop.is_set)
        result = expected.finish(moves.so_far(), self._log())
        self._expected = None
        return result

    def close(self) -> None:
        """Ends the burst, if there is one, and closes the capture."""
        self._end()
        if self._capture is not None:
            self._capture.close()
            self._capture = None

    def _end(self) -> None:
        """Ends a burst that was not collected."""
        if self._expected is not None:
            (expected, _moves), self._expected = self._expected, None
            expected.close()
