"""NIC and hosts as they were found, as a bundle shows them."""

from __future__ import annotations

from collections.abc import Iterator

from qualification.inventory import Nic
from qualification.messages.host import SERIALS

from .masking import Mask
from .pci_text import without_tags


def facts(dut: Nic, peer: Nic) -> Iterator[tuple[str, str, str]]:
    """Yields what both hosts said of NIC and host: name, of the DUT, of the peer."""
    one, other = _facts_of(dut), _facts_of(peer)
    for name in dict.fromkeys((*one, *other)):
        if one.get(name) or other.get(name):
            yield name, one.get(name, ""), other.get(name, "")


def pci(nic: Nic, mask: Mask) -> tuple[str, ...]:
    """Returns the lines of lspci, without what was written into the card if the mask is on."""
    lines = nic.facts.settings.pci
    return without_tags(lines) if mask.on else lines


def _facts_of(nic: Nic) -> dict[str, str]:
    facts, host = nic.facts, nic.host
    how = facts.settings
    return {
        "driver": nic.driver,
        "driver version": facts.driver_version or "",
        "firmware": nic.firmware,
        "PCI id": facts.pci_id or "",
        "PCI subsystem": facts.pci_subsystem or "",
        "bus": facts.bus or "",
        "MAC address": facts.mac,
        "serial number": nic.serial or "",
        "underlay addresses": ", ".join(nic.underlay),
        "MTU": str(facts.mtu),
        "speed, Mbit/s": str(facts.speed_mbps or ""),
        "queues": ", ".join(f"{name} {n}" for name, n in facts.queues.items()),
        "rings": ", ".join(f"{name} {n}" for name, n in facts.rings.items()),
        "host": f"{nic.name.partition('.')[0]} ({host.hostname})",
        "kernel": host.kernel,
        "operating system": host.os,
        "CPU": f"{host.cpus} × {host.cpu}",
        "machine": " ".join(filter(None, (host.machine, host.hardware_version, host.hypervisor))),
        **{f"devlink {key}": value for key, value in facts.devlink.items() if key not in SERIALS},
        "most queues and longest rings": _named(how.limits),
        "coalescing": _named(how.coalescing),
        **{f"receive: {name}": value for name, value in how.flow_hash.items()},
        **{f"module parameter {name}": value for name, value in how.module.items()},
    }


def _named(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
