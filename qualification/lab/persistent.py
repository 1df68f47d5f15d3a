"""A persistent lab: one that stays up after the command that built it has ended.

A detached process, the keeper, owns it as a test run owns its lab; SIGTERM stops it. If the keeper
is killed, its soft NICs end too, and the next lab on this machine removes the rest. A persistent
lab is found by the topology file that it was built from.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from qualification.errors import LabError, VxqualError
from qualification.topology import NicSpec, Ssh, Topology, dump, load

from . import build, loopback, records
from .records import Record
from .softnic import counters

_TOPOLOGY = "topology.yaml"
_DETAILS = "details.json"

_PATIENCE = 30.0
"""Seconds that a keeper may take to end before it is killed."""


@dataclass(frozen=True)
class PersistentHost:
    """A host of a persistent lab.

    Attributes:
        name: Its name in the topology.
        place: What it is: a namespace by its name for `ip netns`, or a virtual machine.
        ssh: A command line that logs in.
    """

    name: str
    place: str
    ssh: str


@dataclass(frozen=True)
class PersistentNic:
    """A soft NIC of a persistent lab.

    Attributes:
        name: Host and NIC, as host.nic.
        interface: The name of its interface in the host.
        firmware: Model and knobs of its firmware.
        pid: Process id of its soft NIC process; None if the NIC is in no pair, or if the process
            has ended.
        counters: Its counters, by `counters.NAMES`.
    """

    name: str
    interface: str
    firmware: str
    pid: int | None
    counters: dict[str, int]


@dataclass(frozen=True)
class PersistentLab:
    """A persistent lab that is up.

    Attributes:
        source: The topology file that it was built from.
        topology: The topology file of its hosts, for `vxqual run`.
        keeper: Process id of its owner.
        missing: Sentences on what this kernel cannot offload to a soft NIC.
        hosts: Its hosts.
        nics: Their NICs.
        already_up: Whether it was up before `up` was called.
    """

    source: Path
    topology: Path
    keeper: int
    missing: tuple[str, ...]
    hosts: tuple[PersistentHost, ...]
    nics: tuple[PersistentNic, ...]
    already_up: bool = False


def up(topology: Topology, path: Path) -> PersistentLab:
    """Builds a lab and leaves it up.

    Args:
        topology: The topology of the lab.
        path: The file that it was loaded from, by which `down` and `status` find the lab.

    Returns:
        The lab. If it is up already it is left as it is, even if the file has changed since.

    Raises:
        UsageError: The topology asks for something that soft NICs do not have.
        LabError: This machine lacks something, or a part of the lab cannot be made.
    """
    existing = status(path)
    if existing:
        return replace(existing, already_up=True)
    build.check(topology)
    # The lab writes ssh sections of its own, and those of the file may contain secrets.
    hosts = {name: host.model_copy(update={"ssh": None}) for name, host in topology.hosts.items()}
    order = topology.model_copy(update={"hosts": hosts}).model_dump_json()
    with tempfile.TemporaryFile("w+") as log:
        keeper = subprocess.run(
            [sys.executable, "-m", "qualification.lab.persistent", str(path.resolve())],
            input=order,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
        )
        log.seek(0)
        output = keeper.stdout or log.read()
    built = status(path)
    if built is None:
        raise LabError(f"the lab could not be built: {output.strip()}", where=str(path))
    return built


def down(path: Path) -> bool:
    """Removes a persistent lab.

    Args:
        path: The topology file that it was built from.

    Returns:
        Whether there was one.
    """
    record = records.find_persistent(str(path.resolve()))
    if record:
        until = time.monotonic() + _PATIENCE
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.owner, signal.SIGTERM)
            while record.alive():
                if time.monotonic() > until:
                    os.kill(record.owner, signal.SIGKILL)
                time.sleep(0.05)
    records.sweep()
    return record is not None


def status(path: Path) -> PersistentLab | None:
    """Returns a persistent lab.

    Args:
        path: The topology file that it was built from.

    Returns:
        The lab, or None if there is none or if it is not up yet.
    """
    record = records.find_persistent(str(path.resolve()))
    if record is None:
        return None
    try:
        details = json.loads((record.directory / _DETAILS).read_text())
    except FileNotFoundError:
        return None
    resolved = record.directory / _TOPOLOGY
    topology = load(resolved)
    return PersistentLab(
        source=path.resolve(),
        topology=resolved,
        keeper=record.owner,
        missing=tuple(details["missing"]),
        hosts=tuple(
            PersistentHost(name, _place(record, name, details["pids"]), _command_line(host.ssh))
            for name, host in topology.hosts.items()
            if host.ssh
        ),
        nics=tuple(
            _nic(record, f"{host_name}.{name}", nic, details["pids"])
            for host_name, host in topology.hosts.items()
            for name, nic in host.nics.items()
        ),
    )


def _nic(record: Record, name: str, nic: NicSpec, pids: Mapping[str, int]) -> PersistentNic:
    # In a QEMU lab one process is the hardware of all NICs of a host.
    pid = pids.get(name) or pids.get(name.partition(".")[0])
    counted = loopback.counters_file(record, name)
    return PersistentNic(
        name=name,
        interface=nic.interface,
        firmware=nic.firmware or "",
        pid=pid if pid and Path(f"/proc/{pid}").exists() else None,
        counters=counters.read(counted) if counted.exists() else {},
    )


def _place(record: Record, host: str, pids: Mapping[str, int]) -> str:
    if host in pids:
        return f"virtual machine, QEMU has pid {pids[host]}"
    return f"namespace {record.namespace(host)}"


def _command_line(ssh: Ssh) -> str:
    options = {
        "UserKnownHostsFile": ssh.known_hosts,
        "IdentityFile": ssh.key,
        "IdentitiesOnly": "yes",
        "ProxyCommand": ssh.proxy_command,
        "Port": ssh.port,
    }
    words = [word for name, value in options.items() if value for word in ("-o", f"{name}={value}")]
    return shlex.join(["ssh", "-F", "none", *words, f"{ssh.user or 'root'}@{ssh.address}"])


def main() -> int:
    """Runs the keeper: reads a topology as JSON, builds its lab, and waits for SIGTERM.

    The calling process returns at once, and the keeper goes on in the background. The keeper closes
    standard output when the lab is up; if the lab could not be built it prints the reason first.

    Returns:
        0, in both processes.
    """
    order = sys.stdin.read()
    if os.fork():
        return 0  # the keeper is not to be a child of the command
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGTERM, _end)
    try:
        topology = Topology.model_validate_json(order)
        with build.start(topology, persistent_for=Path(sys.argv[1])) as lab:
            directory = lab.record.directory
            (directory / _TOPOLOGY).write_text(dump(lab.topology))
            details = {"missing": lab.missing, "pids": dict(lab.pids)}
            (directory / _DETAILS).write_text(json.dumps(details))
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (sys.stdin, sys.stdout):
                os.dup2(silence, stream.fileno())
            while True:
                signal.pause()
    except VxqualError as error:
        print(error)
    return 0


def _end(_signum: int, _frame: object) -> None:
    """Ends the keeper the usual way, once, so that its lab is removed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
