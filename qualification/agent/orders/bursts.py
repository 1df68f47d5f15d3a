"""The orders of bursts: watch and collect on the receiver, send and send_crafted on the sender."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from qualification.agent.capture.crafted import CraftedCapture, CraftedTxTap
from qualification.agent.capture.peer import PeerCapture
from qualification.agent.capture.ring import Rings
from qualification.agent.capture.tx_tap import BulkTxTap
from qualification.agent.host.counters import CounterChanges
from qualification.agent.serve import Context
from qualification.agent.traffic.pace import quiet_seconds, seconds_for
from qualification.agent.traffic.prepared_set import prepared_set
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.agent.traffic.receiving import Receiver
from qualification.agent.traffic.sending import send
from qualification.agent.traffic.unverified.reverse import ReverseSender, ReverseSink
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
from qualification.messages.submitted import SubmittedPacket, SubmittedPackets

from .ending import Step

_REVERSE_SECONDS = 3.0
"""How long a sender waits for the first bytes of the reverse traffic."""

_SUBMIT_SECONDS = 2.0
"""How long a sender waits until the driver has the last buffer of a crafted packet set."""

_COLLECT_SECONDS = 60.0
"""The longest that a burst without a pace may go on arriving after it was sent."""


class BurstOperations:
    """Watches or sends one burst at a time.

    Args:
        interface: Returns the name of the NIC.
        tunnel: Returns the descriptor of the tunnel namespace, or raises if there is none.
        news: Returns the lines of the kernel log since its last call.
        raw: The sockets that crafted packet sets are sent through.
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
        self._watched: tuple[PeerCapture, Receiver | None, CounterChanges] | None = None
        self._reverse: ReverseSender | None = None
        self._sink: ReverseSink | None = None
        self._tapped: Callable[[list[bytes]], list[SubmittedPacket | None]] | None = None

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {
            "watch": self.watch,
            "collect": self.collect,
            "listen": self.listen,
            "send": self.send,
            "send_crafted": self.send_crafted,
            "submitted": self.submitted,
            "inject": self.inject,
        }

    def watch(
        self,
        _context: Context,
        *,
        capture: CaptureOrder,
        flow: FlowOrder | None = None,
        packet_set: CraftedOrder | None = None,
        reverse: FlowOrder | None = None,
    ) -> None:
        """Starts to verify the frames of a burst, and to receive it if sockets send it.

        Args:
            capture: The frames to verify.
            flow: The burst, if sockets send it.
            packet_set: The burst, if it is a crafted packet set.
            reverse: The reverse traffic to send meanwhile, if there is any.
        """
        self._end_watch()
        self._tapped = None
        tunnel = self._tunnel_of(capture.vni)
        moves = CounterChanges(self._interface(), tunnel)
        if packet_set is not None:
            watching: PeerCapture = CraftedCapture(capture, self._rings, packet_set)
        else:
            watching = PeerCapture(capture, self._rings)
        receiver = None
        if flow is not None:
            try:
                receiver = Receiver(flow, self._tunnel_of(flow.vni))
            except BaseException:
                watching.finish()
                raise
        self._watched = watching, receiver, moves
        if reverse is not None:
            self._reverse = ReverseSender(reverse, tunnel)

    def collect(self, context: Context, *, frames: int, pace: int = 0) -> Received:
        """Waits until that many frames were captured or the wire is quiet; returns the evidence.

        Args:
            context: Says when to give up.
            frames: How many frames of the burst were submitted to the driver.
            pace: The pace of the burst, frames per second; 0 for no limit.
        """
        if self._watched is None:
            raise AgentProblem("not-watching", "'collect' without 'watch': there is no burst")
        watching, receiver, moves = self._watched
        self._end_reverse()

        def complete() -> bool:
            # Of frames that are all wrong, no socket receives one.
            done = receiver is None or receiver.complete or 0 < frames <= watching.bad
            return watching.arrived >= frames and done

        def quiet_for() -> float:
            quiet = watching.quiet_for()
            # The receiver may lag behind the wire.
            return quiet if receiver is None else min(quiet, receiver.quiet_for())

        seconds = _COLLECT_SECONDS + seconds_for(frames, pace)
        await_all(complete, quiet_for, quiet_seconds(pace), seconds, context.stop.is_set)
        seen, delivered = self._end_watch()
        return Received(seen, delivered, moves.so_far(), self._news())

    def listen(self, _context: Context, *, flow: FlowOrder) -> None:
        """Starts to receive the reverse traffic, until the end of the next burst."""
        self._end_sink()
        self._sink = ReverseSink(flow, self._tunnel_of(flow.vni))

    def _end_sink(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def send(self, context: Context, *, capture: CaptureOrder, flow: FlowOrder) -> Sent:
        """Sends one burst; returns what the kernel submitted to the driver for it."""
        self._tapped = None
        tunnel = self._tunnel_of(flow.vni)
        moves = CounterChanges(self._interface(), tunnel)
        watching = BulkTxTap(capture, self._rings)
        submitted = Submitted()
        sink = self._sink
        try:
            if sink is not None:  # the peer sends reverse traffic until 'collect'
                await_condition(sink.has_some, _REVERSE_SECONDS, context.stop.is_set)
            sent = send(flow, tunnel, context.stop.is_set)
            reverse = 0 if sink is None else sink.received
        except BaseException:
            watching.finish(flow.payload)
            raise
        finally:
            self._end_sink()
        submitted = watching.finish(sent.segment)
        self._tapped = partial(watching.submitted, segment=flow.payload)
        return Sent(
            submitted=submitted,
            written=sent.written,
            complete=sent.complete,
            seconds=sent.seconds,
            counters=moves.so_far(),
            kernel_log=self._news(),
            reverse=reverse,
        )

    def send_crafted(
        self, context: Context, *, capture: CaptureOrder, packet_set: CraftedOrder
    ) -> Sent:
        """Sends one crafted packet set; returns what the kernel submitted to the driver for it."""
        self._tapped = None
        tunnel = self._tunnel_of(packet_set.vni)
        moves = CounterChanges(self._interface(), tunnel)
        start = time.monotonic()
        prepared = prepared_set(packet_set)
        watching = CraftedTxTap(capture, self._rings, prepared)
        try:
            expected = self._raw.send_prepared(prepared, packet_set.device, tunnel, packet_set.pace)
            complete = await_condition(
                lambda: watching.frames >= expected, _SUBMIT_SECONDS, context.stop.is_set
            )
        finally:
            submitted = watching.finish()
        self._tapped = partial(watching.submitted, segment=0)
        seconds = time.monotonic() - start
        moved = moves.so_far()
        refused = prepared.frames - expected
        return Sent(submitted, expected, complete, seconds, moved, self._news(), refused=refused)

    def submitted(self, _context: Context, *, frames: tuple[str, ...]) -> SubmittedPackets:
        """Returns the buffers that frames (base64) of the burst sent last were made of."""
        if self._tapped is None:
            return SubmittedPackets((None,) * len(frames))
        return SubmittedPackets(tuple(self._tapped(list(map(base64.b64decode, frames)))))

    def inject(self, _context: Context, *, frames: tuple[str, ...], pace: int = 0) -> int:
        """Sends finished frames (base64), of which the NIC has to change nothing."""
        return self._raw.inject(map(base64.b64decode, frames), self._interface(), pace)

    @property
    def endings(self) -> Sequence[Step]:
        """Returns what ends every burst that is watched or received, and closes the rings."""
        return (
            ("the reverse traffic", self._end_reverse),
            ("the capture of a burst", self._end_watch),
            ("the receiver of reverse traffic", self._end_sink),
            ("the rings", self._rings.close),
        )

    def _end_reverse(self) -> None:
        if self._reverse is not None:
            reverse, self._reverse = self._reverse, None
            reverse.close()

    def _end_watch(self) -> Any:
        self._end_reverse()
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
