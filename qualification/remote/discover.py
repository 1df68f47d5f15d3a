"""Topology -> inventory: asks every host once what it and its NICs are.

Nothing is changed, except where `learn` has the features of each DUT tried and restored at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qualification.errors import AgentError, LabError
from qualification.inventory import Inventory, Nic
from qualification.messages.host import Dependencies, Facts
from qualification.plan.features import RULES
from qualification.progress import Progress
from qualification.topology import Topology

from .agent_client import AgentClient
from .closing import refuse_changes, restored
from .host import open_host
from .lab_checks import clock_problem, one_host_problem, refuse, subnet_problem, tell_time

T = TypeVar("T")

_log = logging.getLogger("vxqual.pair")

_MOST_AT_ONCE = 16
_LEARNING_SECONDS = 120.0
"""A NIC may reset its link with each feature that is tried, and take seconds for it."""


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
    """Returns the inventory of some pairs.

    Args:
        topology: The topology, resolved.
        pairs: Names of the pairs.
        say: Takes lines on the progress.
        learn: Try which features of each DUT fall together (`Nic.dependencies`).

    Raises:
        HostError: A host cannot be reached, or cannot run the agent.
        LabError: An interface does not exist; the message names all of them. Or both NICs of a
            pair are on one host, two pairs share a subnet there, a host's clock is far off, or
            features that were tried could not be restored.
    """
    pairs = tuple(pairs)
    for pair in pairs:
        refuse(subnet_problem(topology, pairs, pair), pair)
    hosts = nics_of(topology, pairs)
    duts = {topology.pairs[pair].dut for pair in pairs} if learn else set()
    tried = ", and trying which features fall together" if learn else ""
    say(f"reading the facts of {len(hosts)} hosts and their NICs{tried}")

    def ask(host: str) -> tuple[Facts, dict[str, dict[str, tuple[str, ...]]]]:
        with restored(open_host(topology, host)) as agent:
            interfaces = [topology.nic(nic).interface for nic in hosts[host]]
            facts, between = tell_time(
                lambda: agent.ask(Facts, "facts", timeout=60.0, interfaces=interfaces)
            )
            refuse(clock_problem(facts, between), host)
            learned = {
                nic: _learn(agent, topology, nic)
                for nic in hosts[host]
                if nic in duts and topology.nic(nic).interface in facts.nics
            }
            return facts, learned

    found: dict[str, Nic] = {}
    missing = []
    for host, (answer, learned) in on_all(hosts, ask):
        for name in hosts[host]:
            nic = topology.nic(name)
            problem = answer.problems.get(nic.interface)
            if problem is not None:
                missing.append(LabError(problem.message, where=name, hint=problem.hint))
                continue
            found[name] = Nic(
                name,
                answer.host,
                answer.nics[nic.interface],
                nic.firmware,
                tuple(str(address) for address in nic.underlay),
                learned.get(name, {}),
            )
    if len(missing) == 1:
        raise missing[0]
    if missing:
        raise LabError("\n".join(map(str, missing)))
    for pair in pairs:
        dut, peer = (found[name] for name in (topology.pairs[pair].dut, topology.pairs[pair].peer))
        refuse(one_host_problem((dut.name, dut.host), (peer.name, peer.host)), pair)
    return Inventory(found)


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
