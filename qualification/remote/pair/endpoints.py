"""The two ends of a pair, each with its agent: what every order and every burst needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from qualification.inventory import Ends, Role, other
from qualification.judge.delivery import no_socket_room
from qualification.judge.evidence import Burst, held_back
from qualification.messages.bursts import (
    CaptureOrder,
    CaptureResult,
    CraftedOrder,
    Received,
    Sent,
)
from qualification.messages.submitted import SubmittedPackets
from qualification.remote.agent_client import AgentClient
from qualification.remote.closing import close_all
from qualification.remote.lab_checks import refuse
from qualification.remote.port_probe import End, probe_both_ways

from .orders import BurstOrders, OrderBuilder

T = TypeVar("T")

Recorder = Callable[[CaptureOrder, Callable[[], Burst]], Burst]
"""Has a burst sent, and adds what a recording of the wire shows of it."""

_REQUEST_SECONDS = 90.0
_SUBMITTED = 4
"""Bad frames of a burst for which the DUT is asked what was submitted to its driver."""
MOST_TRIES = 3
"""Tries that may fail to show anything before the result is taken as it is."""

_log = logging.getLogger("vxqual.pair")


class Endpoints:
    """The two ends of one pair.

    Args:
        name: The pair's name.
        ends: Its NICs.
        agents: A started agent for each end; `close` closes them.
        orders: Builds the orders of the pair's bursts.

    Attributes:
        name: The pair's name.
        ends: Its NICs.
        orders: Builds the orders of the pair's bursts.
    """

    def __init__(
        self, name: str, ends: Ends, agents: Mapping[Role, AgentClient], orders: OrderBuilder
    ) -> None:
        self.name = name
        self.ends = ends
        self.orders = orders
        self._agents = agents

    def call(self, role: Role, op: str, /, *, seconds: float = 0.0, **args: Any) -> Any:
        """Has the agent at one end carry out a request, and returns its result.

        Args:
            role: The end.
            op: The request's name.
            seconds: How long it takes at the pace of a burst, beside the usual limit.
            **args: The request's arguments.

        Raises:
            AgentError: The agent refused, failed, died or took too long.
        """
        return self._agents[role].call(op, timeout=_REQUEST_SECONDS + 2 * seconds, **args)

    def ask(
        self, role: Role, answer: type[T], op: str, /, *, seconds: float = 0.0, **args: Any
    ) -> T:
        """As `call`, with the result decoded into the message that the request answers.

        Raises:
            AgentError: As in `call`, and where the result is no such message.
        """
        timeout = _REQUEST_SECONDS + 2 * seconds
        return self._agents[role].ask(answer, op, timeout=timeout, **args)

    def on_both(self, act: Callable[[Role], T]) -> list[tuple[Role, T]]:
        """Does the same at both ends at once.

        The first error is raised after both ends have finished.
        """
        roles: tuple[Role, Role] = ("dut", "peer")
        with ThreadPoolExecutor(2) as pool:
            return list(zip(roles, pool.map(act, roles), strict=True))

    def reach(self) -> None:
        """Has each end resolve the other's addresses: a link reset clears the neighbour table."""

        def reach(role: Role) -> None:
            for family in self.ends.families:
                self.call(role, "reach", address=self.ends.outer(other(role), family))

        self.on_both(reach)

    def require_port(self) -> None:
        """Probes whether packets to the tunnels' UDP port pass, each way, before there is a tunnel.

        A port that something uses is not probed: another pair's tunnels may have it.

        Raises:
            LabError: They do not pass; says where they end.
        """
        for family in sorted(self.ends.families):
            dut, peer = (
                End(
                    nic=self.ends.nic(role).name,
                    host=self.ends.nic(role).name.partition(".")[0],
                    interface=self.ends.nic(role).facts.interface,
                    address=self.ends.outer(role, family),
                    agent=self._agents[role],
                )
                for role in ("dut", "peer")
            )
            for problem in probe_both_ways(self.ends.port, dut, peer):
                if problem.kind != "port-taken":
                    refuse(problem, self.name)

    def burst(self, order: Callable[[], BurstOrders], recorder: Recorder | None = None) -> Burst:
        """Sends and captures a burst; repeats it while frames are lost before or behind the wire.

        Where the captures lose frames it is repeated as it was. Where a queue of the DUT's kernel
        drops frames before they reach the driver, or the peer's sockets have no room for what
        reached its NIC, it is repeated more slowly, at a pace that all later bursts keep.

        Args:
            order: Builds the orders of one try; each try needs a port of its own.
            recorder: Records the wire meanwhile; None where nothing can.

        Returns:
            The first burst of which nothing was lost so or which has bad frames; after `MOST_TRIES`
            tries, the last one.
        """
        for attempt in range(2, MOST_TRIES + 2):
            orders = order()
            burst = self._recorded_burst(orders, recorder)
            drops, overrun = _capture_drops(burst), _overrun(orders, burst)
            if burst.received.captured.bad or not (any(drops) or overrun) or attempt > MOST_TRIES:
                break
            if any(drops):
                on_dut, on_peer = drops
                why = f"the captures lost frames ({on_dut} on the DUT, {on_peer} on the peer)"
            else:
                self.orders.slow_down(_achieved(burst, orders.pace))
                why = (
                    f"{overrun} at {orders.pace:,} frames/s; the pace is {self.orders.pace:,} "
                    "from now on"
                )
            _log.info(
                "%s: %s: sending the burst again, try %d of %d",
                *(self.name, why, attempt, MOST_TRIES),
            )
        return burst

    def _recorded_burst(self, orders: BurstOrders, recorder: Recorder | None) -> Burst:
        if recorder is None:
            return self._one_burst(orders)
        return recorder(orders.receiver, lambda: self._one_burst(orders))

    def _one_burst(self, orders: BurstOrders) -> Burst:
        crafted = isinstance(orders.flow, CraftedOrder)
        traffic: dict[str, Any] = {"packet_set" if crafted else "flow": orders.flow}
        reverse: dict[str, Any] = {} if orders.reverse is None else {"reverse": orders.reverse}
        if orders.reverse is not None:
            self.call("dut", "listen", flow=orders.reverse)
        self.call("peer", "watch", capture=orders.receiver, **traffic, **reverse)
        send = "send_crafted" if crafted else "send"
        sent = self.ask("dut", Sent, send, seconds=orders.seconds, capture=orders.sender, **traffic)
        received = self.collect(sent.submitted.frames, orders.pace)
        seen = received.captured
        _log.debug(
            "%s: burst to port %d: %d frames submitted to the driver, %d captured, %d bad",
            *(self.name, orders.flow.port, sent.submitted.frames, seen.frames, seen.bad),
        )
        received = replace(received, captured=self._with_submitted(seen))
        return _only_strange_paths(Burst(sent, received))

    def _with_submitted(self, seen: CaptureResult) -> CaptureResult:
        """Returns a capture's result with what the DUT submitted for the first bad frames of it."""
        first = seen.samples[:_SUBMITTED]
        if not first:
            return seen
        frames = [frame.data for frame in first]
        answer = self.ask("dut", SubmittedPackets, "submitted", frames=frames)
        samples = [
            replace(frame, submitted=one)
            for frame, one in zip(first, answer.packets, strict=False)  # an agent may answer less
        ]
        return replace(seen, samples=(*samples, *seen.samples[len(samples) :]))

    def collect(self, frames: int, pace: int) -> Received:
        """Returns what the peer saw, once that many frames have arrived or the wire is quiet.

        Args:
            frames: How many frames were submitted to the driver.
            pace: Frames per second of the burst; 0 for no limit.
        """
        seconds = frames / pace if pace else 0.0
        return self.ask("peer", Received, "collect", seconds=seconds, frames=frames, pace=pace)

    def close(self) -> None:
        """Has both agents restore their hosts and end, also when one of them fails.

        Raises:
            HostLeftChangedError: Some changes of a host could not be undone, or its agent ended
                without a report; says which.
        """
        close_all(self._agents.values())


