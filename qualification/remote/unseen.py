"""What plans take for granted of a NIC that could not be asked: its pair's cells end in ERROR.

They are the cells of a NIC with every feature that is expected of one, so that nothing that was
asked for is missing from the results.
"""

from __future__ import annotations

from qualification.inventory import Nic
from qualification.messages.host import Feature, HostFacts, NicFacts
from qualification.plan.features import RULES
from qualification.topology import Topology

_MTU = 1500  # of Ethernet; no frame is ever made by it


def unseen_host(name: str) -> HostFacts:
    """Returns the facts of a host that could not be asked."""
    return HostFacts(name, "unknown", "unknown", "unknown", 0, "unknown", 0, ())


def unseen_nic(topology: Topology, name: str, host: HostFacts) -> Nic:
    """Returns a NIC that could not be asked.

    Args:
        topology: The topology, which names it.
        name: Its name there.
        host: The facts of its host.
    """
    spec = topology.nic(name)
    features = {rule.name: Feature(True, True, True) for rule in RULES.values() if rule.expected}
    facts = NicFacts(
        interface=spec.interface,
        mac="",
        mtu=_MTU,
        up=False,
        carrier=False,
        driver=None,
        driver_version=None,
        firmware=None,
        bus=None,
        pci_id=None,
        speed_mbps=None,
        queues={},
        rings={},
        devlink={},
        addresses=(),
        features=features,
    )
    underlay = tuple(str(address) for address in spec.underlay)
    return Nic(name, host, facts, spec.firmware, underlay, found=False)
