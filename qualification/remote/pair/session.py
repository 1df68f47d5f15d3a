"""One pair at work: two agents, the tunnels between them, evidence for one cell after another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from qualification.errors import LabError
from qualification.inventory import Ends, Role, other
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.sequential import still_wanted
from qualification.judge.verdict import Demand, exercised
from qualification.messages.bursts import CraftedOrder, Received, Sent
from qualification.plan.cells import Cell
from qualification.plan.extra_flows import VLAN_INSERT
from qualification.plan.features import MERGING, PEER_OFF, RECEIVING, RULES, SENDING, unasked
from qualification.plan.flows import Flow
from qualification.remote.agent_client import AgentClient
from qualification.remote.host import not_undone

from .orders import BurstOrders, OrderBuilder, tunnel_orders
from .receive import receive
from .states import States
from .vlan import insertion

_SENT = TypeAdapter(Sent)
_RECEIVED = TypeAdapter(Received)
SPARE = 1.04
"""Frames sent beyond those needed: handshakes and tails are nothing the NIC has to cut."""
_MOST_TRIES = 3
"""OrderBuilder that may come to nothing before a cell is judged with what there is."""


class PairSession:
    """Drives one pair. Open it once, ask for the evidence of cells in the plan's order, close it.

    Args:
        name: The pair's name.
        ends: Its NICs.
        flows: Every flow that may be asked for.
        hosts: A started agent for each end.
        demand: What the cells are to exclude; sets how many frames are sent.
        seed: The run's seed.
        allow_management: For each end, whether the interface of our SSH session may be used.

    Attributes:
        orders: Makes the orders of its bursts.
        states: What its hosts have been put through.
    """

    def __init__(
        self,
        name: str,
        ends: Ends,
        flows: tuple[Flow, ...],
        hosts: Mapping[Role, AgentClient],
        demand: Demand,
        seed: int,
        allow_management: Mapping[Role, bool],
    ) -> None:
        self.name = name
        self.ends = ends
        self.flows = flows
        self._hosts = hosts
        self.demand = demand
        self._allow_management = allow_management
        self.states = States(self)
        self.orders = OrderBuilder(ends, tuple(sorted(self.states.vnis)), seed)
        self._effective: dict[str, bool] = {}
        self._requested: dict[str, bool] = {}
        self._refused: tuple[str, ...] = ()
        self._known: dict[tuple[frozenset[str], Flow], Evidence] = {}
        found = ends.dut.facts.features
        self._unasked = unasked({name: feature.wanted for name, feature in found.items()})

    def open(self) -> list[str]:
        """Makes both hosts ready: leases, underlay, the peer's features, tunnels.

        Returns:
            What an earlier agent had left behind and is now put back.
        """
        recovered = []
        for role, answer in self.on_both(self._prepare):
            recovered += [f"{self.ends.nic(role).name}: {line}" for line in answer["recovered"]]
        self._make_peer_a_reference()

        self.make_tunnels(self.states.first)
        self._reach()
        return recovered

    def make_tunnels(self, flows: tuple[Flow, ...]) -> None:
        """Makes the tunnels of flows at both ends."""

        def tunnels(role: Role) -> None:
            self.call(role, "make_tunnels", orders=tunnel_orders(self.ends, role, flows))

        self.on_both(tunnels)

    def close(self) -> None:
        """Puts both hosts back, also when one of them fails to.

        Raises:
            LabError: A host is left changed; says what.
        """
        left: list[str] = []
        with contextlib.ExitStack() as stack:
            for role, host in self._hosts.items():

                def end(role: Role = role, host: AgentClient = host) -> None:
                    name = self.ends.nic(role).name
                    left.extend(f"{name}: {line}" for line in not_undone(host.close()))

                stack.callback(end)
        if left:
            raise LabError(
                "a host is left changed:\n" + "\n".join(left),
                where=self.name,
                hint="put it back by hand, or run vxqual again: its agent tries first",
            )

    def _make_peer_a_reference(self) -> None:
        answer = self.call("peer", "request_features", wanted=dict.fromkeys(PEER_OFF, False))
        merging = [name for name in MERGING if answer.get(name, {}).get("active")]
        if merging:
            raise LabError(
                f"{', '.join(merging)} cannot be switched off: what it captures is not what was "
                "on the wire",
                where=self.ends.peer.name,
                hint="use another NIC as the peer",
            )

    def all_off(self) -> None:
        """Switches every offload of the DUT off that can be, for the controls."""
        self.request(dict.fromkeys((*SENDING, VLAN_INSERT), False))

    def all_on(self) -> None:
        """Switches every offload of the DUT on that can be, as production has it."""
        self.request(dict.fromkeys(SENDING, True))

    def begin(self, seed: int) -> None:
        """Begins anew with another seed: every cell is run again, with other payloads."""
        self.orders.seed = seed
        self._known.clear()

    # Cells

    def evidence(self, cell: Cell, *, anew: bool = False) -> Evidence:
        """Gathers what there is to say about a cell.

        Args:
            cell: The cell.
            anew: Also if what comes to the same was run before; it is not run again otherwise.
        """
        if cell.unsupported:
            return Evidence(effective={})
        space = cell.offloads.space
        self.request(cell.offloads.requested | insertion(cell.flow))
        self.states.enter(cell.flow)
        if self._refused:
            return Evidence(self._effective_for(cell.flow), self._refused)
        on = frozenset(name for name, active in self._effective.items() if active)
        key = space.settle(on), cell.flow
        if anew or key not in self._known:
            self._known[key] = self._gather(cell)
        return self._known[key]

    def _gather(self, cell: Cell) -> Evidence:
        """Sends bursts until the cell is decided, or is not going to be."""
        evidence = Evidence(self._effective_for(cell.flow))
        if cell.flow.direction == "receive":
            return replace(evidence, arrived=(receive(self, cell.flow, "dut"),))
        if cell.flow.packet_set:  # a fixed set: more of it would tell no more
            burst = self.burst(partial(self.orders.packet_set, cell.flow))
            return replace(evidence, bursts=(burst,))
        done = bad = short = 0
        wanted = self.demand.frames
        while True:
            frames = min(self.orders.most(cell.flow), int(wanted * SPARE) + 64)
            burst = self.burst(partial(self.orders.tunnel, cell.flow, frames))
            evidence = replace(evidence, bursts=(*evidence.bursts, burst))
            before, done = done, exercised(cell, evidence).frames
            bad += burst.received.captured.bad
            wanted = still_wanted(done, bad, len(evidence.bursts), self.demand)
            if not wanted or done == before:
                return evidence
            short += done - before < frames // 2
            # Too little comes through: with bad frames, it is they that hold the traffic up, and
            # more of it would only cost its deadline; without, the NIC is given too little to do.
            if short >= (1 if bad else _MOST_TRIES):
                return evidence

    def _effective_for(self, flow: Flow) -> dict[str, bool]:
        """What is in effect of the features that have to do with a flow."""
        names = RECEIVING if flow.direction == "receive" else (*SENDING, *insertion(flow))
        return {name: active for name, active in self._effective.items() if name in names}

    def request_again(self) -> None:
        """Asks for the features that the DUT is under once more, and reads what is in effect."""
        requested, self._requested = self._requested, {}
        self.request(requested)

    def request(self, wanted: Mapping[str, bool]) -> None:
        """Puts the DUT under an offload set, unless it is under it already."""
        requested = {**self._unasked, **wanted}
        if requested == self._requested:
            return
        answer = self.call("dut", "request_features", wanted=requested)
        on = {name for name, feature in answer.items() if feature["active"]}
        self._effective = {n: n in on for n in (*RULES, VLAN_INSERT) if n in answer}
        self._requested = requested
        self._refused = tuple(
            name
            for name, value in wanted.items()
            if answer.get(name, {}).get("hw") and value != (name in on)
        )
        self._reach()

    # Both ends

    def _prepare(self, role: Role) -> Any:
        nic = self.ends.nic(role)
        return self.call(
            role,
            "prepare",
            interface=nic.facts.interface,
            addresses=list(nic.underlay),
            allow_management=self._allow_management[role],
        )

    def _reach(self) -> None:
        """A link that was reset has forgotten its neighbours."""

        def reach(role: Role) -> None:
            for family in self.ends.families:
                self.call(role, "reach", address=self.ends.outer(other(role), family))

        self.on_both(reach)

    def burst(self, order: Callable[[], BurstOrders]) -> Burst:
        """A burst of which the captures lost nothing, if it can be had in a few tries."""
        burst = self._one_burst(order())
        for _ in range(_MOST_TRIES - 1):
            if not _spoiled(burst):
                break
            burst = self._one_burst(order())
        return burst

    def _one_burst(self, orders: BurstOrders) -> Burst:
        crafted = isinstance(orders.flow, CraftedOrder)
        traffic = {"packet_set" if crafted else "flow": orders.flow}
        reverse = {} if orders.reverse is None else {"reverse": orders.reverse}
        if orders.reverse is not None:
            self.call("dut", "listen", flow=orders.reverse)
        self.call("peer", "watch", capture=orders.receiver, **traffic, **reverse)
        sent = _SENT.validate_python(
            self.call(
                "dut", "send_crafted" if crafted else "send", capture=orders.sender, **traffic
            )
        )
        return Burst(sent, self.collect(sent.submitted.frames))

    def collect(self, frames: int) -> Received:
        """What the peer saw, once that many frames have come or the wire is quiet."""
        return _RECEIVED.validate_python(self.call("peer", "collect", frames=frames))

    def call(self, role: Role, op: str, **args: Any) -> Any:
        """Has the agent at one end carry out an order."""
        return self._hosts[role].call(op, timeout=90.0, **args)

    def on_both(self, act: Callable[[Role], Any]) -> list[tuple[Role, Any]]:
        """Does the same at both ends at once; the first error is raised when both have ended."""
        roles: tuple[Role, Role] = ("dut", "peer")
        with ThreadPoolExecutor(2) as pool:
            return list(zip(roles, pool.map(act, roles), strict=True))


def _spoiled(burst: Burst) -> bool:
    """Whether a capture lost frames of a burst that is clean as far as it was seen."""
    seen = burst.received.captured
    return not seen.bad and bool(seen.drops or burst.sent.submitted.drops)