def _overrun(orders: BurstOrders, burst: Burst) -> str:
    """Returns a phrase on what a host had no room for, where a slower pace may help; or nothing."""
    flow, sent = orders.flow, burst.sent
    if not orders.pace:
        return ""
    held = held_back(sent, "crafted" if isinstance(flow, CraftedOrder) else flow.protocol)
    if held:
        return f"a queue of the DUT's kernel dropped {held:,} of {sent.written:,} frames"
    no_room = no_socket_room(burst, flow.protocol, tunnel=flow.vni is not None)
    if no_room:
        return f"the peer's sockets had no room for {no_room:,} of {sent.written:,} datagrams"
    return ""


def _achieved(burst: Burst, pace: int) -> int:
    """Returns the frames per second that the sender came to.

    One that waited for frames which never came says nothing about that: it is then the pace.
    """
    if not burst.sent.complete or not burst.sent.seconds:
        return pace
    return int(burst.sent.submitted.frames / burst.sent.seconds)


def _only_strange_paths(burst: Burst) -> Burst:
    """Returns a burst with those pairs of ports alone that arrived and were not submitted."""
    sent, captured = burst.sent, burst.received.captured
    submitted = set(sent.submitted.paths)
    # What the tap has not seen may have been submitted.
    strange = {
        path: frames
        for path, frames in captured.paths.items()
        if path not in submitted and not sent.submitted.drops
    }
    return replace(
        burst,
        sent=replace(sent, submitted=replace(sent.submitted, paths=())),
        received=replace(burst.received, captured=replace(captured, paths=strange)),
    )


def _capture_drops(burst: Burst) -> tuple[int, int]:
    """Returns how many frames of a burst the captures on the DUT and on the peer lost."""
    return burst.sent.submitted.drops, burst.received.captured.drops
