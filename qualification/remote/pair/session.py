"""The session of one pair: two agents, the tunnels between them, and evidence for each cell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from qualification.errors import LabError
from qualification.inventory import Ends, Role
from qualification.judge.blame.loss import Reference, next_burst
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.exercised import exercised
from qualification.judge.pace import FASTEST
from qualification.judge.sequential import still_wanted
from qualification.judge.verdict import Demand
from qualification.messages.lease import Lessee
from qualification.plan.cells import Cell
from qualification.plan.features import MERGING, PEER_OFF
from qualification.plan.flows import Flow
from qualification.remote.agent_client import AgentClient

from .comparison import Comparison
from .endpoints import MOST_TRIES, Endpoints, Recorder
from .offloads import Offloads
from .orders import OrderBuilder
from .receive import receive_at_own_pace
from .states import States, TunnelFlows
from .vlan import insertion

SPARE = 1.04
"""How many frames are sent for each frame needed: handshakes and the last frames of a stream give
the NIC nothing to segment."""
PROBE = 512
"""Frames of the first burst of a cell that may leave work to the NIC. Where the sender's tap shows
none that was left to it, more would not show any either: a NIC without features for tunnels is
handed frames that the kernel has finished."""
LOAD_TRIES = 12
"""Bursts under load that may bring too few frames: a slow path carries few of one."""

_log = logging.getLogger("vxqual.pair")


class PairSession:
    """Gathers the evidence of one pair's cells.

    Open it once, ask for the evidence of cells in the order of the plan, then close it.

    Args:
        name: The pair's name.
        ends: Its NICs.
        flows: Every flow that may be asked for.
        hosts: A started agent for each end.
        demand: What a PASS has to exclude; it determines how many frames are sent.
        seed: The run's seed.
        allow_management: For each end, whether the interface of our SSH session may be used.
        recorder: Records the wire during the bursts of cells; None where nothing can.
        fastest: Frames per second at which the search for the path's pace begins.
        lessee: The run that has leased both NICs; None where nobody has to.

    Attributes:
        name: The pair's name.
        flows: Every flow that may be asked for.
        demand: What a PASS has to exclude.
        endpoints: Its two ends, for requests and bursts.
        offloads: The offload set that the DUT is under.
        states: The state that the DUT is in.
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
        recorder: Recorder | None = None,
        fastest: int = FASTEST,
        lessee: Lessee | None = None,
    ) -> None:
        self.name = name
        self.flows = flows
        self.demand = demand
        self._allow_management = allow_management
        self._recorder = recorder
        self._lessee = lessee
        self._known: dict[tuple[frozenset[str], Flow], Evidence] = {}
        tunnels = TunnelFlows.of(ends, flows)
        orders = OrderBuilder(ends, tuple(map(ends.vni, tunnels.vnis)), seed, fastest)
        self.endpoints = Endpoints(name, ends, hosts, orders)
        self.offloads = Offloads(self.endpoints)
        self.states = States(self.endpoints, self.offloads, tunnels)
        self._comparison = Comparison(self.endpoints, self.offloads, demand.frames, recorder)

    @property
    def ends(self) -> Ends:
        """The pair's NICs."""
        return self.endpoints.ends

    def open(self) -> list[str]:
        """Prepares both hosts: journals, underlay, the peer's features, tunnels.

        Returns:
            What an earlier agent had left changed and has now been undone.

        Raises:
            LabError: The peer's NIC merges received frames and cannot be made to stop, or a host
                cannot be prepared.
        """
        recovered = []
        for role, answer in self.endpoints.on_both(self._prepare):
            recovered += [f"{self.ends.nic(role).name}: {line}" for line in answer["recovered"]]
        for line in recovered:
            _log.info("%s: undid what an earlier agent had left changed: %s", self.name, line)
        self._make_peer_a_reference()
        self.offloads.all_off()  # what the NIC does to its offloads' frames is no filter's doing
        self.endpoints.require_port()
        self.states.make_first_tunnels()
        self.endpoints.reach()
        return recovered

    def close(self) -> None:
        """Restores both hosts, also when one of them fails.

        Raises:
            LabError: Some changes on a host could not be undone; says which.
        """
        self.endpoints.close()

    def begin(self, seed: int) -> None:
        """Starts a repetition with another seed: every cell is run again, with other payloads."""
        _log.info("%s: new seed: %d", self.name, seed)
        self.endpoints.orders.allotment.seed = seed
        self._known.clear()

    def evidence(
        self, cell: Cell, reference: Reference | None = None, *, anew: bool = False
    ) -> Evidence:
        """Gathers the evidence of a cell.

        Args:
            cell: The cell.
            reference: What the pair lost with every offload off, by its controls.
            anew: Whether to run it even if an equivalent cell, with the same flow under the same
                effective offloads, has been run already.
        """
        if cell.unsupported:
            return Evidence(effective={})
        _log.info("%s: cell %s", self.name, cell.id)
        space = cell.offloads.space
        self.offloads.request(cell.offloads.requested | insertion(cell.flow))
        self.states.enter(cell.flow)
        if self.offloads.refused:
            return Evidence(self.offloads.effective_for(cell.flow), self.offloads.refused)
        key = space.settle(self.offloads.active), cell.flow
        if anew or key not in self._known:
            self._known[key] = self._gather_all(cell, reference)
        else:
            _log.debug("%s: an equivalent cell was run before", self.name)
        return self._known[key]

    def _gather_all(self, cell: Cell, reference: Reference | None) -> Evidence:
        """Gathers the evidence of a cell, and more of it until it is clear who loses its frames."""
        evidence = self._gather(cell)
        while (which := next_burst(cell, evidence, reference)) is not None:
            _log.info("%s: %s lost frames: sending again: %s", self.name, cell.id, which)
            if which == "turn":
                off, on = self._comparison.turn(cell)
                evidence = replace(evidence, without=(*evidence.without, off))
                more: tuple[Burst, ...] = (on,)
            else:
                more = self._gather(cell).bursts
            evidence = replace(evidence, bursts=(*evidence.bursts, *more))
        if cell.flow.direction == "receive":
            return evidence
        return self._comparison.settle(cell, evidence, reference)

    def _gather(self, cell: Cell) -> Evidence:
        """Sends bursts until the cell is decided, or until more of them would not decide it."""
        ends, orders = self.endpoints, self.endpoints.orders
        evidence = Evidence(self.offloads.effective_for(cell.flow))
        if cell.flow.direction == "receive":
            return replace(evidence, received=(receive_at_own_pace(ends, cell.flow, "dut"),))
        if cell.flow.packet_set:  # the set is fixed: sending it again would show nothing new
            burst = ends.burst(partial(orders.packet_set, cell.flow), self._recorder)
            return replace(evidence, bursts=(burst,))
        done = bad = short = sent = 0
        tries = LOAD_TRIES if cell.flow.load == "load" else MOST_TRIES
        wanted = self.demand.frames
        if exercised(cell, evidence).work and not cell.flow.load:
            wanted = min(wanted, PROBE)
        while True:
            # Of what is sent as fast as it can be, a path may carry a part only.
            again = sent / done if done and cell.flow.load == "load" else SPARE
            frames = min(orders.max_frames(cell.flow), int(wanted * max(again, SPARE)) + 64)
            burst = ends.burst(partial(orders.tunnel, cell.flow, frames), self._recorder)
            evidence = replace(evidence, bursts=(*evidence.bursts, burst))
            before, done = done, exercised(cell, evidence).frames
            bad += burst.received.captured.bad
            sent += frames
            wanted = still_wanted(done, bad, len(evidence.bursts), self.demand)
            if not wanted or done == before:
                return evidence
            short += done - before < frames // 2
            # Too few frames arrive. If some are bad, they are what holds the traffic up, and
            # another burst would only run into its deadline. If none is, the NIC got too little
            # to do, and a few more bursts may make up for it.
            if short >= (1 if bad else tries):
                return evidence
            _log.debug("%s: sending more: %d frames so far, %d bad", self.name, done, bad)

    def _prepare(self, role: Role) -> Any:
        nic = self.ends.nic(role)
        return self.endpoints.call(
            role,
            "prepare",
            interface=nic.facts.interface,
            addresses=list(nic.underlay),
            allow_management=self._allow_management[role],
            lessee=self._lessee,
        )

    def _make_peer_a_reference(self) -> None:
        """Switches off the peer's features that change what is sent or captured there."""
        answer = self.endpoints.call(
            "peer", "request_features", wanted=dict.fromkeys(PEER_OFF, False)
        )
        active = [name for name, feature in answer.items() if feature["active"]]
        _log.info(
            "%s: features of the peer %s: requested off: %s; still on: %s",
            self.name,
            self.ends.peer.name,
            ", ".join(sorted(PEER_OFF)),
            ", ".join(sorted(set(active) & set(PEER_OFF))) or "none",
        )
        merging = [name for name in MERGING if name in active]
        if merging:
            raise LabError(
                f"the peer's {', '.join(merging)} cannot be switched off: its capture would show "
                "merged frames instead of those on the wire",
                where=self.ends.peer.name,
                hint="use another NIC as the peer",
            )
