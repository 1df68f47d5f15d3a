"""What interfaces a host has, and which of them can be the DUT or the peer of a pair."""

from __future__ import annotations

from dataclasses import dataclass

from qualification.messages.host import Facts, HostFacts, NicFacts, Problem
from qualification.remote.agent_client import AgentClient

NO_NIC = "no-nic"
_NEVER = ("no-such-interface", NO_NIC, "lower-device", "port-of-another", "management-interface")
"""Kinds of problems of an interface that another cable or setting does not solve."""
_AT_ONCE = 16
"""Interfaces that one request is about: a node of a cluster has hundreds."""


@dataclass(frozen=True)
class Interface:
    """An interface of a host.

    Attributes:
        name: Its name, as `ip link` shows it.
        facts: Facts about it; None if it has no hardware.
        problems: What prevents a run on it now.
    """

    name: str
    facts: NicFacts | None
    problems: tuple[Problem, ...]

    @property
    def refused(self) -> Problem | None:
        """Returns why it can be no end of a pair; None if it can."""
        return next((problem for problem in self.problems if problem.kind in _NEVER), None)

    @property
    def has_link(self) -> bool:
        """Returns whether it is up and has a link."""
        return self.facts is not None and self.facts.up and self.facts.carrier


@dataclass(frozen=True)
class SeenHost:
    """A host and its interfaces.

    Attributes:
        host: Facts about the host.
        interfaces: All but the loopback device, by name.
    """

    host: HostFacts
    interfaces: tuple[Interface, ...]

    @property
    def choices(self) -> tuple[Interface, ...]:
        """Returns those that can be an end of a pair; the ones with a link are first."""
        fit = (one for one in self.interfaces if one.refused is None and one.facts is not None)
        return tuple(sorted(fit, key=lambda one: (not one.has_link, one.name)))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Returns the addresses of all its interfaces, "198.18.0.1/24"."""
        known = (one.facts for one in self.interfaces)
        return tuple(address for facts in known if facts for address in facts.addresses)


def look(agent: AgentClient) -> SeenHost:
    """Asks a host for its interfaces.

    Raises:
        AgentError: The agent did not answer.
    """
    host = _facts(agent, ()).host
    problems = {name: problems_of(agent, name) for name in host.interfaces}
    hardware = [
        name for name, found in problems.items() if all(one.kind != NO_NIC for one in found)
    ]
    facts: dict[str, NicFacts] = {}
    for start in range(0, len(hardware), _AT_ONCE):
        facts |= _facts(agent, hardware[start : start + _AT_ONCE]).nics
    return SeenHost(
        host, tuple(Interface(name, facts.get(name), problems[name]) for name in host.interfaces)
    )


def problems_of(
    agent: AgentClient, interface: str, addresses: tuple[str, ...] = ()
) -> tuple[Problem, ...]:
    """Returns everything that prevents a run on an interface.

    Args:
        agent: The agent on its host.
        interface: The interface.
        addresses: Underlay addresses that it is to have, which nobody else may have then.
    """
    found = agent.ask(
        list[Problem],
        "preflight",
        timeout=60.0,
        interface=interface,
        addresses=list(addresses),
        allow_management=False,
    )
    return tuple(found)


def _facts(agent: AgentClient, interfaces: list[str] | tuple[()]) -> Facts:
    return agent.ask(Facts, "facts", timeout=60.0, interfaces=list(interfaces))
