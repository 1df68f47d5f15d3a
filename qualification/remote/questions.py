"""What a host is asked before a run: facts about it and its NICs, and whether they are ready."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qualification.errors import AgentError
from qualification.messages.host import Dependencies, Facts, Problem
from qualification.plan.features import RULES
from qualification.topology import Topology

from .agent_client import AgentClient
from .closing import refuse_changes
from .lab_checks import clock_problem, tell_time

T = TypeVar("T")
Name = TypeVar("Name", bound=str)

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


def on_all(hosts: Iterable[Name], ask: Callable[[Name], T]) -> list[tuple[Name, T]]:
    """Does the same for every host at once; returns the answers in the order of the hosts.

    Raises:
        Exception: What `ask` raised for the first of them, once all have ended.
    """
    names = list(hosts)
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        return list(zip(names, pool.map(ask, names), strict=True))


def read_facts(
    agent: AgentClient, topology: Topology, names: Iterable[str]
) -> tuple[Facts, Problem | None]:
    """Returns the facts of a host and of some of its NICs, and what is wrong with its clock."""
    interfaces = [topology.nic(name).interface for name in names]
    facts, between = tell_time(
        lambda: agent.ask(Facts, "facts", timeout=60.0, interfaces=interfaces)
    )
    return facts, clock_problem(facts, between)


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


def learn(agent: AgentClient, topology: Topology, name: str) -> dict[str, tuple[str, ...]]:
    """Returns which features of a NIC fall together; nothing where they may not be tried now.

    Whatever forbids it is found again, and reported, when the pair's session prepares the NIC.

    Raises:
        LabError: Features that were tried could not be restored.
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
    refuse_changes(agent.host, answer.report)
    return answer.lost
