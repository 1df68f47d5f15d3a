"""Which NIC of a topology is of which model, its MAC address, and what it is cabled to.

A cable is a pair of unix datagram sockets (`-netdev dgram`): one frame, one datagram, and nothing
beside its bytes. Back ends with a virtio-net header would hand unfinished checksums and
super-packets from guest to guest, which no cable carries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import UsageError
from qualification.lab.qemu.image.emulator import device
from qualification.topology import QemuLab, Topology

MANAGEMENT = "mgmt"
"""The interface that carries SSH; QEMU's user network is behind it."""

_SOCKET_PATH_MAX = 107  # sun_path, unix(7), with its closing zero byte


@dataclass(frozen=True)
class Wire:
    """One end of a cable: a NIC of a guest.

    Attributes:
        nic: Its name, as `host.nic`.
        model: The model of NIC.
        interface: What the guest calls it.
        mac: Its MAC address, the same in every run.
        netdev: QEMU's id of the back end, by which it is recorded.
        local: The socket that it takes frames from.
        remote: The socket that it sends them to.
    """

    nic: str
    model: str
    interface: str
    mac: str
    netdev: str
    local: Path
    remote: Path

    def arguments(self) -> list[str]:
        """Returns QEMU's options for it. Without a boot ROM the firmware starts at once."""
        back_end = (
            f"dgram,id={self.netdev},local.type=unix,local.path={self.local},"
            f"remote.type=unix,remote.path={self.remote}"
        )
        front_end = f"{device(self.model)},netdev={self.netdev},mac={self.mac},romfile="
        return ["-netdev", back_end, "-device", front_end]


def model_of(lab: QemuLab, nic: str) -> str:
    """Returns the model of a NIC: what `lab.nics` says, or else its own name.

    Raises:
        UsageError: Its name is none of `lab.models`, and `lab.nics` does not list it.
    """
    name = nic.partition(".")[2]
    if nic in lab.nics:
        return lab.nics[nic]
    if name in lab.models:
        return name
    raise UsageError(
        f"the model of {nic} is not given",
        where="lab",
        hint=f"name the NIC after one of lab.models, or add nics: {{{nic}: igb}}",
    )


def models(topology: Topology, lab: QemuLab) -> dict[str, str]:
    """Returns the model of every NIC of a topology, by `host.nic`."""
    names = (f"{host}.{nic}" for host, spec in topology.hosts.items() for nic in spec.nics)
    return {name: model_of(lab, name) for name in names}


def wires(topology: Topology, lab: QemuLab, directory: Path) -> dict[str, list[Wire]]:
    """Cables a topology.

    Args:
        topology: The topology.
        lab: Its lab.
        directory: Where the sockets are.

    Returns:
        The wires of each host, in the topology's order. A NIC of no pair has a cable that leads
        nowhere.

    Raises:
        UsageError: A NIC is in pairs with two others, or has no model.
    """
    ends = dict(_ends(topology))
    order = [f"{host}.{nic}" for host, spec in topology.hosts.items() for nic in spec.nics]
    sockets = {nic: directory / f"wire{number}" for number, nic in enumerate(order)}
    longest = directory / f"wire{len(order)}"
    if len(str(longest)) > _SOCKET_PATH_MAX:
        raise UsageError("the path is too long for a socket", where=str(longest))
    made: dict[str, list[Wire]] = {host: [] for host in topology.hosts}
    for number, nic in enumerate(order):
        made[topology.host_of(nic)].append(
            Wire(
                nic=nic,
                model=model_of(lab, nic),
                interface=topology.nic(nic).interface,
                mac=mac_of(nic),
                netdev=f"wire{number}",
                local=sockets[nic],
                remote=sockets[ends[nic]] if nic in ends else directory / "nowhere",
            )
        )
    return made


def mac_of(nic: str) -> str:
    """Returns a NIC a MAC address: locally administered, unicast, and the same in every run."""
    digest = bytearray(hashlib.sha256(nic.encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02
    return digest.hex(":")


def _ends(topology: Topology) -> Iterator[tuple[str, str]]:
    """Says what each NIC is cabled to."""
    known: dict[str, str] = {}
    for pair in topology.pairs.values():
        for nic, other in ((pair.dut, pair.peer), (pair.peer, pair.dut)):
            if known.setdefault(nic, other) != other:
                raise UsageError(
                    f"a NIC of the QEMU lab has one cable, but {nic} is to be joined with"
                    f" {known[nic]} and with {other}",
                    where="pairs",
                    hint="give one of the two pairs NICs of its own",
                )
            yield nic, other
