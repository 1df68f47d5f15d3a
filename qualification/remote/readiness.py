"""Whether a lab is ready for a run: what its hosts find wrong, and what shows between two of them.

Nothing is changed on a host.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from qualification.errors import LabError, VxqualError
from qualification.messages.host import Facts, Problem
from qualification.topology import Topology

from .agent_client import AgentClient
from .host import open_host
from .lab_checks import one_host_problem, subnet_problem
from .port_probe import Probed, probe_port
from .questions import nics_of, on_all, preflight, read_facts


@dataclass(frozen=True)
class Readiness:
    """Whether a part of the lab is ready for a run.

    Attributes:
        error: Why a host could not be asked; None if all answered.
        problems: What prevents a run, by what it concerns: a host, a NIC or a pair. A NIC without
            problems is ready.
        notes: What could not be found out before the run, by the same.
    """

    error: VxqualError | None
    problems: dict[str, list[Problem]]
    notes: dict[str, list[str]]


def readiness(topology: Topology, pairs: Iterable[str]) -> list[Readiness]:
    """Returns whether each host, and then each pair, is ready.

    An error of one host does not hide another's.
    """
    pairs = tuple(pairs)
    hosts = nics_of(topology, pairs)
    agents: dict[str, AgentClient] = {}
    known: dict[str, Facts] = {}

    def ask(host: str) -> Readiness:
        problems: dict[str, list[Problem]] = {}
        try:
            agent = agents[host] = open_host(topology, host)
            facts, clock = read_facts(agent, topology, hosts[host])
            problems |= {host: [clock]} if clock else {}
            for name in hosts[host]:
                problems[name] = preflight(agent, topology, name)
        except VxqualError as error:
            return Readiness(error, problems, {})
        known[host] = facts
        return Readiness(None, problems, {})

    try:
        answers = [answer for _host, answer in on_all(hosts, ask)]
        ready = {nic for answer in answers for nic, found in answer.problems.items() if not found}
        for pair in pairs:
            ends = topology.pairs[pair]
            shared = subnet_problem(topology, pairs, pair)
            if shared is not None:
                answers.append(Readiness(None, {pair: [shared]}, {}))
            if {topology.host_of(end) for end in (ends.dut, ends.peer)} <= set(known):
                answers.append(_between(topology, pair, known, agents, ready))
    finally:
        _close(agents)
    return answers


def _between(
    topology: Topology,
    pair: str,
    known: dict[str, Facts],
    agents: dict[str, AgentClient],
    ready: set[str],
) -> Readiness:
    """Returns what is wrong between the two ends of a pair, whose hosts have both answered."""
    ends = topology.pairs[pair]
    dut, peer = topology.host_of(ends.dut), topology.host_of(ends.peer)
    together = one_host_problem((ends.dut, known[dut].host), (ends.peer, known[peer].host))
    if together is not None:
        return Readiness(None, {pair: [together]}, {})
    if not {ends.dut, ends.peer} <= ready:
        note = f"whether UDP port {ends.port} passes is not probed before its NICs are ready"
        return Readiness(None, {}, {pair: [note]})
    try:
        probed: Probed = probe_port(
            topology, pair, {host: (agents[host], known[host]) for host in (dut, peer)}
        )
    except LabError as error:
        return Readiness(error, {}, {})
    return Readiness(None, {pair: probed.problems} if probed.problems else {}, {pair: probed.notes})


def _close(agents: dict[str, AgentClient]) -> None:
    """Ends every agent; they have changed nothing, so that there is nothing to report."""
    with ExitStack() as stack:
        for agent in agents.values():
            stack.enter_context(suppress(VxqualError))
            stack.callback(agent.close)
