"""One run: what was requested, what was found, and the cells that follow from both.

The controller makes it once. Every worker gets it as JSON and computes the same cells from it, so
that workers need no access to hardware to know the cells.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter

from qualification.judge.known.expectations import Expectations
from qualification.judge.pace import FASTEST
from qualification.judge.verdict import Demand
from qualification.plan.cells import CONTROLS, TAGGED, Cell, PlanName, plan_cells, receive_cells
from qualification.plan.extra_flows import VLAN_INSERT, loaded_flows, tagged_flows
from qualification.plan.features import RECEIVED, VARIED, FeatureRule, FeatureSpace
from qualification.plan.flows import (
    STATES,
    Flow,
    Inserted,
    bulk_flows,
    crafted_flows,
    receive_flows,
    state_flows,
)

from . import topology
from .inventory import Ends, Inventory, Nic
from .topology import Topology

_FRAMES_PER_SECOND = 40_000
_CELL_SECONDS = 0.15
_TOGGLE_SECONDS = 0.3
_CONTROL_SECONDS = 3.0
_SYMPTOM_SECONDS = 1.5
"""For estimates, measured on the loopback lab with two cores; real links take longer to come up."""
_LOOP_SECONDS = 0.0023
"""`HostFacts.loop_seconds` above which a host takes longer than that: twice what it is there. Under
emulation it is 11 to 14 times as long, and cells take 1.7 to 5 times as long."""


@dataclass(frozen=True)
class ControllerVersions:
    """What the controller runs on, apart from vxqual's own version.

    Attributes:
        commit: The git commit of vxqual, "-dirty" after it if files have changed since; None if it
            does not run from a checkout.
        python: Version of Python.
        kernel: Version of the kernel.
    """

    commit: str | None = None
    python: str = ""
    kernel: str = ""


@dataclass(frozen=True)
class Campaign:
    """One run.

    Attributes:
        run_id: Unique name of the run in reports.
        started: ISO 8601 time, with zone.
        seed: Determines every payload.
        version: Version of vxqual.
        source: The topology file, as the user named it.
        plan: The plan, on which the offload sets depend.
        demand: What a PASS has to exclude.
        topology: The topology, resolved: every host has SSH settings.
        inventory: The facts of hosts and NICs.
        pairs: Names of the pairs to qualify.
        expectations: Known failures; None if there is no expectations file.
        symptom: Whether calls are made after the cells, to show what an application would notice.
        wires: Where the wire of each DUT is recorded, by pair: QEMU's id of its back end and its
            control socket. Empty for no recordings.
        controller: What the controller runs on.
        fastest: Frames per second at which the search for the pace of a pair begins.
        unready: Why a pair cannot be judged, by its name: a host that cannot be reached, or is not
            ready. Its cells are planned, and end in ERROR.
    """

    run_id: str
    started: str
    seed: int
    version: str
    source: str
    plan: PlanName
    demand: Demand
    topology: Topology
    inventory: Inventory
    pairs: tuple[str, ...]
    expectations: Expectations | None = None
    symptom: bool = False
    wires: dict[str, tuple[str, str]] = field(default_factory=dict)
    controller: ControllerVersions = ControllerVersions()
    fastest: int = FASTEST
    unready: dict[str, str] = field(default_factory=dict)

    @property
    def day(self) -> date:
        """The day it started, by which expectations expire: the same for every worker."""
        return datetime.fromisoformat(self.started).date()

    @property
    def duts(self) -> dict[str, Nic]:
        """The NICs to qualify, by pair."""
        return {pair: self.ends(pair).dut for pair in self.pairs}

    def ends(self, pair: str) -> Ends:
        """Returns the two NICs of a pair."""
        named = self.topology.pairs[pair]
        nics = self.inventory.nics
        number = list(self.topology.pairs).index(pair)
        return Ends(nics[named.dut], nics[named.peer], named.port, named.vlan, number)

    def flows(self, pair: str) -> tuple[Flow, ...]:
        """Returns the flows that the kernel's own sockets may send on a pair."""
        ends = self.ends(pair)
        return bulk_flows(ends.families, ends.port)

    def crafted_flows(self, pair: str) -> tuple[Flow, ...]:
        """Returns the flows of crafted packet sets that may be sent on a pair."""
        ends = self.ends(pair)
        return crafted_flows(ends.families, ends.port)

    def states(self, pair: str) -> tuple[Flow, ...]:
        """Returns the flows that may be sent on a pair after something was done to its DUT."""
        ends = self.ends(pair)
        flows = state_flows(ends.families, ends.port)
        facts = ends.dut.facts
        # The link may carry our own SSH session, which must not be interrupted.
        if self.topology.nic(self.topology.pairs[pair].dut).allow_management:
            return tuple(flow for flow in flows if flow.state not in ("reset", "mtu"))
        raised = facts.max_mtu is not None and facts.max_mtu > facts.mtu
        return tuple(flow for flow in flows if raised or flow.state != "mtu")

    def tagged(self, pair: str) -> tuple[Flow, ...]:
        """Returns the flows behind a VLAN tag of a pair; none where its topology has no VLAN."""
        ends = self.ends(pair)
        if ends.vlan is None:
            return ()
        feature = ends.dut.facts.features.get(VLAN_INSERT)
        by_nic = feature is not None and (feature.hw or feature.active)
        by_kernel = feature is None or feature.hw or not feature.active
        inserted: tuple[tuple[Inserted, bool], ...] = (("nic", by_nic), ("kernel", by_kernel))
        who = [one for one, possible in inserted if possible]
        return tagged_flows(ends.families, ends.port, who, every=self.plan == "full")

    def loaded(self, pair: str) -> tuple[Flow, ...]:
        """Returns the flows that may be sent on a pair with other traffic at the same time."""
        ends = self.ends(pair)
        return loaded_flows(ends.families, ends.port, every=self.plan == "full")

    def received(self, pair: str) -> tuple[Flow, ...]:
        """Returns the flows that the DUT of a pair may receive."""
        ends = self.ends(pair)
        return receive_flows(ends.families, ends.port)

    def space(self, pair: str) -> FeatureSpace:
        """Returns the features of sending that can be varied on the DUT of a pair."""
        return self._space(pair, VARIED)

    def receive_space(self, pair: str) -> FeatureSpace:
        """Returns the features of receiving that can be varied on the DUT of a pair."""
        return self._space(pair, RECEIVED)

    def _space(self, pair: str, rules: Iterable[FeatureRule]) -> FeatureSpace:
        dut = self.ends(pair).dut
        names = {rule.name for rule in rules}
        features = {n: f for n, f in dut.facts.features.items() if n in names}
        return FeatureSpace(
            frozenset(name for name, feature in features.items() if feature.hw),
            frozenset(n for n, feature in features.items() if feature.active and not feature.hw),
            dut.driver,
            frozenset(
                (lost, name)
                for name, others in dut.dependencies.items()
                for lost in others
                if {lost, name} <= names
            ),
        )

    def cells(self, pair: str) -> tuple[Cell, ...]:
        """Returns the cells of a pair, in the order they run."""
        return plan_cells(
            pair,
            self.space(pair),
            self.flows(pair),
            self.crafted_flows(pair),
            self.plan,
            self.states(pair),
            receive_cells(pair, self.receive_space(pair), self.received(pair)),
            (*self.loaded(pair), *self.tagged(pair)),
        )

    def controls(self, pair: str) -> tuple[str, ...]:
        """Returns the ids of a pair's controls."""
        tagged = (TAGGED,) if self.tagged(pair) else ()
        return tuple(f"{pair}/{name}" for name in (*CONTROLS, *tagged))

    def seconds(self, pair: str) -> float:
        """Returns an estimate of how long a pair will take, in seconds.

        Much of a cell is waiting, so that it grows less than the slowness of the hosts.
        """
        cells = [cell for cell in self.cells(pair) if not cell.unsupported]
        sets = len({cell.set_id for cell in cells})
        bulk = [cell for cell in cells if not cell.flow.packet_set]
        frames = (len(bulk) + len(CONTROLS)) * self.demand.frames
        ends = self.ends(pair)
        slowest = max(ends.dut.host.loop_seconds, ends.peer.host.loop_seconds)
        return math.sqrt(max(1.0, slowest / _LOOP_SECONDS)) * (
            frames / _FRAMES_PER_SECOND
            + _CONTROL_SECONDS
            + len(cells) * _CELL_SECONDS
            + (sets + 1 + len(STATES)) * _TOGGLE_SECONDS
            + self.symptom * _SYMPTOM_SECONDS
        )

    def dump(self) -> dict[str, Any]:
        """Returns it as JSON types; the topology as YAML, without the values of passwords."""
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json", exclude={"topology"})
        return {**dumped, "topology": topology.dump(self.topology)}

    @classmethod
    def parse(cls, data: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Campaign:
        """Returns the run of JSON types that `dump` made.

        Args:
            data: The JSON types.
            environ: Environment variables that passwords are taken from.
        """
        resolved = topology.parse(data["topology"], data["source"], environ)
        return _ADAPTER.validate_python({**data, "topology": resolved})


_ADAPTER = TypeAdapter(Campaign)
