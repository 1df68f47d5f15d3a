"""Which NICs of two hosts are linked: asked by ARP probes, which change nothing.

On each NIC of one host that has a link, the agent asks for the IPv4 addresses of the other host. A
host answers for each of its addresses on every interface, with the MAC address of the one that the
question reached. So what answers is at the other end of a cable, or in the same VLAN of a switch.
Silence says nothing: the other host may have no IPv4 address, or `arp_ignore`.
"""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_interface

from qualification.remote.agent_client import AgentClient

from .hosts import SeenHost

_MOST_ADDRESSES = 32


def linked(agent: AgentClient, here: SeenHost, there: SeenHost) -> frozenset[tuple[str, str]]:
    """Returns the pairs of NICs that are linked, as far as that shows: one here, one there.

    Args:
        agent: The agent on the first host.
        here: The first host.
        there: The other one.
    """
    wanted = [address.ip for address in map(ip_interface, there.addresses) if address.version == 4]
    macs = Counter(one.facts.mac for one in there.interfaces if one.facts)
    # Devices that share a MAC address, such as those on top of others, cannot be told apart.
    names = {
        one.facts.mac: one.name for one in there.choices if one.facts and macs[one.facts.mac] == 1
    }
    found = set()
    for one in here.choices:
        if not one.has_link:
            continue
        answered = agent.ask(
            list[str],
            "who_answers",
            timeout=30.0,
            interface=one.name,
            addresses=[str(address) for address in wanted[:_MOST_ADDRESSES]],
        )
        found |= {(one.name, names[mac]) for mac in answered if mac in names}
    return frozenset(found)
