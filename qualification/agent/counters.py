"""Counters of kernel and NIC, and what the kernel log says of checksums and offloads."""

from __future__ import annotations

import os
import re
from contextlib import closing, suppress

from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

from . import links, namespaces, rtnetlink

_SNMP = {
    "Udp": ("InErrors", "InCsumErrors", "RcvbufErrors", "NoPorts"),
    "UdpLite": ("InCsumErrors",),
    "Tcp": ("InErrs", "InCsumErrors", "RetransSegs"),
    "Ip": ("InHdrErrors", "InDiscards"),
}
_SNMP6 = ("Udp6InErrors", "Udp6InCsumErrors", "Udp6RcvbufErrors", "Ip6InHdrErrors")
_LINK = (
    "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped",
    "rx_missed_errors", "rx_crc_errors", "rx_over_errors", "tx_carrier_errors",
)  # fmt: skip
_LOG = re.compile(
    r"hw csum failure|UDPv?6?: bad checksum|skb_warn_bad_offload|MDD event|NETDEV WATCHDOG",
    re.IGNORECASE,
)


def snapshot(interface: str, tunnel: int | None) -> dict[str, int]:
    """Counters by name: "outer.Udp.InCsumErrors", "inner.…", "link.tx_dropped", "nic.<ethtool -S>".

    Outer ones are of the underlay's namespace (all of the host's traffic there); inner ones of the
    tunnel's, where there is nothing but ours.
    """
    values = {"outer." + name: value for name, value in _snmp().items()}
    if tunnel is not None:
        with namespaces.inside(tunnel):
            values.update({"inner." + name: value for name, value in _snmp().items()})
    stats = rtnetlink.statistics(links.index_of(interface))
    values.update({"link." + name: stats[name] for name in _LINK})
    # tun, for one, has no statistics of its own.
    with closing(IoctlEthtool(interface)) as ethtool, suppress(NotSupportedError, OSError):
        for name, value in ethtool.get_statistics():
            values["nic." + str(name)] = int(value)
    return values


class Moves:
    """Counters from now on.

    Args:
        interface: The NIC.
        tunnel: Descriptor of the tunnel's namespace, if there is one.
    """

    def __init__(self, interface: str, tunnel: int | None) -> None:
        self._where = interface, tunnel
        self._before = snapshot(interface, tunnel)

    def so_far(self) -> dict[str, int]:
        """By how much each has moved; those that have not are left out."""
        return moved(self._before, snapshot(*self._where))


def moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """By how much each counter moved; those that did not are left out."""
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value != before.get(name, 0)
    }


def refusals(tunnel: int) -> int:
    """Packets that the kernel has refused for a wrong checksum, outer and inner ones together.

    What else of the host goes wrong in the underlay's namespace is counted with them. An IPv4
    header is counted once, as InHdrErrors (`ip_rcv_core`, net/ipv4/ip_input.c).
    """
    with namespaces.inside(tunnel):
        inner = _snmp()
    return sum(
        value
        for counted in (_snmp(), inner)
        for name, value in counted.items()
        if name.endswith("InCsumErrors") or name == "Ip.InHdrErrors"
    )


def _snmp() -> dict[str, int]:
    values = {}
    with open("/proc/thread-self/net/snmp", encoding="ascii") as file:  # noqa: PTH123
        lines = file.read().splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):  # noqa: B905  (Python 3.9)
        group = names.split(":")[0]
        for name, number in zip(names.split()[1:], numbers.split()[1:]):  # noqa: B905
            if name in _SNMP.get(group, ()):
                values[f"{group}.{name}"] = int(number)
    try:
        with open("/proc/thread-self/net/snmp6", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                name, number = line.split()
                if name in _SNMP6:
                    values[name] = int(number)
    except FileNotFoundError:
        pass  # a kernel without IPv6
    return values


class KernelLog:
    """Follows the kernel log from now on; silent where it may not be read."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            self._file = -1

    def news(self, most: int = 20) -> tuple[str, ...]:
        """The lines since the last call that speak of checksums, offloads or a hung queue."""
        found: list[str] = []
        while self._file >= 0:
            try:
                record = os.read(self._file, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                break
            except BrokenPipeError:  # lines were overwritten before we came; go on with the next
                continue
            except OSError:
                break
            text = record.partition(";")[2].split("\n")[0]
            if _LOG.search(text) and len(found) < most:
                found.append(text)
        return tuple(found)
