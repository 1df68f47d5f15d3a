"""Probes whether UDP packets to the port of a pair's tunnels pass, from each end to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface
from secrets import token_hex
from typing import Literal

from qualification.errors import AgentError
from qualification.messages.host import Facts, PortProbe, PortProbeResult, Problem
from qualification.topology import Topology

from .agent_client import AgentClient

_SECONDS = 20.0
_WAIT = 1.0
"""Seconds for packets to arrive, after the other end has answered for its address."""

Host = tuple[AgentClient, Facts]
Family = Literal[4, 6]


@dataclass(frozen=True)
class Probed:
    """What the probes of one pair found.

    Attributes:
        problems: What is in the way.
        notes: What could not be probed, and why.
    """

    problems: list[Problem]
    notes: list[str]


def probe_port(topology: Topology, pair: str, hosts: Mapping[str, Host]) -> Probed:
    """Sends packets to the tunnels' port each way, for each family that both ends have.

    Args:
        topology: The topology, resolved.
        pair: The pair's name.
        hosts: Agent and facts of both hosts, by name.

    Raises:
        AgentError: An agent died, or took too long.
    """
    spec = topology.pairs[pair]
    problems: list[Problem] = []
    notes = []
    families: tuple[Family, ...] = (4, 6)
    for family in families:
        addresses = {nic: topology.nic(nic).address(family) for nic in (spec.dut, spec.peer)}
        if None in addresses.values():
            continue
        absent = [
            f"{address} to {nic}"
            for nic, address in addresses.items()
            if address is not None
            and address.ip not in _there(hosts[topology.host_of(nic)][1], topology, nic)
        ]
        if absent:
            notes.append(
                f"whether UDP port {spec.port} passes over IPv{family} cannot be probed yet: only "
                f"the run adds {' and '.join(absent)}"
            )
            continue
        for one, other in ((spec.dut, spec.peer), (spec.peer, spec.dut)):
            problem = _one_way(topology, spec.port, family, (one, other), hosts)
            if problem is not None:
                problems.append(problem)
                if problem.kind != "port-filtered":
                    break  # the other way would end by the same cause
    return Probed(problems, notes)


def _there(facts: Facts, topology: Topology, nic: str) -> set[object]:
    """Returns the addresses that a NIC has now."""
    return {ip_interface(text).ip for text in facts.nics[topology.nic(nic).interface].addresses}


def _one_way(
    topology: Topology, port: int, family: Family, way: tuple[str, str], hosts: Mapping[str, Host]
) -> Problem | None:
    """Returns what is in the way from one NIC to another."""
    source, target = way
    sender, listener = (hosts[topology.host_of(nic)][0] for nic in way)
    token = f"vxqual-probe-{token_hex(8)}"
    probes = {}
    for nic, other in ((source, target), (target, source)):
        local, remote = topology.nic(nic).address(family), topology.nic(other).address(family)
        assert local and remote  # the caller has looked
        interface = topology.nic(nic).interface
        probes[nic] = PortProbe(interface, str(local.ip), str(remote.ip), port, token)
    for agent, op, nic in ((listener, "probe_listen", target), (sender, "probe_send", source)):
        try:
            agent.call(op, timeout=_SECONDS, probe=probes[nic])
        except AgentError as error:
            if error.kind not in ("port-taken", "port-filtered", "peer-unreachable"):
                raise
            return Problem(error.kind, f"{nic}: {error.what}", error.hint)
    found = listener.ask(PortProbeResult, "probe_collect", timeout=_SECONDS, seconds=_WAIT)
    if found.delivered:
        return None
    ends = f"from {source} ({probes[source].local}) to {target} ({probes[target].local})"
    if found.arrived:
        return Problem(
            "port-filtered",
            f"UDP port {port} is filtered on host {topology.host_of(target)}: packets {ends} "
            f"arrive at {probes[target].interface}, and the host delivers none",
            f"allow UDP port {port} in the firewall there: nft list ruleset; iptables -S; ip rule",
        )
    return Problem(
        "port-filtered",
        f"UDP port {port} does not pass {ends}: no packet arrives, though both ends answer for "
        "their addresses",
        f"allow UDP port {port} in the firewall of host {topology.host_of(source)} and in the "
        "filters of the switches on the path",
    )
