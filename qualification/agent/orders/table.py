"""Every order that an agent carries out. One agent serves one NIC of one pair, with one journal."""

from __future__ import annotations

import dataclasses
import ipaddress
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from qualification.agent.capture import native_capture
from qualification.agent.host import counters, facts, features, links, neighbours
from qualification.agent.host.checks.preflight import checks
from qualification.agent.host.journal import Journal, check_writable, key_of
from qualification.agent.host.tunnels import Tunnels
from qualification.agent.serve import Context
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.messages.closing import left_changed
from qualification.messages.host import Dependencies, Facts, Feature, NicFacts, Problem, TunnelOrder
from qualification.messages.lease import Lessee
from qualification.messages.protocol import AgentProblem

from .arguments import decoding
from .bursts import BurstOperations
from .calls import CallOperations
from .ending import end_all
from .leases import LeaseOperations
from .links import LinkOperations
from .port_probe import PortProbeOperations
from .receive import ReceiveOperations
from .throughput import ThroughputOperations
from .undos import UNDOS, UNDOS_BY_HAND, check_recovered, write_state


def operations() -> tuple[Mapping[str, Callable[..., Any]], Callable[[], object]]:
    """Returns the orders by name, and the function that restores the host.

    The orders take a `Context` and JSON values; `arguments.decoding` makes messages of these.
    """
    agent = _Agent()
    table: dict[str, Callable[..., Any]] = {
        "facts": agent.facts,
        "preflight": agent.preflight,
        "prepare": agent.prepare,
        "learn_dependencies": agent.learn_dependencies,
        "put_back": agent.put_back,
        "request_features": agent.request_features,
        "make_tunnels": agent.make_tunnels,
        "drop_tunnels": agent.drop_tunnels,
        "reach": agent.reach,
        **agent.bursts.table,
        **agent.calls.table,
        **agent.throughput.table,
        **agent.receive_frames.table,
        **agent.link.table,
        **agent.port_probe.table,
        **agent.leases.table,
    }
    return {name: decoding(order) for name, order in table.items()}, agent.restore


