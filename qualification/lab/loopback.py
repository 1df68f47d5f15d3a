"""The loopback lab: real hosts, drivers and SSH on one machine, with NICs made of software.

    with loopback.start(load("topologies/loopback.yaml"), say=print) as lab:
        qualify(lab.topology)

A host is a network namespace with an OpenSSH server, a NIC a TAP whose hardware is a process
(`softnic`), a pair's link that process. The topology handed back has no lab in it and could as
well be one of real hosts. Needs root, TUN, iproute2 and OpenSSH.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from qualification.errors import LabError, UsageError
from qualification.lab.softnic.link import SoftNicLink
from qualification.lab.softnic.process import End
from qualification.progress import Progress
from qualification.topology import HostSpec, LoopbackLab, Ssh, Topology

from .hosts import make_host, make_user_key, run, sshd
from .records import Record, close_record, end_processes, open_record
from .softnic import counters, firmwares

_GRO_WAIT = 200_000
"""Nanoseconds that GRO waits for the next frame of a stream (gro_flush_timeout). A NIC's interrupt
tells of many frames at once, a write to a TAP of one; without the wait there is nothing to merge.
Whatever ends a stream's message, and all traffic with GRO off, does not wait."""


_QUEUE = 20_000
"""Frames that wait in a TAP for its process. A TAP takes frames from the stack without ever
telling it to slow down (tun_net_xmit), so the queue has to hold the longest burst."""


class RunningLab:
    """A lab that is up; `start` makes it.

    Attributes:
        topology: The hosts as any other hosts: with an `ssh` section and without a lab.
        missing: Sentences on what this machine's kernel cannot offload to a soft NIC.
        record: Where the lab's things are.
        pids: The soft NIC process of each NIC, by `host.nic`.
    """

    def __init__(
        self,
        topology: Topology,
        missing: tuple[str, ...],
        record: Record,
        pids: dict[str, int],
        undo: contextlib.ExitStack,
    ) -> None:
        self.topology, self.missing, self.record, self.pids = topology, missing, record, pids
        self._undo = undo

    def counters(self) -> dict[str, dict[str, int]]:
        """Read what each NIC has counted, by `host.nic`; see `counters.NAMES`."""
        return {nic: counters.read(counters_file(self.record, nic)) for nic in self.pids}

    def stop(self) -> None:
        """Take everything away. Harmless twice."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    topology: Topology, *, say: Progress = lambda _: None, standing_for: Path | None = None
) -> RunningLab:
    """Build the lab that a topology asks for.

    What labs of dead processes have left on this machine is swept away first.

    Args:
        topology: One with a loopback lab in it.
        say: Takes lines on what is being done.
        standing_for: The topology's file, if the lab is to be found by it (see `standing`).

    Raises:
        UsageError: The topology asks for something no soft NIC is or has.
        LabError: This machine lacks something, or something could not be made.
    """
    lab = check(topology)
    with contextlib.ExitStack() as undo:
        record = open_record(str(standing_for.resolve()) if standing_for else None)
        undo.callback(close_record, record)
        user_key = make_user_key(record)
        reached: dict[str, Ssh] = {}
        for name in topology.hosts:
            say(f"host {name}: namespace {record.namespace(name)}")
            reached[name] = make_host(record, name, user_key)

        links: list[SoftNicLink] = []
        for one, other in _cables(topology):
            left = _end(topology, lab, record, one)
            right = _end(topology, lab, record, other)
            say(f"link {one} ({left.model}) -- {other} ({right.model})")
            links.append(SoftNicLink(left, right))
            undo.callback(links[-1].stop)
        # Whatever runs in the hosts ends first, while its network still stands.
        undo.callback(end_processes, record)

        missing = dict.fromkeys(line for link in links for line in link.missing())
        for line in missing:
            say(line)
        pids = {end.nic: link.pid for link in links for end in link.ends}
        for nic in pids:
            _set_up(topology, lab, record, nic)
        resolved = _resolved(topology, lab, reached)
        return RunningLab(resolved, tuple(missing), record, pids, undo.pop_all())


def check(topology: Topology) -> LoopbackLab:
    """Check all that can be checked before anything is made.

    Returns:
        The lab that the topology asks for.

    Raises:
        UsageError: The topology asks for something no soft NIC is or has.
        LabError: This machine lacks something that the lab is made of.
    """
    if topology.lab is None:
        raise UsageError("the topology has no lab to build", hint="add lab: {kind: loopback}")
    for nic in topology.lab.firmwares:
        firmwares.check(*_firmware(topology.lab, nic), where=f"lab.firmwares.{nic}")
    _cables(topology)
    if os.geteuid() != 0:
        raise LabError("the loopback lab makes namespaces and TAPs", hint="run as root")
    if not Path("/dev/net/tun").exists():
        raise LabError("there is no /dev/net/tun", hint="modprobe tun, or allow it the container")
    if not sshd():
        raise LabError("there is no OpenSSH server", hint="install the package openssh-server")
    for program, package in (("ip", "iproute2"), ("ssh-keygen", "openssh-client")):
        if not shutil.which(program):
            raise LabError(f"there is no `{program}`", hint=f"install the package {package}")
    return topology.lab


def counters_file(record: Record, nic: str) -> Path:
    """Say where a NIC's counters are."""
    return record.directory / f"{nic}.counters"


