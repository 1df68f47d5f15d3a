"""The loopback lab: hosts with real drivers and SSH on one machine, and NICs in software.

    with loopback.start(load("topologies/loopback.yaml"), say=print) as lab:
        qualify(lab.topology)

A host is a network namespace with an OpenSSH server. A NIC is a TAP device whose hardware is a
process (`softnic`); that process is also the link between the two NICs of a pair. The topology that
`start` returns has no lab and looks like one of real hosts. Needs root, TUN, iproute2 and OpenSSH.
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
announces many frames at once, a write to a TAP only one; without the wait GRO has nothing to merge.
A frame that ends a stream's message does not wait, nor does any traffic with GRO off."""

_QUEUE = 20_000
"""Frames that can wait in a TAP for its process. A TAP accepts frames from the stack without ever
slowing it down (tun_net_xmit), so the queue has to hold the longest burst."""


class RunningLab:
    """A loopback lab that is up; `start` makes it.

    Attributes:
        wires: None: nothing can record what passes between two soft NICs.
        topology: The hosts as real ones: each has an `ssh` section, and there is no lab.
        missing: Sentences on what this machine's kernel cannot offload to a soft NIC.
        record: The lab's names and paths on this machine.
        pids: Process id of the soft NIC process of each NIC, by `host.nic`.
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
        self.wires: dict[str, tuple[str, str]] = {}
        self._undo = undo

    def counters(self) -> dict[str, dict[str, int]]:
        """Returns the counters of each NIC (see `counters.NAMES`), by `host.nic`."""
        return {nic: counters.read(counters_file(self.record, nic)) for nic in self.pids}

    def stop(self) -> None:
        """Removes the lab. Does nothing the second time."""
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
    topology: Topology, *, say: Progress = lambda _: None, persistent_for: Path | None = None
) -> RunningLab:
    """Builds the loopback lab that a topology asks for.

    First it removes what labs of processes that have ended left on this machine.

    Args:
        topology: A topology with a loopback lab.
        say: Is called with lines about the progress.
        persistent_for: The topology's file, for a lab that is found by it (see `persistent`).

    Raises:
        UsageError: The topology asks for something that soft NICs do not have.
        LabError: This machine lacks something, or a part of the lab cannot be made.
    """
    lab = check(topology)
    with contextlib.ExitStack() as undo:
        record = open_record(str(persistent_for.resolve()) if persistent_for else None)
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
        # Processes in the hosts are ended first, while their network is still there.
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
    """Checks all that can be checked before anything is made.

    Returns:
        The lab that the topology asks for.

    Raises:
        UsageError: The topology asks for something that soft NICs do not have.
        LabError: This machine lacks something that the lab needs.
    """
    lab = topology.lab
    if not isinstance(lab, LoopbackLab):
        raise UsageError("the topology has no lab to build", hint="add lab: {kind: loopback}")
    for nic in lab.firmwares:
        firmwares.check(*_firmware(lab, nic), where=f"lab.firmwares.{nic}")
    _cables(topology)
    if os.geteuid() != 0:
        raise LabError("the loopback lab needs root, for namespaces and TAPs", hint="run as root")
    if not Path("/dev/net/tun").exists():
        raise LabError(
            "there is no /dev/net/tun",
            hint="run `modprobe tun`, or give the container /dev/net/tun",
        )
    if not sshd():
        raise LabError("there is no OpenSSH server", hint="install the package openssh-server")
    for program, package in (("ip", "iproute2"), ("ssh-keygen", "openssh-client")):
        if not shutil.which(program):
            raise LabError(f"there is no `{program}`", hint=f"install the package {package}")
    return lab


def counters_file(record: Record, nic: str) -> Path:
    """Returns the path of a NIC's counters."""
    return record.directory / f"{nic}.counters"


def _cables(topology: Topology) -> list[tuple[str, str]]:
    """Returns the cables: the names of both NICs, each cable once.

    Raises:
        UsageError: A NIC would need two cables.
    """
    cables: dict[tuple[str, str], None] = {}
    joined: dict[str, tuple[str, str]] = {}  # NIC to the other end and the first pair with it
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
    """Returns the model and the knobs of a NIC's firmware; a NIC that is not listed is good."""
    chosen = lab.firmwares.get(nic)
    return (chosen.model, chosen.knobs) if chosen else ("good", {})


def _set_up(topology: Topology, lab: LoopbackLab, record: Record, nic: str) -> None:
    """Bring a TAP up. Its addresses are for the run to add, as on any host."""
    # Locally administered (IEEE 802, bit 1 of the first byte), and the same in every run.
    ring = firmwares.ring_of(*_firmware(lab, nic))
    digest = bytearray(hashlib.sha256(nic.encode()).digest()[:6])
    digest[0] = digest[0] & 0xFC | 0x02
    run(
        *("ip", "-n", record.namespace(topology.host_of(nic))),
        *("link", "set", "dev", topology.nic(nic).interface),
        *("address", digest.hex(":"), "mtu", str(lab.mtu), "txqueuelen", str(ring or _QUEUE), "up"),
    )
    run(
        *("ip", "netns", "exec", record.namespace(topology.host_of(nic)), "sh", "-e", "-c"),
        f"cd /sys/class/net/{topology.nic(nic).interface}; echo {_GRO_WAIT} > gro_flush_timeout; "
        # The frames that a soft NIC writes are processed by a kernel thread, as those of a NIC are
        # by a softirq. Otherwise each write would do the receiving host's work in the soft NIC.
        "if [ -e threaded ]; then echo 1 > threaded; fi",  # from 5.12 on
    )


def _resolved(topology: Topology, lab: LoopbackLab, reached: Mapping[str, Ssh]) -> Topology:
    """Returns the topology that a run works on."""
    hosts: dict[str, HostSpec] = {}
    for name, host in topology.hosts.items():
        nics = {}
        for nic_name, nic in host.nics.items():
            version = nic.firmware or firmwares.describe(*_firmware(lab, f"{name}.{nic_name}"))
            nics[nic_name] = nic.model_copy(update={"firmware": version})
        hosts[name] = host.model_copy(update={"ssh": reached[name], "nics": nics})
    return topology.model_copy(update={"hosts": hosts, "lab": None})
