"""Every order an agent takes. One agent serves one NIC of one pair, under one lease."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import counters, facts, features, links, neighbours
from .arrival_orders import ArrivalOrders
from .back import BackSender, Sink
from .call_orders import CallOrders
from .capture import PeerCapture, SenderCapture
from .journal import Journal
from .link_orders import UNDOS, LinkOrders
from .messages import (
    CaptureOrder,
    Delivered,
    FlowOrder,
    Handed,
    Problem,
    Received,
    Sent,
    TunnelOrder,
    VolleyOrder,
)
from .preflight import checks
from .protocol import AgentProblem, Context
from .receiving import Receiver
from .ring import Rings
from .sending import send
from .tunnels import Tunnels
from .volley import RawSockets, VolleyCapture, VolleySender, shots_of
from .waiting import await_condition

_QUIET_SECONDS = 0.25
"""Nothing more is expected of a burst after the wire has been silent for this long."""

_BACK_SECONDS = 3.0
"""For the first of what the peer sends back to come."""

_FIRING_SECONDS = 2.0
"""For the last buffer of a volley to reach the NIC."""


def operations() -> tuple[Mapping[str, Callable[..., Any]], Callable[[], object]]:
    """The table of orders, and what puts the host back."""
    agent = _Agent()
    table: dict[str, Callable[..., Any]] = {
        "facts": agent.facts,
        "preflight": agent.preflight,
        "prepare": agent.prepare,
        "request_features": agent.request_features,
        "make_tunnels": agent.make_tunnels,
        "drop_tunnels": agent.drop_tunnels,
        "reach": agent.reach,
        "watch": agent.watch,
        "collect": agent.collect,
        "listen": agent.listen,
        "send": agent.send,
        "fire": agent.fire,
        "inject": agent.inject,
        **agent.calls.table,
        **agent.arrivals.table,
        **agent.link.table,
    }
    return table, agent.restore


def _undo_features(interface: str, wanted: dict[str, bool]) -> None:
    links.find(interface)
    features.request(interface, wanted)


_UNDOS: dict[str, Callable[..., None]] = {
    "features": _undo_features,
    "address": links.remove_address,
    **UNDOS,
}


class _Agent:
    """State between orders: the lease, the tunnels, the burst being watched."""

    def __init__(self) -> None:
        self._interface = ""
        self._journal: Journal | None = None
        self._tunnels: Tunnels | None = None
        self._touched: set[str] = set()
        self._watched: tuple[PeerCapture, Receiver | None, dict[str, int], int | None] | None = None
        self._rings, self._raw = Rings(), RawSockets()
        self._back: BackSender | None = None
        self._sink: Sink | None = None
        self._log = counters.KernelLog()
        self.calls = CallOrders(self._tunnel)
        self.arrivals = ArrivalOrders(
            lambda: self._interface, self._tunnel, self._log.news, self._raw
        )
        self.link = LinkOrders(lambda: (self._interface, self._lease()))

    # Reading

    def facts(self, _context: Context, *, interfaces: Sequence[str]) -> dict[str, Any]:
        """The host and those of its interfaces that exist; the others by the problem they are."""
        nics: dict[str, Any] = {}
        problems: dict[str, Any] = {}
        for interface in interfaces:
            try:
                nics[interface] = dataclasses.asdict(facts.nic(interface))
            except AgentProblem as problem:
                problems[interface] = _as_problem(problem)
        return {"host": dataclasses.asdict(facts.host()), "nics": nics, "problems": problems}

    def preflight(
        self, _context: Context, *, interface: str, addresses: Sequence[str], allow_management: bool
    ) -> list[dict[str, Any]]:
        """Everything that would make `prepare` refuse; changes nothing."""
        found = []
        for look in checks(interface, addresses, allow_management):
            try:
                look()
            except AgentProblem as problem:
                found.append(_as_problem(problem))
                if problem.kind == "no-such-interface":
                    break
        return found

    # Changing, each with its undo in the journal first

    def prepare(
        self, context: Context, *, interface: str, addresses: Sequence[str], allow_management: bool
    ) -> dict[str, Any]:
        """Takes the lease and makes the underlay ready: link up, addresses there."""
        namespace = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
        self._journal = Journal(f"{namespace}-{interface}", _UNDOS)
        self._interface = interface
        for look in checks(interface, addresses, allow_management):
            look()
        link = links.find(interface)
        was_up = links.is_up(interface)
        if not was_up:
            self._journal.about_to("link", interface=interface, up=False)
            links.set_up(interface, True)
        links.await_carrier(interface, context.stop.is_set)
        there = {str(ipaddress.ip_interface(a).ip) for a in links.addresses(link["index"])}
        missing = [a for a in addresses if str(ipaddress.ip_interface(a).ip) not in there]
        for address in missing:
            if not was_up:  # again: only now can anybody have answered
                links.check_address_free(interface, address)
            self._journal.about_to("address", interface=interface, address=address)
            links.add_address(interface, address)
        links.await_addresses(interface, missing)
        return {"recovered": self._journal.recovered, "mac": str(link.get("address"))}

    def request_features(self, context: Context, *, wanted: dict[str, bool]) -> dict[str, Any]:
        """Asks for features, waits for the link to come back, and tells what is in effect."""
        before = features.read(self._interface)
        switchable = {
            name: value for name, value in wanted.items() if name in before and before[name].hw
        }
        if any(before[name].active != value for name, value in switchable.items()):
            first = {name: before[name].wanted for name in switchable if name not in self._touched}
            if first:  # how it was found; what we set in between is nobody's to put back
                self._lease().about_to("features", interface=self._interface, wanted=first)
                self._touched.update(first)
            after = features.request(self._interface, switchable)
            links.await_carrier(self._interface, context.stop.is_set)
        else:
            after = before
        return {name: dataclasses.asdict(feature) for name, feature in after.items()}

    def make_tunnels(self, _context: Context, *, orders: Sequence[dict[str, Any]]) -> None:
        """Makes the tunnel namespace and its VXLAN devices."""
        if self._tunnels is None:
            self._tunnels = Tunnels()
        made = [TunnelOrder(**order) for order in orders]
        self._tunnels.make([dataclasses.replace(o, link=self.link.where(o.link)) for o in made])

    def drop_tunnels(self, _context: Context, *, names: Sequence[str]) -> None:
        """Takes some of those devices away again."""
        if self._tunnels is not None:
            self._tunnels.drop(names)

    def reach(self, context: Context, *, address: str) -> None:
        """Waits until the link is up and the partner answers for its underlay address."""
        links.await_carrier(self._interface, context.stop.is_set)
        neighbours.reach(self._interface, address, context.stop.is_set)

    # Bursts

    def watch(
        self,
        _context: Context,
        *,
        capture: dict[str, Any],
        flow: dict[str, Any] | None = None,
        volley: dict[str, Any] | None = None,
        back: dict[str, Any] | None = None,
    ) -> None:
        """Starts judging a flow's frames and, if it is one of sockets, receiving it.

        And sending one back, if there is one.
        """
        self._end_watch()
        order = CaptureOrder(**capture)
        tunnel = self._tunnel_of(order.vni)
        before = counters.snapshot(self._interface, tunnel)
        if volley is not None:
            watching: PeerCapture = VolleyCapture(order, self._rings, VolleyOrder(**volley))
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
        self._watched = watching, receiver, before, tunnel
        if back is not None:
            self._back = BackSender(FlowOrder(**back), tunnel)

    def collect(self, context: Context, *, frames: int) -> dict[str, Any]:
        """Waits until that many frames have come or the wire is quiet, and tells what was seen."""
        if self._watched is None:
            raise AgentProblem("not-watching", "collect without watch")
        watching, receiver, before, tunnel = self._watched
        self._end_back()

        def over() -> bool:
            quiet = watching.quiet_for()
            if receiver is not None:  # it may lag behind the wire
                quiet = min(quiet, receiver.quiet_for())
            if quiet > _QUIET_SECONDS:
                return True
            return watching.arrived >= frames and (receiver is None or receiver.complete)

        await_condition(over, 60.0, context.stop.is_set)
        seen, delivered = self._end_watch()
        after = counters.snapshot(self._interface, tunnel)
        return dataclasses.asdict(
            Received(seen, delivered, counters.moved(before, after), self._log.news())
        )

    def listen(self, _context: Context, *, flow: dict[str, Any]) -> None:
        """Takes in what the other end sends meanwhile, up to the end of the next burst."""
        self._end_sink()
        order = FlowOrder(**flow)
        self._sink = Sink(order, self._tunnel_of(order.vni))

    def _end_sink(self) -> None:
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()

    def send(
        self, context: Context, *, capture: dict[str, Any], flow: dict[str, Any]
    ) -> dict[str, Any]:
        """Sends one burst and tells what the kernel handed to the NIC for it."""
        order = FlowOrder(**flow)
        tunnel = self._tunnel_of(order.vni)
        before = counters.snapshot(self._interface, tunnel)
        watching = SenderCapture(CaptureOrder(**capture), self._rings)
        handed = Handed()
        sink = self._sink
        try:
            if sink is not None:  # what is sent back goes on until it is stopped
                await_condition(sink.has_some, _BACK_SECONDS, context.stop.is_set)
            sending = send(order, tunnel, context.stop.is_set)
            back = 0 if sink is None else sink.received
        except BaseException:
            watching.finish(order.payload)
            raise
        finally:
            self._end_sink()
        handed = watching.finish(sending.segment)
        after = counters.snapshot(self._interface, tunnel)
        return dataclasses.asdict(
            Sent(
                handed=handed,
                written=sending.written,
                complete=sending.complete,
                seconds=sending.seconds,
                counters=counters.moved(before, after),
                kernel_log=self._log.news(),
                back=back,
            )
        )

    def fire(
        self, context: Context, *, capture: dict[str, Any], volley: dict[str, Any]
    ) -> dict[str, Any]:
        """Sends one volley and tells what the kernel handed to the NIC for it."""
        order = VolleyOrder(**volley)
        tunnel = self._tunnel_of(order.vni)
        before = counters.snapshot(self._interface, tunnel)
        start = time.monotonic()
        shots = tuple(shots_of(order))
        watching = VolleySender(CaptureOrder(**capture), self._rings, shots)
        try:
            due = self._raw.fire(shots, order.device, tunnel)
            complete = await_condition(
                lambda: watching.frames >= due, _FIRING_SECONDS, context.stop.is_set
            )
        finally:
            handed = watching.finish()
        seconds = time.monotonic() - start
        after = counters.snapshot(self._interface, tunnel)
        moved = counters.moved(before, after)
        return dataclasses.asdict(Sent(handed, due, complete, seconds, moved, self._log.news()))

    def inject(self, _context: Context, *, frames: Sequence[str]) -> int:
        """Sends frames, base64, as they are: finished, nothing left for the NIC to do."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as raw:
            raw.bind((self._interface, 0))
            for frame in frames:
                raw.send(base64.b64decode(frame))
        return len(frames)

    # Ending

    def restore(self) -> list[str]:
        """Ends what runs and puts the host back; says what it did."""
        with contextlib.suppress(Exception):
            self._end_watch()
        with contextlib.suppress(Exception):
            self._end_sink()
        with contextlib.suppress(Exception):
            self.calls.close()
        with contextlib.suppress(Exception):
            self.arrivals.close()
        self._rings.close()
        self._raw.close()
        if self._tunnels is not None:
            self._tunnels.close()
            self._tunnels = None
        return self._journal.close() if self._journal is not None else []

    def _end_back(self) -> None:
        if self._back is not None:
            back, self._back = self._back, None
            back.close()

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

    def _lease(self) -> Journal:
        if self._journal is None:
            raise AgentProblem("not-prepared", "nothing may be changed before prepare")
        return self._journal

    def _tunnel_of(self, vni: int | None) -> int | None:
        return None if vni is None else self._tunnel()

    def _tunnel(self) -> int:
        if self._tunnels is None:
            raise AgentProblem("no-tunnel", "there is no tunnel yet")
        return self._tunnels.namespace


def _as_problem(problem: AgentProblem) -> dict[str, Any]:
    return dataclasses.asdict(Problem(problem.kind, problem.message, problem.hint, problem.data))
