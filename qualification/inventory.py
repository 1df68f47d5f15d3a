"""The inventory: the facts of the hosts and NICs of a topology, as they were found."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_interface
from typing import Any, Literal

from pydantic import TypeAdapter

from qualification.messages.host import SERIALS, HostFacts, NicFacts

Role = Literal["dut", "peer"]

_VNIS = 32
"""VNIs of one pair: those of `Flow.vni` are closer together than this."""


@dataclass(frozen=True)
class Nic:
    """One NIC as found.

    Attributes:
        name: Its name in the topology, for example "alpha.port0".
        host: The facts of its host.
        facts: The facts of the NIC, as its host reports them.
        firmware_override: The version that the topology gives, for devices that report no firmware.
        underlay: Underlay addresses that the topology gives it, for example "198.18.0.1/24".
        dependencies: For each feature the others that went when it alone was switched off; empty
            where that was not tried.
        found: False where its host could not be asked: `facts` are then what plans take for granted
            (`remote.discover`), and no cell of it runs.
    """

    name: str
    host: HostFacts
    facts: NicFacts
    firmware_override: str | None
    underlay: tuple[str, ...]
    dependencies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    found: bool = True

    @property
    def driver(self) -> str:
        """The driver's name."""
        return self.facts.driver or "unknown"

    @property
    def firmware(self) -> str:
        """The firmware's version, as overridden by the topology or reported by the driver."""
        return self.firmware_override or self.facts.firmware or "unknown"

    @property
    def serial(self) -> str | None:
        """The serial number of the device, or of its board; None where the host reports none."""
        return next((self.facts.devlink[key] for key in SERIALS if key in self.facts.devlink), None)

    def address(self, family: Literal[4, 6]) -> str | None:
        """Returns the underlay address of a family, without its prefix; None if there is none."""
        for interface in map(ip_interface, self.underlay):
            if interface.version == family:
                return str(interface.ip)
        return None


@dataclass(frozen=True)
class Ends:
    """The two NICs of a pair, and what both of them can carry.

    Attributes:
        dut: The NIC being qualified.
        peer: The NIC that captures what the DUT sends.
        port: The tunnel's UDP port.
        vlan: VLAN id of the tag that outer packets have in some flows; None for no such flows.
        number: Which pair of the topology this is, from 0: its VNIs are its own, so that pairs on
            the ports of the same two hosts can run at the same time.
    """

    dut: Nic
    peer: Nic
    port: int
    vlan: int | None = None
    number: int = 0

    @property
    def families(self) -> frozenset[Literal[4, 6]]:
        """Underlay IP versions that both have."""
        versions: tuple[Literal[4, 6], ...] = (4, 6)
        return frozenset(v for v in versions if self.dut.address(v) and self.peer.address(v))

    @property
    def mtu(self) -> int:
        """The smaller MTU of the two, bytes."""
        return min(self.dut.facts.mtu, self.peer.facts.mtu)

    def vni(self, flow_vni: int) -> int:
        """Returns this pair's VNI on the wire for a flow's (`Flow.vni`)."""
        return flow_vni + _VNIS * self.number

    def nic(self, role: Role) -> Nic:
        """Returns the NIC in a role."""
        return self.dut if role == "dut" else self.peer

    def outer(self, role: Role, family: Literal[4, 6]) -> str:
        """Returns the underlay address of a family of the NIC in a role.

        Raises:
            ValueError: The topology gives it none.
        """
        address = self.nic(role).address(family)
        if address is None:
            raise ValueError(f"{self.nic(role).name} has no IPv{family} underlay address")
        return address


def other(role: Role) -> Role:
    """Returns the role of the other end."""
    return "peer" if role == "dut" else "dut"


@dataclass(frozen=True)
class Inventory:
    """The NICs of a topology.

    Attributes:
        nics: Every NIC that a pair names, by its name in the topology.
    """

    nics: dict[str, Nic]

    def dump(self) -> dict[str, Any]:
        """Returns it as JSON types, for a worker or to be stored."""
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return dumped

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Inventory:
        """Returns the inventory of JSON types that `dump` made."""
        return _ADAPTER.validate_python(data)


_ADAPTER = TypeAdapter(Inventory)
