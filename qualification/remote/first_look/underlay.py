"""Underlay addresses that nobody uses: neither a host of the pair, nor anybody on the link."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from qualification.errors import LabError
from qualification.remote.agent_client import AgentClient
from qualification.topology.proposal import Underlay, underlays

from .hosts import problems_of

_TAKEN = ("address-taken", "subnet-shared")
_MOST_TRIED = 8


def unused(ends: Sequence[tuple[AgentClient, str]], used: Sequence[str]) -> tuple[Underlay, ...]:
    """Returns underlay addresses for each of two NICs, IPv4 alone if one has IPv6 disabled.

    Args:
        ends: The DUT and its peer: the agent on its host, and the interface.
        used: Addresses of the two hosts, "198.18.0.1/24".

    Raises:
        LabError: None of some subnets is unused.
    """
    tried = ""
    for proposed in islice(underlays(used), _MOST_TRIED):
        found = [
            problem
            for (agent, interface), underlay in zip(ends, proposed, strict=True)
            for problem in problems_of(agent, interface, tuple(map(str, underlay)))
        ]
        kinds = {problem.kind for problem in found}
        if not kinds & set(_TAKEN):
            families = (4,) if "ipv6-disabled" in kinds else (4, 6)
            return tuple(
                tuple(address for address in underlay if address.version in families)
                for underlay in proposed
            )
        tried = next(problem.message for problem in found if problem.kind in _TAKEN)
    raise LabError(
        f"no unused subnet for the underlay was found in 198.18.0.0/16; the last try: {tried}"
        if tried
        else "the hosts have addresses in every subnet of 198.18.0.0/16 or of fd00:18::/32",
        hint="copy the example.yaml that `vxqual init lab` writes, and name addresses of your own",
    )
