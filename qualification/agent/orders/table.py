"""Every order an agent takes. One agent serves one NIC of one pair, under one lease."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qualification.agent.capture import native_capture
from qualification.agent.host import counters, facts, features, links, neighbours
from qualification.agent.host.journal import Journal
from qualification.agent.host.preflight import checks
from qualification.agent.host.tunnels import Tunnels
from qualification.agent.orders.serve import Context
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.messages.host import Feature, NicFacts, Problem, TunnelOrder
from qualification.messages.protocol import AgentProblem

from .bursts import BurstOperations
from .calls import CallOperations
from .links import UNDOS, LinkOperations
from .receive import ReceiveOperations


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
        **agent.bursts.table,
        **agent.calls.table,
        **agent.receive_frames.table,
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
        self._raw = RawSockets()
        news = counters.KernelLog().news
        self.bursts = BurstOperations(self._name, self._tunnel, news, self._raw)
        self.receive_frames = ReceiveOperations(self._name, self._tunnel, news, self._raw)
        self.calls = CallOperations(self._tunnel)
        self.link = LinkOperations(lambda: (self._interface, self._lease()))

    # Reading

    def facts(self, _context: Context, *, interfaces: Sequence[str]) -> dict[str, Any]:
        """The host and those of its interfaces that exist; the others by the problem they are."""
        nics: dict[str, NicFacts] = {}
        problems: dict[str, Problem] = {}
        for interface in interfaces:
            try:
                nics[interface] = facts.nic(interface)
            except AgentProblem as problem:
                problems[interface] = _as_problem(problem)
        return {
            "host": facts.host(native_capture.native().says),
            "nics": nics,
            "problems": problems,
        }

    def preflight(
        self, _context: Context, *, interface: str, addresses: Sequence[str], allow_management: bool
    ) -> list[Problem]:
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

    def request_features(self, context: Context, *, wanted: dict[str, bool]) -> dict[str, Feature]:
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
        return after

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

    # Ending

    def restore(self) -> list[str]:
        """Ends what runs and puts the host back; says what it did."""
        self.bursts.close()
        with contextlib.suppress(Exception):
            self.calls.close()
        with contextlib.suppress(Exception):
            self.receive_frames.close()
        self._raw.close()
        if self._tunnels is not None:
            self._tunnels.close()
            self._tunnels = None
        return self._journal.close() if self._journal is not None else []

    def _name(self) -> str:
        return self._interface

    def _lease(self) -> Journal:
        if self._journal is None:
            raise AgentProblem("not-prepared", "nothing may be changed before prepare")
        return self._journal

    def _tunnel(self) -> int:
        if self._tunnels is None:
            raise AgentProblem("no-tunnel", "there is no tunnel yet")
        return self._tunnels.namespace


def _as_problem(problem: AgentProblem) -> Problem:
    return Problem(problem.kind, problem.message, problem.hint, problem.data)
