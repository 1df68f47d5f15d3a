"""Topology -> inventory: asks every host once what it and its NICs are, and whether they are ready.

Nothing is changed, except where `learn` has the features of each DUT tried and restored at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qualification.errors import LabError
from qualification.inventory import Inventory, Nic
from qualification.messages.host import Facts
from qualification.progress import Progress
from qualification.topology import Topology

from .agent_client import AgentClient
from .host import open_host
from .lab_checks import one_host_problem, refuse, subnet_problem
from .leases import LeaseDemand, lease_all, open_agents
from .questions import learn, nics_of, on_all, preflight, read_facts
from .unseen import unseen_host, unseen_nic


@dataclass(frozen=True)
class Found:
    """What the hosts of some pairs turned out to be.

    Attributes:
        inventory: Every NIC of the pairs, those among them whose host could not be asked
            (`Nic.found`).
        faults: What is wrong with a host or a NIC, each once, in the order of the topology.
        unready: Why a pair cannot be judged, in words, by its name; other pairs can be.
    """

    inventory: Inventory
    faults: tuple[LabError, ...] = ()
    unready: Mapping[str, str] = field(default_factory=dict)


def discover(topology: Topology, pairs: Iterable[str], say: Progress) -> Inventory:
    """Returns the inventory of some pairs, all of whose hosts must answer; changes nothing.

    Args:
        topology: The topology, resolved.
        pairs: Names of the pairs.
        say: Takes lines on the progress.

    Raises:
        LabError: As `survey` does; or a host or a NIC has a fault: the message has all of them.
    """
    with open_agents() as agents:
        found = survey(topology, pairs, say, agents)
    if found.faults:
        raise _together(found.faults)
    return found.inventory


def survey(
    topology: Topology,
    pairs: Iterable[str],
    say: Progress,
    agents: dict[str, AgentClient],
    *,
    run: bool = False,
    lease: LeaseDemand | None = None,
) -> Found:
    """Asks the hosts of some pairs, of which some may be down or not ready for a run.

    Args:
        topology: The topology, resolved.
        pairs: Names of the pairs.
        say: Takes lines on the progress.
        agents: Gets the agent that is opened on each host; the caller ends them.
        run: Also look whether each NIC is ready for a run, and try which features of each DUT fall
            together (`Nic.dependencies`).
        lease: Lease the NICs of every pair whose hosts answer, as long as their agents live; None
            to lease none.

    Raises:
        LabError: No pair can be judged; the message has the faults of all hosts and NICs. Or
            another run has leased a NIC. Or the topology itself is at fault: both NICs of a pair
            are on one host, or two pairs share a subnet there.
    """
    pairs = tuple(pairs)
    for pair in pairs:
        refuse(subnet_problem(topology, pairs, pair), pair)
    hosts = nics_of(topology, pairs)
    tried = ", and trying which features fall together" if run else ""
    say(f"reading the facts of {len(hosts)} hosts and their NICs{tried}")
    asked = _Survey(topology, pairs, hosts, agents)
    asked.read_facts(hosts)
    if lease is not None:
        asked.lease(lease, say)
    if run:
        asked.look()
    return asked.found()


class _Survey:
    """What is known of the hosts of some pairs so far."""

    def __init__(
        self,
        topology: Topology,
        pairs: tuple[str, ...],
        hosts: Mapping[str, list[str]],
        agents: dict[str, AgentClient],
    ) -> None:
        self._topology, self._hosts, self._agents = topology, hosts, agents
        self._ends = {pair: (topology.pairs[pair].dut, topology.pairs[pair].peer) for pair in pairs}
        self._facts: dict[str, Facts] = {}
        self._faults: dict[str, LabError] = {}
        self._learned: dict[str, dict[str, tuple[str, ...]]] = {}

    def read_facts(self, hosts: Iterable[str]) -> None:
        """Reads the facts of hosts, over the agents that are open, and new ones."""

        def ask(host: str) -> Facts | LabError:
            try:
                if host not in self._agents:
                    self._agents[host] = open_host(self._topology, host)
                agent = self._agents[host]
                facts, clock = read_facts(agent, self._topology, self._hosts[host])
                refuse(clock, host)
                return facts
            except LabError as error:
                return error

        for host, answer in on_all(hosts, ask):
            if isinstance(answer, LabError):
                self._faults |= dict.fromkeys(self._hosts[host], answer)
                continue
            self._facts[host] = answer
            for name in self._hosts[host]:
                problem = answer.problems.get(self._topology.nic(name).interface)
                if problem is not None:
                    self._faults[name] = LabError(problem.message, where=name, hint=problem.hint)
        for pair, names in self._ends.items():
            known = [(name, self._facts.get(self._topology.host_of(name))) for name in names]
            (dut, here), (peer, there) = known
            if here is not None and there is not None:
                refuse(one_host_problem((dut, here.host), (peer, there.host)), pair)

    def lease(self, demand: LeaseDemand, say: Progress) -> None:
        """Leases the NICs of every pair that nothing is known against."""
        hosts = {name: self._topology.host_of(name) for name in self._well()}
        nics = {name: (self._agents[host], self._facts[host]) for name, host in hosts.items()}
        faults, changed = lease_all(self._topology, nics, demand, say)
        self._faults |= faults
        self.read_facts(dict.fromkeys(hosts[name] for name in changed))

    def look(self) -> None:
        """Looks whether the NICs of those pairs are ready, and tries the features of DUTs."""
        well = self._well()
        duts = {dut for dut, _peer in self._ends.values()}

        def ask(host: str) -> dict[str, LabError]:
            agent, faults = self._agents[host], {}
            for name in well & set(self._hosts[host]):
                try:
                    wrong = preflight(agent, self._topology, name)
                    if wrong:
                        errors = (LabError(p.message, where=name, hint=p.hint) for p in wrong)
                        faults[name] = _together(tuple(errors))
                    elif name in duts:
                        self._learned[name] = learn(agent, self._topology, name)
                except LabError as error:
                    faults[name] = error
            return faults

        for _host, faults in on_all({self._topology.host_of(name): 0 for name in well}, ask):
            self._faults |= faults

    def found(self) -> Found:
        """Returns all of it.

        Raises:
            LabError: No pair can be judged.
        """
        names = [name for some in self._hosts.values() for name in some]
        faults = {name: self._faults[name] for name in names if name in self._faults}
        unready = {
            pair: str(_together(tuple(dict.fromkeys(faults[n] for n in ends if n in faults))))
            for pair, ends in self._ends.items()
            if faults.keys() & set(ends)
        }
        each = tuple(dict.fromkeys(faults.values()))
        if len(unready) == len(self._ends):
            raise _together(each)
        return Found(Inventory({name: self._nic(name) for name in names}), each, unready)

    def _well(self) -> set[str]:
        """Returns the NICs of the pairs of which neither has a fault."""
        ends = [names for names in self._ends.values() if not self._faults.keys() & set(names)]
        return {name for names in ends for name in names}

    def _nic(self, name: str) -> Nic:
        facts = self._facts.get(self._topology.host_of(name))
        spec = self._topology.nic(name)
        if facts is None or spec.interface not in facts.nics:
            host = unseen_host(self._topology.host_of(name)) if facts is None else facts.host
            return unseen_nic(self._topology, name, host)
        return Nic(
            name,
            facts.host,
            facts.nics[spec.interface],
            spec.firmware,
            tuple(str(address) for address in spec.underlay),
            self._learned.get(name, {}),
        )


def _together(faults: tuple[LabError, ...]) -> LabError:
    """Returns faults as one error, whose message has all of them."""
    return faults[0] if len(faults) == 1 else LabError("\n".join(map(str, faults)))
