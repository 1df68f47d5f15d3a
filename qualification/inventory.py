"""What the hosts and NICs of a topology turned out to be."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any, Literal

from pydantic import TypeAdapter

from qualification.messages.host import HostFacts, NicFacts

Role = Literal["dut", "peer"]


@dataclass(frozen=True)
class Nic:
    """One NIC as found.

    Attributes:
        name: "alpha.port0", as the topology names it.
        host: What its host says of itself.
        facts: What its host says of it.
        firmware_override: What the topology says of a device that reports no firmware.
        underlay: Underlay addresses the topology gives it, "198.18.0.1/24".
    """

    name: str
    host: HostFacts
    facts: NicFacts
    firmware_override: str | None
    underlay: tuple[str, ...]

    @property
    def driver(self) -> str:
        """The driver's name."""
        return self.facts.driver or "unknown"

    @property
    def firmware(self) -> str:
        """The firmware's version, as overridden by the topology or reported by the driver."""
        return self.firmware_override or self.facts.firmware or "unknown"

    def address(self, family: Literal[4, 6]) -> str | None:
        """The underlay address of a family, without its prefix."""
        for interface in map(ip_interface, self.underlay):
            if interface.version == family:
                return str(interface.ip)
        return None


@dataclass(frozen=True)
class Ends:
    """The two NICs of a pair and what both of them can carry.

    Attributes:
        dut: The NIC being qualified.
        peer: The NIC that watches it.
        port: The tunnel's UDP port.
        vlan: Identifier of the VLAN whose tag outer packets are given in some flows; None for none.
    """

    dut: Nic
    peer: Nic
    port: int
    vlan: int | None = None

    @property
    def families(self) -> frozenset[Literal[4, 6]]:
        """Underlay IP versions that both have."""
        versions: tuple[Literal[4, 6], ...] = (4, 6)
        return frozenset(v for v in versions if self.dut.address(v) and self.peer.address(v))

    @property
    def mtu(self) -> int:
        """The smaller MTU of the two, bytes."""
        return min(self.dut.facts.mtu, self.peer.facts.mtu)

    def nic(self, role: Role) -> Nic:
        """One of them."""
        return self.dut if role == "dut" else self.peer

    def outer(self, role: Role, family: Literal[4, 6]) -> str:
        """An underlay address."""
        address = self.nic(role).address(family)
        if address is None:
            raise ValueError(f"no IPv{family} underlay on {self.nic(role).name}")
        return address


def other(role: Role) -> Role:
    """The other end."""
    return "peer" if role == "dut" else "dut"


@dataclass(frozen=True)
class Inventory:
    """Every NIC that a pair names, by its name in the topology."""

    nics: dict[str, Nic]

    def dump(self) -> dict[str, Any]:
        """As JSON types, to hand to a worker or to store."""
        dumped: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return dumped

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Inventory:
        """The inverse of `dump`."""
        return _ADAPTER.validate_python(data)


_ADAPTER = TypeAdapter(Inventory)
