"""Topology -> inventory: asks every host once what it and its NICs are.

Nothing is changed, except where `learn` has the features of each DUT tried and restored at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from qualification.errors import AgentError, LabError
from qualification.inventory import Inventory, Nic
from qualification.messages.host import Dependencies, Facts, Problem
from qualification.plan.features import RULES
from qualification.progress import Progress
from qualification.topology import Topology

from .agent_client import AgentClient
from .closing import refuse_changes, restored
from .host import open_host
from .lab_checks import clock_problem, one_host_problem, refuse, subnet_problem, tell_time
from .unseen import unseen_host, unseen_nic

T = TypeVar("T")

_log = logging.getLogger("vxqual.pair")

_MOST_AT_ONCE = 16
_LEARNING_SECONDS = 120.0
"""A NIC may reset its link with each feature that is tried, and take seconds for it."""


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


@dataclass(frozen=True)
class _Answer:
    """What a host said: its facts, what its DUTs depend on, and what is wrong there by NIC."""

    facts: Facts
    learned: Mapping[str, dict[str, tuple[str, ...]]]
    faults: Mapping[str, LabError]


def nics_of(topology: Topology, pairs: Iterable[str]) -> dict[str, list[str]]:
    """Returns the NICs of some pairs by host: {"alpha": ["alpha.port0"]}."""
    named = [topology.pairs[pair] for pair in pairs]
    nics = dict.fromkeys(nic for pair in named for nic in (pair.dut, pair.peer))
    hosts: dict[str, list[str]] = {}
    for nic in nics:
        hosts.setdefault(topology.host_of(nic), []).append(nic)
    return hosts


def discover(
    topology: Topology, pairs: Iterable[str], say: Progress, *, learn: bool = False
) -> Inventory:
    """Returns the inventory of some pairs, all of whose hosts must answer.

    Args:
        topology: The topology, resolved.
        pairs: Names of the pairs.
        say: Takes lines on the progress.
        learn: As for `survey`.

    Raises:
        LabError: As `survey` does; or a host or a NIC has a fault: the message has all of them.
    """
    found = survey(topology, pairs, say, learn=learn)
    if found.faults:
        raise together(found.faults)
    return found.inventory


def survey(
    topology: Topology, pairs: Iterable[str], say: Progress, *, learn: bool = False
) -> Found:
    """Asks the hosts of some pairs, of which some may be down or not ready for a run.

    Args:
        topology: The topology, resolved.
        pairs: Names of the pairs.
        say: Takes lines on the progress.
        learn: For a run: also look whether each NIC is ready for it, and try which features of each
            DUT fall together (`Nic.dependencies`).

    Raises:
        LabError: No pair can be judged; the message has the faults of all hosts and NICs. Or the
            topology itself is at fault: both NICs of a pair are on one host, or two pairs share a
            subnet there.
    """
    pairs = tuple(pairs)
    for pair in pairs:
        refuse(subnet_problem(topology, pairs, pair), pair)
    hosts = nics_of(topology, pairs)
    duts = {topology.pairs[pair].dut for pair in pairs}
    tried = ", and trying which features fall together" if learn else ""
    say(f"reading the facts of {len(hosts)} hosts and their NICs{tried}")

    def ask(host: str) -> _Answer | LabError:
        try:
            with restored(open_host(topology, host)) as agent:
                return _ask(agent, topology, host, hosts[host], duts if learn else None)
        except LabError as error:
            return error

    found: dict[str, Nic] = {}
    at_fault: dict[str, LabError] = {}
    for host, answer in on_all(hosts, ask):
        for name in hosts[host]:
            if isinstance(answer, LabError):
                at_fault[name] = answer
                found[name] = unseen_nic(topology, name, unseen_host(host))
                continue
            if name in answer.faults:
                at_fault[name] = answer.faults[name]
            found[name] = _nic(topology, name, answer)
    ends = {pair: (topology.pairs[pair].dut, topology.pairs[pair].peer) for pair in pairs}
    for pair, names in ends.items():
        dut, peer = (found[name] for name in names)
        if dut.found and peer.found:
            refuse(one_host_problem((dut.name, dut.host), (peer.name, peer.host)), pair)
    unready = {
        pair: str(together(_each_once(at_fault[name] for name in names if name in at_fault)))
        for pair, names in ends.items()
        if at_fault.keys() & set(names)
    }
    faults = _each_once(at_fault.values())
    if len(unready) == len(pairs):
        raise together(faults)
    return Found(Inventory(found), faults, unready)


def together(faults: tuple[LabError, ...]) -> LabError:
    """Returns faults as one error, whose message has all of them."""
    return faults[0] if len(faults) == 1 else LabError("\n".join(map(str, faults)))


def _each_once(faults: Iterable[LabError]) -> tuple[LabError, ...]:
    return tuple(dict.fromkeys(faults))


def _ask(
    agent: AgentClient, topology: Topology, host: str, names: list[str], duts: set[str] | None
) -> _Answer:
    """Asks one host; `duts` are those whose features are tried, None to change nothing."""
    interfaces = [topology.nic(name).interface for name in names]
    facts, between = tell_time(
        lambda: agent.ask(Facts, "facts", timeout=60.0, interfaces=interfaces)
    )
    refuse(clock_problem(facts, between), host)
    learned, faults = {}, {}
    for name in names:
        problem = facts.problems.get(topology.nic(name).interface)
        problems = [problem] if problem is not None else []
        if duts is not None and not problems:
            problems = preflight(agent, topology, name)
        if problems:
            wrong = (LabError(p.message, where=name, hint=p.hint) for p in problems)
            faults[name] = together(tuple(wrong))
        elif duts is not None and name in duts:
            try:
                learned[name] = _learn(agent, topology, name)
            except LabError as error:
                faults[name] = error
    return _Answer(facts, learned, faults)


def preflight(agent: AgentClient, topology: Topology, name: str) -> list[Problem]:
    """Returns everything that prevents a run on a NIC, as its host sees it; changes nothing."""
    nic = topology.nic(name)
    return agent.ask(
        list[Problem],
        "preflight",
        timeout=60.0,
        interface=nic.interface,
        addresses=[str(address) for address in nic.underlay],
        allow_management=nic.allow_management,
    )


def _nic(topology: Topology, name: str, answer: _Answer) -> Nic:
    """Returns a NIC of a host that answered."""
    nic = topology.nic(name)
    if nic.interface not in answer.facts.nics:
        return unseen_nic(topology, name, answer.facts.host)
    return Nic(
        name,
        answer.facts.host,
        answer.facts.nics[nic.interface],
        nic.firmware,
        tuple(str(address) for address in nic.underlay),
        answer.learned.get(name, {}),
    )


def _learn(agent: AgentClient, topology: Topology, name: str) -> dict[str, tuple[str, ...]]:
    """Returns which features of a NIC fall together; nothing where they may not be tried now.

    Whatever forbids it is found again, and reported, when the pair's session prepares the NIC.
    """
    nic = topology.nic(name)
    try:
        answer = agent.ask(
            Dependencies,
            "learn_dependencies",
            timeout=_LEARNING_SECONDS,
            interface=nic.interface,
            names=tuple(RULES),
            allow_management=nic.allow_management,
        )
    except AgentError as error:
        _log.warning("%s: features that fall together are not known: %s", name, error)
        return {}
    for feature, lost in answer.lost.items():
        _log.info("%s: without %s it also loses %s", name, feature, ", ".join(lost))
    refuse_changes(topology.host_of(name), answer.report)
    return answer.lost


def on_all(hosts: Iterable[str], ask: Callable[[str], T]) -> list[tuple[str, T]]:
    """Does the same for every host at once; returns the answers in the order of the hosts."""
    names = list(hosts)
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        return list(zip(names, pool.map(ask, names), strict=True))