class _Agent:
    """The state between orders: the journal, the tunnels, and the burst that is watched."""

    def __init__(self) -> None:
        self._interface = ""
        self._journal: Journal | None = None
        self._tunnels: Tunnels | None = None
        self._touched: set[str] = set()
        self._left: list[str] = []
        self._raw = RawSockets()
        news = counters.KernelLog().news
        self.bursts = BurstOperations(self._name, self._tunnel, news, self._raw)
        self.receive_frames = ReceiveOperations(self._name, self._tunnel, news, self._raw)
        self.calls = CallOperations(self._tunnel)
        self.throughput = ThroughputOperations(self._tunnel)
        self.port_probe = PortProbeOperations()
        self.leases = LeaseOperations(key_of, UNDOS)
        self.link = LinkOperations(lambda: (self._interface, self._lease()))

    # Reading

    def facts(self, _context: Context, *, interfaces: tuple[str, ...]) -> Facts:
        """Returns facts about the host and its interfaces, and a problem for each missing one."""
        nics: dict[str, NicFacts] = {}
        problems: dict[str, Problem] = {}
        for interface in interfaces:
            try:
                nics[interface] = facts.nic(interface)
            except AgentProblem as problem:
                problems[interface] = _as_problem(problem)
        return Facts(facts.host(native_capture.native().says), nics, problems, time.time())

    def preflight(
        self,
        _context: Context,
        *,
        interface: str,
        addresses: tuple[str, ...],
        allow_management: bool,
    ) -> list[Problem]:
        """Returns everything that would make `prepare` fail; changes nothing."""
        # `LeaseOperations.journal` does the last two for `prepare`.
        looks = checks(interface, addresses, allow_management)
        looks += [check_writable, partial(self.leases.check_free, interface)]
        found = []
        for look in looks:
            try:
                look()
            except AgentProblem as problem:
                found.append(_as_problem(problem))
                if problem.kind == "no-such-interface":
                    break
        return found

    # Changing, each with its undo in the journal first

    def prepare(
        self,
        context: Context,
        *,
        interface: str,
        addresses: tuple[str, ...],
        allow_management: bool,
        lessee: Lessee | None = None,
    ) -> dict[str, Any]:
        """Opens the journal, sets the link up and adds the underlay addresses that are missing."""
        journal = self._journal = self.leases.journal(interface, lessee)
        self._interface = interface
        check_recovered(interface, journal.recovered)
        for look in checks(interface, addresses, allow_management):
            look()
        link = links.find(interface)
        was_up = links.is_up(interface)
        write_state(journal, interface)
        # Also where it is up: whatever takes it down meanwhile, it is not left down.
        journal.about_to("link", interface=interface, up=was_up)
        if not was_up:
            links.set_up(interface, True)
        links.await_carrier(interface, context.stop.is_set)
        there = {str(ipaddress.ip_interface(a).ip) for a in links.addresses(link["index"])}
        missing = [a for a in addresses if str(ipaddress.ip_interface(a).ip) not in there]
        for address in missing:
            if not was_up:  # once more: no host could answer while the link was down
                links.check_address_free(interface, address)
            journal.about_to("address", interface=interface, address=address)
            links.add_address(interface, address)
        links.await_addresses(interface, missing)
        return {"recovered": journal.recovered, "mac": str(link.get("address"))}

    def learn_dependencies(
        self, context: Context, *, interface: str, names: tuple[str, ...], allow_management: bool
    ) -> Dependencies:
        """Finds out which features fall together, with a journal of its own, and restores them."""
        for look in checks(interface, (), allow_management):
            look()
        journal = self.leases.journal(interface, None)
        try:
            check_recovered(interface, journal.recovered)
            write_state(journal, interface)
            found = features.read(interface)
            wanted = {name: found[name].wanted for name in names if name in found}
            journal.about_to("features", interface=interface, wanted=wanted)
            lost = features.learn_dependencies(interface, names, context.stop.is_set)
        finally:
            report = journal.close()
            self._left += [line for line in report if left_changed([line])]
        return Dependencies(lost, tuple(report))

    def put_back(
        self, _context: Context, *, interface: str, lessee: Lessee | None = None
    ) -> list[str]:
        """Undoes what agents that died left changed on a NIC; returns a closing report.

        Unlike the next agent of a run, it also sets what differs from the former state.

        Raises:
            AgentProblem: A run other than that of `lessee` has the NIC.
        """
        with self.leases.leased(interface, lessee):
            journal = Journal(key_of(interface), UNDOS_BY_HAND)
            report = journal.recovered
            try:
                report = [line for line in report if not left_changed([line])]
            finally:
                report += journal.close()
                self._left += [line for line in report if left_changed([line])]
        return report

    def request_features(self, context: Context, *, wanted: dict[str, bool]) -> dict[str, Feature]:
        """Requests features and waits for the link; returns the features that are in effect."""
        before = features.read(self._interface)
        switchable = {
            name: value for name, value in wanted.items() if name in before and before[name].hw
        }
        if any(before[name].active != value for name, value in switchable.items()):
            first = {name: before[name].wanted for name in switchable if name not in self._touched}
            if first:  # only the state before the first change is restored
                self._lease().about_to("features", interface=self._interface, wanted=first)
                self._touched.update(first)
            after = features.request(self._interface, switchable)
            links.await_carrier(self._interface, context.stop.is_set)
        else:
            after = before
        return after

    def make_tunnels(self, _context: Context, *, orders: tuple[TunnelOrder, ...]) -> None:
        """Makes VXLAN devices in the tunnel namespace, which the first of these orders makes."""
        if self._tunnels is None:
            self._tunnels = Tunnels()
        on = [dataclasses.replace(order, link=self.link.where(order.link)) for order in orders]
        self._tunnels.make(on)

    def drop_tunnels(self, _context: Context, *, names: tuple[str, ...]) -> None:
        """Removes some of those devices."""
        if self._tunnels is not None:
            self._tunnels.drop(names)

    def reach(self, context: Context, *, address: str) -> None:
        """Waits until the link is up and the other end answers for its underlay address."""
        links.await_carrier(self._interface, context.stop.is_set)
        neighbours.reach(self._interface, address, context.stop.is_set)

    # Ending

    def restore(self) -> list[str]:
        """Ends everything that runs and restores the host; returns the closing report."""
        report = self._left
        try:
            report += end_all(
                (
                    *self.bursts.endings,
                    ("the probe of a port", self.port_probe.close),
                    ("the calls", self.calls.close),
                    ("bulk traffic", self.throughput.close),
                    ("the receive test", self.receive_frames.close),
                    ("the sockets of crafted packets", self._raw.close),
                    ("the tunnels", self._drop_all_tunnels),
                )
            )
        finally:
            try:
                report += self._journal.close() if self._journal is not None else []
            finally:
                self.leases.close()
        return report

    def _drop_all_tunnels(self) -> None:
        if self._tunnels is not None:
            tunnels, self._tunnels = self._tunnels, None
            tunnels.close()

    def _name(self) -> str:
        return self._interface

    def _lease(self) -> Journal:
        if self._journal is None:
            raise AgentProblem("not-prepared", "nothing may be changed before 'prepare'")
        return self._journal

    def _tunnel(self) -> int:
        if self._tunnels is None:
            raise AgentProblem("no-tunnel", "there is no tunnel: 'make_tunnels' must come first")
        return self._tunnels.namespace


def _as_problem(problem: AgentProblem) -> Problem:
    return Problem(problem.kind, problem.message, problem.hint, problem.data)
