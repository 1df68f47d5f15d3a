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
        dut, peer = (
            End(
                nic,
                topology.host_of(nic),
                topology.nic(nic).interface,
                str(address.ip),
                hosts[topology.host_of(nic)][0],
            )
            for nic, address in addresses.items()
            if address is not None
        )
        problems += probe_both_ways(spec.port, dut, peer)
    return Probed(problems, notes)


@dataclass(frozen=True)
class End:
    """One end of a probe.

    Attributes:
        nic: Its name, host.nic.
        host: The name of its host.
        interface: The interface.
        address: The address that packets are sent to, and from.
        agent: A started agent of its host.
    """

    nic: str
    host: str
    interface: str
    address: str
    agent: AgentClient


def probe_both_ways(port: int, dut: End, peer: End) -> list[Problem]:
    """Sends packets to a UDP port each way, and returns what is in the way.

    Args:
        port: The port.
        dut: One end; both have their addresses.
        peer: The other end.

    Raises:
        AgentError: An agent died, or took too long.
    """
    problems = []
    for one, other in ((dut, peer), (peer, dut)):
        problem = _one_way(port, one, other)
        if problem is not None:
            problems.append(problem)
            if problem.kind != "port-filtered":
                break  # the other way would end by the same cause
    return problems


def _there(facts: Facts, topology: Topology, nic: str) -> set[object]:
    """Returns the addresses that a NIC has now."""
    return {ip_interface(text).ip for text in facts.nics[topology.nic(nic).interface].addresses}


def _one_way(port: int, source: End, target: End) -> Problem | None:
    """Returns what is in the way from one NIC to another."""
    token = f"vxqual-probe-{token_hex(8)}"
    for end, other, op in ((target, source, "probe_listen"), (source, target, "probe_send")):
        probe = PortProbe(end.interface, end.address, other.address, port, token)
        try:
            end.agent.call(op, timeout=_SECONDS, probe=probe)
        except AgentError as error:
            if error.kind not in ("port-taken", "port-filtered", "peer-unreachable"):
                raise
            return Problem(error.kind, f"{end.nic}: {error.what}", error.hint)
    found = target.agent.ask(PortProbeResult, "probe_collect", timeout=_SECONDS, seconds=_WAIT)
    if found.delivered:
        return None
    ends = f"from {source.nic} ({source.address}) to {target.nic} ({target.address})"
    if found.arrived:
        return Problem(
            "port-filtered",
            f"UDP port {port} is filtered on host {target.host}: packets {ends} "
            f"arrive at {target.interface}, and the host delivers none",
            f"allow UDP port {port} in the firewall there: nft list ruleset; iptables -S; ip rule",
        )
    return Problem(
        "port-filtered",
        f"UDP port {port} does not pass {ends}: no packet arrives, though both ends answer for "
        "their addresses",
        f"allow UDP port {port} in the firewall of host {source.host} and in the "
        "filters of the switches on the path",
    )
