"""Reads counters of kernel and NIC, and lines about checksums and offloads from the kernel log."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import cache, lru_cache

from pyroute2.ethtool.ioctl import ETH_SS_STATS, IoctlEthtool, NotSupportedError

from . import links, namespaces, rtnetlink

_SNMP = {
    "Udp": ("InErrors", "InCsumErrors", "RcvbufErrors", "MemErrors", "NoPorts"),
    "UdpLite": ("InCsumErrors",),
    "Tcp": ("InErrs", "InCsumErrors", "RetransSegs"),
    "Ip": ("InHdrErrors", "InDiscards"),
}
_SNMP6 = (
    "Udp6InErrors", "Udp6InCsumErrors", "Udp6RcvbufErrors", "Udp6MemErrors", "Ip6InHdrErrors",
)  # fmt: skip
_LINK = (
    "rx_packets", "tx_packets", "rx_errors", "tx_errors", "rx_dropped", "tx_dropped",
    "rx_missed_errors", "rx_crc_errors", "rx_over_errors", "rx_fifo_errors", "tx_carrier_errors",
)  # fmt: skip
_LOG = re.compile(
    r"hw csum failure|UDPv?6?: bad checksum|skb_warn_bad_offload|MDD event|NETDEV WATCHDOG",
    re.IGNORECASE,
)


def snapshot(interface: str, tunnel: int | None) -> dict[str, int]:
    """Returns counters by name: "outer.Udp.InCsumErrors", "inner.…", "link.…", "nic.<ethtool -S>".

    "softnet.dropped" are frames that the kernel had no room for on any CPU (`enqueue_to_backlog`,
    net/core/dev.c), whatever NIC of the host received them.

    The outer ones belong to the underlay's namespace and count all traffic of the host there. The
    inner ones belong to the tunnel namespace, which has no other traffic than ours.

    Args:
        interface: The NIC.
        tunnel: Descriptor of the tunnel namespace, if there is one.
    """
    values = {"outer." + name: value for name, value in _snmp().items()}
    if tunnel is not None:
        with namespaces.inside(tunnel):
            values.update({"inner." + name: value for name, value in _snmp().items()})
    stats = rtnetlink.statistics(links.index_of(interface))
    values.update({"link." + name: stats[name] for name in _LINK})
    values.update({"nic." + name: value for name, value in _of_nic(interface)})
    values["softnet.dropped"] = _softnet_dropped()
    return values


def busy_seconds() -> float:
    """Returns what all CPUs of the machine have spent on work since it booted.

    That is everything but idling, waiting for disks, and the time that a hypervisor took
    (/proc/stat, proc(5)). Every namespace sees the figures of the whole machine.
    """
    with open("/proc/stat", encoding="ascii") as file:  # noqa: PTH123  (small, and Python 3.9)
        user, nice, system, _idle, _wait, interrupts, softirqs = map(
            int, file.readline().split()[1:8]
        )
    return (user + nice + system + interrupts + softirqs) / os.sysconf("SC_CLK_TCK")


def _of_nic(interface: str) -> Iterator[tuple[str, int]]:
    """Yields the counters of `ethtool -S`: none for a tun, thousands for some NICs."""
    with closing(IoctlEthtool(interface)) as ethtool, suppress(NotSupportedError, OSError):
        count = ethtool.get_stringset_length(ETH_SS_STATS)
        if count:
            ethtool.stat_names = _names(interface, count)
            for name, value in ethtool.get_statistics():
                yield name, int(value)


@lru_cache(1)  # reading the names takes longer than all the rest
def _names(interface: str, count: int) -> tuple[str, ...]:
    """Returns the names of an interface's own counters, as long as there are `count` of them."""
    with closing(IoctlEthtool(interface)) as ethtool:
        names = tuple(map(str, ethtool.get_stringset(ETH_SS_STATS)))
    assert len(names) == count
    return names


class CounterChanges:
    """Measures by how much counters increase from now on.

    Args:
        interface: The NIC.
        tunnel: Descriptor of the tunnel namespace, if there is one.
    """

    def __init__(self, interface: str, tunnel: int | None) -> None:
        self._where = interface, tunnel
        self._before = snapshot(interface, tunnel)

    def so_far(self) -> dict[str, int]:
        """Returns by how much each counter has increased; unchanged ones are left out."""
        return moved(self._before, snapshot(*self._where))


def moved(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Returns by how much each counter has changed; unchanged ones are left out."""
    return {
        name: value - before.get(name, 0)
        for name, value in after.items()
        if value != before.get(name, 0)
    }


def refusals(tunnel: int) -> int:
    """Returns how many packets in tunnels the kernel has dropped for a wrong checksum.

    Outer ones are not among them: the underlay's namespace counts those of all pairs of a host. A
    bad IPv4 header is counted once, as InHdrErrors (`ip_rcv_core`, net/ipv4/ip_input.c).

    Args:
        tunnel: Descriptor of the tunnel namespace.
    """
    with namespaces.inside(tunnel):
        inner = _snmp()
    return sum(
        value
        for name, value in inner.items()
        if name.endswith("InCsumErrors") or name == "Ip.InHdrErrors"
    )


def _softnet_dropped() -> int:
    """Returns how many frames the kernel dropped on all CPUs: the second column of softnet_stat.

    The numbers are hexadecimal (`softnet_seq_show`, net/core/net-procfs.c).
    """
    return sum(int(line.split()[1], 16) for line in _read("softnet_stat").splitlines())


def _snmp() -> dict[str, int]:
    values = {}
    lines = _read("snmp").splitlines()
    for names, numbers in zip(lines[::2], lines[1::2]):  # noqa: B905  (Python 3.9)
        group, places = _places(names)
        if places:
            columns = numbers.split()
            values.update({f"{group}.{name}": int(columns[at]) for name, at in places})
    with suppress(FileNotFoundError):  # a kernel without IPv6
        words = _read("snmp6").split()
        found = dict(zip(words[::2], words[1::2]))  # noqa: B905
        values.update({name: int(found[name]) for name in _SNMP6 if name in found})
    return values


@cache
def _places(names: str) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Returns the protocol of a header line of /proc/net/snmp, and the columns that are read."""
    group, *columns = names.replace(":", "").split()
    wanted = _SNMP.get(group, ())
    return group, tuple((name, at) for at, name in enumerate(columns, 1) if name in wanted)


def _read(name: str) -> str:
    with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:  # noqa: PTH123
        return file.read()


class KernelLog:
    """Follows the kernel log from now on; returns no lines if it cannot be read."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            self._file = -1

    def news(self, most: int = 20) -> tuple[str, ...]:
        """Returns new lines about checksums, offloads or a hung queue, `most` of them at most."""
        found: list[str] = []
        while self._file >= 0:
            try:
                record = os.read(self._file, 8192).decode("utf-8", "replace")
            except BlockingIOError:
                break
            except BrokenPipeError:  # lines were overwritten before they were read; read the next
                continue
            except OSError:
                break
            text = record.partition(";")[2].split("\n")[0]
            if _LOG.search(text) and len(found) < most:
                found.append(text)
        return tuple(found)
