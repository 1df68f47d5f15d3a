"""The orders and answers about a host itself: tunnels and VLANs to make, facts and problems.

As in `bursts`, these are frozen dataclasses of JSON types for Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TunnelOrder:
    """One VXLAN device on the underlay, in the tunnel namespace.

    Attributes:
        name: Device name inside the namespace.
        vni: VXLAN network identifier.
        link: The underlay interface.
        local: Own underlay address; its family is the outer family.
        remote: The other end's underlay address.
        port: UDP destination port.
        checksum: Whether its packets have an outer UDP checksum.
        mac: Own inner MAC address.
        remote_mac: The other end's.
        addresses: Own inner interface addresses, "10.18.1.1/24".
        neighbours: The other end's inner addresses.
        mtu: Inner MTU, bytes.
        source_port: UDP source port of all its packets; 0 for one per inner flow.
        ttl: TTL or hop limit of its packets; 0 for that of the route.
    """

    name: str
    vni: int
    link: str
    local: str
    remote: str
    port: int
    checksum: bool
    mac: str
    remote_mac: str
    addresses: tuple[str, ...]
    neighbours: tuple[str, ...]
    mtu: int
    source_port: int = 0
    ttl: int = 0


@dataclass(frozen=True)
class VlanOrder:
    """A VLAN device on the underlay interface, for tunnels of tagged packets.

    Attributes:
        name: Of the device.
        vlan: VLAN identifier, 1 to 4094 (IEEE 802.1Q).
        addresses: Own underlay interface addresses in the VLAN.
        neighbours: The other end's underlay addresses in the VLAN.
        remote_mac: The other end's MAC address.
    """

    name: str
    vlan: int
    addresses: tuple[str, ...]
    neighbours: tuple[str, ...]
    remote_mac: str


@dataclass(frozen=True)
class Feature:
    """One ethtool feature as the kernel sees it (net/core/dev.c, hw_features and features).

    Attributes:
        hw: Whether it can be changed.
        wanted: Whether it was requested.
        active: Whether it is in effect.
    """

    hw: bool
    wanted: bool
    active: bool


SERIALS = ("serial_number", "board.serial_number")
"""Keys of serial numbers in `NicFacts.devlink`, the best first: of the device, of its board
(Documentation/networking/devlink/devlink-info.rst)."""


MOST_SETTINGS, MOST_LINES, MOST_WIDTH = 128, 400, 200
"""Of `NicSettings`: values of a kind, lines of lspci, and characters of a value or of a line."""


@dataclass(frozen=True)
class NicSettings:
    """How a NIC is set up beyond its facts; empty where driver, kernel or host has no answer.

    Attributes:
        coalescing: What `ethtool -c` shows, by the names of struct ethtool_coalesce, unless it is
            0.
        limits: The pre-set maximums of `ethtool -g` and `-l`, such as "ring rx".
        flow_hash: What `ethtool -n` shows: "receive queues", "rules", and for "hash of udp4" and
            others the fields that spread flows over queues.
        module: The parameters of the driver's module (/sys/module).
        pci: The lines of `lspci -vvv -nn`, where the host has the tool.
    """

    coalescing: dict[str, int] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
    flow_hash: dict[str, str] = field(default_factory=dict)
    module: dict[str, str] = field(default_factory=dict)
    pci: tuple[str, ...] = ()


@dataclass(frozen=True)
class NicFacts:
    """Facts about one interface of a host; None where the host has no answer.

    `devlink` has what `devlink dev info` says: serial numbers (`SERIALS`) and versions by their
    kind and name, such as "running.fw.mgmt". `pci_id` is vendor and device of the chip;
    `pci_subsystem` is vendor and device of the board that it is on, which the board's maker chose.
    `settings` were not read before they were stored.
    """

    interface: str
    mac: str
    mtu: int
    up: bool
    carrier: bool
    driver: str | None
    driver_version: str | None
    firmware: str | None
    bus: str | None
    pci_id: str | None
    speed_mbps: int | None
    queues: dict[str, int]
    rings: dict[str, int]
    devlink: dict[str, str]
    addresses: tuple[str, ...]
    features: dict[str, Feature]
    max_mtu: int | None = None
    pci_subsystem: str | None = None
    settings: NicSettings = field(default_factory=NicSettings)


@dataclass(frozen=True)
class HostFacts:
    """Facts about a host.

    Attributes:
        namespace: Inode number of the network namespace that the agent runs in.
        verifier: Which implementation verifies frames there, and why: `wire.native.Native.says`.
        hypervisor: What it is a guest of, as systemd-detect-virt(1) names it; empty on bare metal.
        machine: Vendor and model of the machine, which is virtual in a guest.
        hardware_version: Version of that machine, such as "pc-q35-10.0"; empty if it has none.
        boot_id: The kernel's random id of this boot: with the namespace it tells hosts apart that
            are one machine under two names.
        loop_seconds: Time that 20,000 turns of a loop take in its Python, for estimates; 0 if
            it was not measured.
    """

    hostname: str
    kernel: str
    os: str
    cpu: str
    cpus: int
    python: str
    namespace: int
    interfaces: tuple[str, ...]
    verifier: str = ""
    hypervisor: str = ""
    machine: str = ""
    hardware_version: str = ""
    boot_id: str = ""
    loop_seconds: float = 0.0


@dataclass(frozen=True)
class Problem:
    """A reason why an order cannot be carried out, found before anything was changed.

    Attributes:
        kind: A word for programs, such as "no-such-interface".
        message: What is wrong, in one sentence without a full stop.
        hint: What to do next.
        data: JSON values with details.
    """

    kind: str
    message: str
    hint: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """The answer to the request "facts".

    Attributes:
        host: The host.
        nics: The interfaces that exist, by name.
        problems: Those that do not, with the reason, by name.
        time: The host's clock, in seconds since 1970 (UTC).
    """

    host: HostFacts
    nics: dict[str, NicFacts]
    problems: dict[str, Problem]
    time: float


@dataclass(frozen=True)
class Dependencies:
    """The answer to the request "learn_dependencies".

    Attributes:
        lost: For each feature the others that went when it alone was switched off.
        report: The lines of the undo.
    """

    lost: dict[str, tuple[str, ...]]
    report: tuple[str, ...]


@dataclass(frozen=True)
class PortProbe:
    """Whose packets to a tunnel's port are to be sent, or waited for.

    Attributes:
        interface: The NIC.
        local: Own underlay address.
        remote: The other end's underlay address.
        port: UDP port of the tunnels.
        token: ASCII characters in the packets, which tell them from others.
    """

    interface: str
    local: str
    remote: str
    port: int
    token: str


@dataclass(frozen=True)
class PortProbeResult:
    """What came of the packets to a tunnel's port.

    Attributes:
        delivered: How many a socket on the port received, at most one.
        arrived: How many a tap on the NIC saw until then.
    """

    delivered: int
    arrived: int
