"""Topology -> inventory: reads once what every host and its NICs are. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from qualification.errors import LabError, VxqualError
from qualification.inventory import Inventory, Nic
from qualification.messages.host import Facts, Problem
from qualification.progress import Progress
from qualification.topology import Topology

from .host import open_host

T = TypeVar("T")

_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Readiness:
    """Whether one host is ready for a run.

    Attributes:
        host: Its name.
        error: Why the host could not be asked; None if it answered.
        problems: What prevents a run, by NIC; a NIC without problems is ready.
    """

    host: str
    error: VxqualError | None
    problems: dict[str, list[Problem]]


def nics_of(topology: Topology, pairs: Iterable[str]) -> dict[str, list[str]]:
    """Returns the NICs of some pairs by host: {"alpha": ["alpha.port0"]}."""
    named = [topology.pairs[pair] for pair in pairs]
    nics = dict.fromkeys(nic for pair in named for nic in (pair.dut, pair.peer))
    hosts: dict[str, list[str]] = {}
    for nic in nics:
        hosts.setdefault(topology.host_of(nic), []).append(nic)
    return hosts


def discover(topology: Topology, pairs: Iterable[str], say: Progress) -> Inventory:
    """Returns the inventory of some pairs.

    Args:
        topology: The topology, resolved.
        pairs: Names of the pairs.
        say: Takes lines on the progress.

    Raises:
        HostError: A host cannot be reached, or cannot run the agent.
        LabError: An interface does not exist; the message names all of them.
    """
    hosts = nics_of(topology, pairs)
    say(f"reading the facts of {len(hosts)} hosts and their NICs")

    def ask(host: str) -> Facts:
        with open_host(topology, host) as agent:
            interfaces = [topology.nic(nic).interface for nic in hosts[host]]
            return agent.ask(Facts, "facts", timeout=60.0, interfaces=interfaces)

    found: dict[str, Nic] = {}
    missing = []
    for host, answer in _on_all(hosts, ask):
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
            )
    if len(missing) == 1:
        raise missing[0]
    if missing:
        raise LabError("\n".join(map(str, missing)))
    return Inventory(found)


def readiness(topology: Topology, pairs: Iterable[str]) -> list[Readiness]:
    """Returns for every host whether it is ready; an error of one host does not hide another's."""
    hosts = nics_of(topology, pairs)

    def ask(host: str) -> Readiness:
        problems = {}
        try:
            with open_host(topology, host) as agent:
                for name in hosts[host]:
                    nic = topology.nic(name)
                    problems[name] = agent.ask(
                        list[Problem],
                        "preflight",
                        timeout=60.0,
                        interface=nic.interface,
                        addresses=[str(address) for address in nic.underlay],
                        allow_management=nic.allow_management,
                    )
        except VxqualError as error:
            return Readiness(host, error, problems)
        return Readiness(host, None, problems)

    return [answer for _host, answer in _on_all(hosts, ask)]


def _on_all(hosts: Iterable[str], ask: Callable[[str], T]) -> list[tuple[str, T]]:
    names = list(hosts)
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        return list(zip(names, pool.map(ask, names), strict=True))
