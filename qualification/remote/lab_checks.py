"""What only the controller can see to be wrong with a lab: between two hosts, or with itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from typing import TypeVar

from qualification.errors import LabError
from qualification.messages.host import Facts, HostFacts, Problem
from qualification.topology import Topology

T = TypeVar("T")

MOST_SECONDS_OFF = 300.0
"""How far a host's clock may be from ours; Kerberos draws the same line (RFC 4120, section 8.2)."""


def tell_time(ask: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """Returns an answer, and our clock before and after it."""
    before = time.time()
    answer = ask()
    return answer, (before, time.time())


def clock_problem(facts: Facts, between: tuple[float, float]) -> Problem | None:
    """Returns what is wrong with a host's clock, if it is far off.

    Args:
        facts: The host's answer.
        between: Our clock before the question and after the answer.
    """
    before, after = between
    off = max(facts.time - after, before - facts.time)
    if off <= MOST_SECONDS_OFF:
        return None
    side = "ahead of" if facts.time > after else "behind"
    return Problem(
        "clock-off",
        f"its clock is {_long(off)} {side} the clock of this machine, and neither logs nor stored "
        "files can be put in order",
        "set the clock that is wrong: timedatectl set-ntp true, or chronyc makestep",
    )


def one_host_problem(dut: tuple[str, HostFacts], peer: tuple[str, HostFacts]) -> Problem | None:
    """Returns what is wrong if both NICs of a pair are in one network namespace of one host.

    Args:
        dut: The DUT's name, and its host's facts.
        peer: The peer's.
    """
    (one, here), (other, there) = dut, peer
    if not here.boot_id or (here.boot_id, here.namespace) != (there.boot_id, there.namespace):
        return None
    return Problem(
        "one-host",
        f"{one} and {other} are in one network namespace of one host ({here.hostname}), which "
        "delivers packets between its own addresses itself, so that no NIC sends any",
        "use a peer in another host, or move the peer's interface into a network namespace with an "
        "sshd of its own",
    )


def subnet_problem(topology: Topology, pairs: Sequence[str], pair: str) -> Problem | None:
    """Returns what is wrong if a pair shares a host and a subnet with one that runs beside it.

    Args:
        topology: The topology.
        pairs: Names of all pairs of the run.
        pair: The pair; only those before it are looked at.
    """
    groups = topology.groups()
    beside = [one for one in pairs[: pairs.index(pair)] if groups[one] != groups[pair]]
    theirs = [nic for one in beside for nic in _ends(topology, one)]
    for nic, other in product(_ends(topology, pair), theirs):
        host = topology.host_of(nic)
        networks = {address.network for address in topology.nic(other).underlay}
        shared = [a.network for a in topology.nic(nic).underlay if a.network in networks]
        if shared and host == topology.host_of(other):
            return Problem(
                "subnet-shared",
                f"{other} and {nic} of one host both have an underlay address in {shared[0]}, and "
                "their pairs run at the same time: packets may leave or arrive by either interface",
                "give each pair an underlay subnet of its own in the topology",
            )
    return None


def _ends(topology: Topology, pair: str) -> tuple[str, str]:
    return topology.pairs[pair].dut, topology.pairs[pair].peer


def refuse(problem: Problem | None, where: str) -> None:
    """Raises a `LabError` if there is a problem."""
    if problem is not None:
        raise LabError(problem.message, where=where, hint=problem.hint)


def _long(seconds: float) -> str:
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
