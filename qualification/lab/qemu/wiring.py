"""Which NIC of a topology is of which model, its MAC address, and what it is cabled to.

A cable is a pair of connected unix datagram sockets (`-netdev dgram`): one frame, one datagram, and
nothing beside its bytes. Back ends with a virtio-net header would hand unfinished checksums and
super-packets from guest to guest, which no cable carries. Sockets that find each other by their
paths are not connected, and always seem ready to send (unix_dgram_poll, net/unix/af_unix.c): where
the other end's queue is full, QEMU tries again and again, for which it takes a CPU of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qualification.errors import UsageError
from qualification.lab.qemu.image.emulator import device
from qualification.topology import QemuLab, Topology

MANAGEMENT = "mgmt"
"""The interface that carries SSH; QEMU's user network is behind it."""


@dataclass(frozen=True)
class Wire:
    """One end of a cable: a NIC of a guest.

    Attributes:
        nic: Its name, as `host.nic`.
        model: The model of NIC.
        interface: What the guest calls it.
        mac: Its MAC address, the same in every run.
        netdev: QEMU's id of the back end, by which it is recorded.
        remote: The NIC at the other end, as `host.nic`; None where the cable leads nowhere.
    """

    nic: str
    model: str
    interface: str
    mac: str
    netdev: str
    remote: str | None

    def arguments(self, descriptor: int) -> list[str]:
        """Returns QEMU's options for it. Without a boot ROM the firmware starts at once.

        Args:
            descriptor: That of the socket at its end of the cable, which QEMU inherits.
        """
        back_end = f"dgram,id={self.netdev},local.type=fd,local.str={descriptor}"
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


def wires(topology: Topology, lab: QemuLab) -> dict[str, list[Wire]]:
    """Says how a topology is cabled.

    Args:
        topology: The topology.
        lab: Its lab.

    Returns:
        The wires of each host, in the topology's order. A NIC of no pair has a cable that leads
        nowhere.

    Raises:
        UsageError: A NIC is in pairs with two others, or has no model.
    """
    ends = dict(_ends(topology))
    order = [f"{host}.{nic}" for host, spec in topology.hosts.items() for nic in spec.nics]
    made: dict[str, list[Wire]] = {host: [] for host in topology.hosts}
    for number, nic in enumerate(order):
        made[topology.host_of(nic)].append(
            Wire(
                nic=nic,
                model=model_of(lab, nic),
                interface=topology.nic(nic).interface,
                mac=mac_of(nic),
                netdev=f"wire{number}",
                remote=ends.get(nic),
            )
        )
    return made


@contextlib.contextmanager
def cables(ends: Iterable[Wire]) -> Iterator[dict[str, socket.socket]]:
    """Makes the cables: yields the socket at the end of each wire, by `host.nic`.

    The sockets are closed at the end of the context; the guests have inherited them by then.
    """
    with contextlib.ExitStack() as stack:
        made: dict[str, socket.socket] = {}
        for wire in ends:
            if wire.nic not in made:
                here, there = map(
                    stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                )
                made[wire.nic] = here
                if wire.remote is not None:
                    made[wire.remote] = there
        yield made


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
