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
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from qualification.errors import LabError, UsageError
from qualification.lab import counters, firmwares
from qualification.lab.hosts import Access, make_host, make_user_key, run, sshd
from qualification.lab.records import Record, close_record, end_processes, open_record
from qualification.lab.softnic import End
from qualification.topology import Host, LoopbackLab, Ssh, Topology

Say = Callable[[str], object]

_QUEUE = 20_000
"""Frames that wait in a TAP for its process. A TAP takes frames from the stack without ever
telling it to slow down (tun_net_xmit), so the queue has to hold the longest burst."""

_PATIENCE = 10.0
"""Seconds that a soft NIC may take to start or to end."""


@dataclass
class _SoftNic:
    """The process that is two NICs and the cable between them."""

    process: subprocess.Popen[str]
    ends: tuple[End, End]

    def missing(self) -> list[str]:
        """Wait until the TAPs are there, and say what the kernel lacks."""
        assert self.process.stdout
        reply = json.loads(self.process.stdout.readline() or "{}")
        if "missing" not in reply:
            names = " and ".join(end.nic for end in self.ends)
            raise LabError(reply.get("error", "the soft NIC died at its start"), where=names)
        return list(reply["missing"])

    def stop(self) -> None:
        """Close its input, which ends it."""
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


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
    topology: Topology, *, say: Say = lambda _: None, standing_for: Path | None = None
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
        accesses: dict[str, Access] = {}
        for name in topology.hosts:
            say(f"host {name}: namespace {record.namespace(name)}")
            accesses[name] = make_host(record, name, user_key)

        softnics: list[_SoftNic] = []
        for pair in _cables(topology):
            ends = tuple(_end(topology, lab, record, nic) for nic in pair)
            say(f"link {' -- '.join(f'{end.nic} ({end.model})' for end in ends)}")
            softnics.append(_plug(ends[0], ends[1]))
            undo.callback(softnics[-1].stop)
        # Whatever runs in the hosts ends first, while its network still stands.
        undo.callback(end_processes, record)

        missing = dict.fromkeys(line for softnic in softnics for line in softnic.missing())
        for line in missing:
            say(line)
        pids = {end.nic: softnic.process.pid for softnic in softnics for end in softnic.ends}
        for nic in pids:
            _set_up(topology, lab, record, nic)
        resolved = _resolved(topology, lab, accesses)
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
        _firmware(topology.lab, nic)
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
    chosen = lab.firmwares.get(nic)
    return End(
        nic=nic,
        namespace=record.namespace(topology.host_of(nic)),
        interface=topology.nic(nic).interface,
        model=chosen.model if chosen else "good",
        knobs=chosen.knobs if chosen else {},
        counters=str(counters_file(record, nic)),
    )


def _firmware(lab: LoopbackLab, nic: str) -> firmwares.Firmware:
    chosen = lab.firmwares.get(nic)
    if chosen is None:
        return firmwares.check("good", {})
    return firmwares.check(chosen.model, chosen.knobs, where=f"lab.firmwares.{nic}")


def _plug(left: End, right: End) -> _SoftNic:
    process = subprocess.Popen(
        [sys.executable, "-m", "qualification.lab.softnic"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):  # then it has died, which its reply will tell
        process.stdin.write(json.dumps([left.json(), right.json()]) + "\n")
        process.stdin.flush()
    return _SoftNic(process, (left, right))


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


def _resolved(topology: Topology, lab: LoopbackLab, accesses: dict[str, Access]) -> Topology:
    """Write the topology that a run gets to see."""
    hosts: dict[str, Host] = {}
    for name, host in topology.hosts.items():
        access = accesses[name]
        nics = {}
        for nic_name, nic in host.nics.items():
            version = nic.firmware or str(_firmware(lab, f"{name}.{nic_name}"))
            nics[nic_name] = nic.model_copy(update={"firmware": version})
        ssh = Ssh(
            address=name,
            port=22,
            user="root",
            key=str(access.key),
            password=None,
            known_hosts=str(access.known_hosts),
            proxy_command=access.proxy_command,
            sudo=False,
        )
        hosts[name] = host.model_copy(update={"ssh": ssh, "nics": nics})
    return topology.model_copy(update={"hosts": hosts, "lab": None})
