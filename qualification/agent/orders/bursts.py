"""The orders of bursts: watch and collect at the one end, send and fire at the other."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qualification.agent.capture.crafted import CraftedCapture, CraftedTxTap
from qualification.agent.capture.peer import PeerCapture
from qualification.agent.capture.ring import Rings
from qualification.agent.capture.tx_tap import BulkTxTap
from qualification.agent.host.counters import Moves
from qualification.agent.orders.serve import Context
from qualification.agent.traffic.prepared_set import prepared_set
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.agent.traffic.receiving import Receiver
from qualification.agent.traffic.reverse import ReverseSender, ReverseSink
from qualification.agent.traffic.sending import send
from qualification.agent.waiting import await_all, await_condition
from qualification.messages.bursts import (
    CaptureOrder,
    CraftedOrder,
    Delivered,
    FlowOrder,
    Received,
    Sent,
    Submitted,
)
from qualification.messages.protocol import AgentProblem

_BACK_SECONDS = 3.0
"""For the first of what the peer sends back to come."""

_FIRING_SECONDS = 2.0
"""For the last buffer of a crafted packet set to reach the NIC."""


class BurstOperations:
    """One burst at a time, watched or sent.

    Args:
        interface: Tells the NIC.
        tunnel: Tells the tunnel namespace.
        news: Tells what is new in the kernel log.
        raw: What crafted packet sets are fired with.
    """

    def __init__(
        self,
        interface: Callable[[], str],
        tunnel: Callable[[], int],
        news: Callable[[], tuple[str, ...]],
        raw: RawSockets,
    ) -> None:
        self._interface, self._tunnel, self._news, self._raw = interface, tunnel, news, raw
        self._rings = Rings()
        self._watched: tuple[PeerCapture, Receiver | None, Moves] | None = None
        self._reverse: ReverseSender | None = None
        self._sink: ReverseSink | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """The orders by name."""
        return {
            "watch": self.watch,
            "collect": self.collect,
            "listen": self.listen,
            "send": self.send,
            "send_crafted": self.send_crafted,
            "inject": self.inject,
        }

    def watch(
        self,
        _context: Context,
        *,
        capture: dict[str, Any],
        flow: dict[str, Any] | None = None,
        packet_set: dict[str, Any] | None = None,
        reverse: dict[str, Any] | None = None,
    ) -> None:
        """Starts judging a flow's frames and, if it is one of sockets, receiving it.

        And sending one back, if there is one.
        """
        self._end_watch()
        order = CaptureOrder(**capture)
        tunnel = self._tunnel_of(order.vni)
        moves = Moves(self._interface(), tunnel)
        if packet_set is not None:
            watching: PeerCapture = CraftedCapture(order, self._rings, CraftedOrder(**packet_set))
        else:
            watching = PeerCapture(order, self._rings)
        receiver = None
        if flow is not None:
            try:
                flow_order = FlowOrder(**flow)
                receiver = Receiver(flow_order, self._tunnel_of(flow_order.vni))
            except BaseException:
                watching.finish()
                raise
        self._watched = watching, receiver, moves
        if reverse is not None:
            self._reverse = ReverseSender(FlowOrder(**reverse), tunnel)

    def collect(self, context: Context, *, frames: int) -> Received:
        """Waits until that many frames have come or the wire is quiet, and tells what was seen."""
        if self._watched is None:
            raise AgentProblem("not-watching", "collect without watch")
        watching, receiver, moves = self._watched
        self._end_back()

        def complete() -> bool:
            return watching.arrived >= frames and (receiver is None or receiver.complete)

        def quiet_for() -> float:
            quiet = watching.quiet_for()
            # The receiver may lag behind the wire.
            return quiet if receiver is None else min(quiet, receiver.quiet_for())

        await_all(complete, quiet_for, 60.0, context.stop.is_set)
        seen, delivered = self._end_watch()
        return Received(seen, delivered, moves.so_far(), self._news())

    def listen(self, _context: Context, *, flow: dict[str, Any]) -> None:
        """Takes in what the other end sends meanwhile, up to the end of the next burst."""
        self._end_sink()
        order = FlowOrder(**flow)
        self._sink = ReverseSink(order, self._tunnel_of(order.vni))

    def _end_sink(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def send(self, context: Context, *, capture: dict[str, Any], flow: dict[str, Any]) -> Sent:
        """Sends one burst and tells what the kernel handed to the NIC for it."""
        order = FlowOrder(**flow)
        tunnel = self._tunnel_of(order.vni)
        moves = Moves(self._interface(), tunnel)
        watching = BulkTxTap(CaptureOrder(**capture), self._rings)
        submitted = Submitted()
        sink = self._sink
        try:
            if sink is not None:  # what is sent back goes on until it is stopped
                await_condition(sink.has_some, _BACK_SECONDS, context.stop.is_set)
            sending = send(order, tunnel, context.stop.is_set)
            reverse = 0 if sink is None else sink.received
        except BaseException:
            watching.finish(order.payload)
            raise
        finally:
            self._end_sink()
        submitted = watching.finish(sending.segment)
        return Sent(
            submitted=submitted,
            written=sending.written,
            complete=sending.complete,
            seconds=sending.seconds,
            counters=moves.so_far(),
            kernel_log=self._news(),
            reverse=reverse,
        )

    def send_crafted(
        self, context: Context, *, capture: dict[str, Any], packet_set: dict[str, Any]
    ) -> Sent:
        """Sends one crafted packet set and tells what the kernel handed to the NIC for it."""
        order = CraftedOrder(**packet_set)
        tunnel = self._tunnel_of(order.vni)
        moves = Moves(self._interface(), tunnel)
        start = time.monotonic()
        prepared = prepared_set(order)
        watching = CraftedTxTap(CaptureOrder(**capture), self._rings, prepared)
        try:
            expected = self._raw.send_prepared(prepared, order.device, tunnel)
            complete = await_condition(
                lambda: watching.frames >= expected, _FIRING_SECONDS, context.stop.is_set
            )
        finally:
            submitted = watching.finish()
        seconds = time.monotonic() - start
        moved = moves.so_far()
        return Sent(submitted, expected, complete, seconds, moved, self._news())

    def inject(self, _context: Context, *, frames: Sequence[str]) -> int:
        """Sends frames, base64, as they are: finished, nothing left for the NIC to do."""
        return self._raw.inject(map(base64.b64decode, frames), self._interface())

    def close(self) -> None:
        """Ends what runs."""
        with contextlib.suppress(Exception):
            self._end_watch()
        with contextlib.suppress(Exception):
            self._end_sink()
        self._rings.close()

    def _end_back(self) -> None:
        if self._reverse is not None:
            reverse, self._reverse = self._reverse, None
            reverse.close()

    def _end_watch(self) -> Any:
        self._end_back()
        if self._watched is None:
            return None
        watching, receiver, *_ = self._watched
        self._watched = None
        try:
            seen = watching.finish()
        finally:
            delivered = receiver.finish() if receiver is not None else Delivered(complete=True)
        return seen, delivered

    def _tunnel_of(self, vni: int | None) -> int | None:
        return None if vni is None else self._tunnel()