def _cables(topology: Topology) -> list[tuple[str, str]]:
    """List the NICs that are joined, each two once."""
    cables: dict[tuple[str, str], None] = {}
    joined: dict[str, tuple[str, str]] = {}
    for name, pair in topology.pairs.items():
        for nic, other in ((pair.dut, pair.peer), (pair.peer, pair.dut)):
            there, first = joined.setdefault(nic, (other, name))
            if there != other:
                raise UsageError(
                    f"a soft NIC has one cable, but {first} joins {nic} with {there}"
                    f" and {name} joins it with {other}",
                    where="pairs",
                    hint="give one of the two pairs NICs of its own",
                )
        cables[min(pair.dut, pair.peer), max(pair.dut, pair.peer)] = None
    return list(cables)


def _end(topology: Topology, lab: LoopbackLab, record: Record, nic: str) -> End:
    model, knobs = _firmware(lab, nic)
    return End(
        nic=nic,
        namespace=record.namespace(topology.host_of(nic)),
        interface=topology.nic(nic).interface,
        model=model,
        knobs=knobs,
        counters=str(counters_file(record, nic)),
    )


def _firmware(lab: LoopbackLab, nic: str) -> tuple[str, Mapping[str, object]]:
    """Give the model and the knobs that a topology sets; a NIC not listed is good."""
    chosen = lab.firmwares.get(nic)
    return (chosen.model, chosen.knobs) if chosen else ("good", {})


def _set_up(topology: Topology, lab: LoopbackLab, record: Record, nic: str) -> None:
    """Bring a TAP up. Its addresses are for the run to add, as on any host."""
    # Locally administered (IEEE 802, bit 1 of the first byte), and the same in every run.
    digest = bytearray(hashlib.sha256(nic.encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02
    run(
        *("ip", "-n", record.namespace(topology.host_of(nic))),
        *("link", "set", "dev", topology.nic(nic).interface),
        *("address", digest.hex(":"), "mtu", str(lab.mtu), "txqueuelen", str(_QUEUE), "up"),
    )
    run(
        *("ip", "netns", "exec", record.namespace(topology.host_of(nic)), "sh", "-e", "-c"),
        f"cd /sys/class/net/{topology.nic(nic).interface}; echo {_GRO_WAIT} > gro_flush_timeout; "
        # What a soft NIC hands over is a thread of the kernel's to take in, as a NIC's is an
        # interrupt's: else it would have to do that host's work within each of its writes.
        "if [ -e threaded ]; then echo 1 > threaded; fi",  # from 5.12 on
    )


def _resolved(topology: Topology, lab: LoopbackLab, reached: Mapping[str, Ssh]) -> Topology:
    """Write the topology that a run gets to see."""
    hosts: dict[str, HostSpec] = {}
    for name, host in topology.hosts.items():
        nics = {}
        for nic_name, nic in host.nics.items():
            version = nic.firmware or firmwares.describe(*_firmware(lab, f"{name}.{nic_name}"))
            nics[nic_name] = nic.model_copy(update={"firmware": version})
        hosts[name] = host.model_copy(update={"ssh": reached[name], "nics": nics})
    return topology.model_copy(update={"hosts": hosts, "lab": None})
