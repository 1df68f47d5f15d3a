"""A lab that stays when the command that built it has ended.

A detached process, the keeper, owns it as a test run would own its lab, and is told to stop by
SIGTERM. If it is killed, its soft NICs end too, and the next lab on this machine sweeps up the
rest. A persistent lab is found by the topology file that it was built from.
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

from . import loopback, records
from .records import Record
from .softnic import counters

_TOPOLOGY = "topology.yaml"
_KEPT = "kept.json"

_PATIENCE = 30.0
"""Seconds that a keeper may take to end."""


@dataclass(frozen=True)
class PersistentHost:
    """A host of a persistent lab.

    Attributes:
        name: As in the topology.
        namespace: The name that `ip netns` knows.
        ssh: A command line that logs in.
    """

    name: str
    namespace: str
    ssh: str


@dataclass(frozen=True)
class PersistentNic:
    """A soft NIC of a persistent lab.

    Attributes:
        name: As host.nic.
        interface: Its name in the host.
        firmware: Model and knobs.
        pid: The process that is its hardware; None for a NIC in no pair, or one that has died.
        counters: What it has counted, by `counters.NAMES`.
    """

    name: str
    interface: str
    firmware: str
    pid: int | None
    counters: dict[str, int]


@dataclass(frozen=True)
class PersistentLab:
    """A lab that stands.

    Attributes:
        source: The topology file it was built from.
        topology: The file to run against: `vxqual run --topology` takes it as it is.
        keeper: Process id of its owner.
        missing: Sentences on what this kernel cannot offload to a soft NIC.
        hosts: Its hosts.
        nics: Their NICs.
        stood: It was there before `up` was called.
    """

    source: Path
    topology: Path
    keeper: int
    missing: tuple[str, ...]
    hosts: tuple[PersistentHost, ...]
    nics: tuple[PersistentNic, ...]
    stood: bool = False


def up(topology: Topology, path: Path) -> PersistentLab:
    """Build a lab and leave it standing.

    Args:
        topology: What to build.
        path: The file it came from, by which `down` and `status` find the lab.

    Returns:
        The lab; one that stands already is left as it is, even if the file has changed since.

    Raises:
        UsageError: As from `loopback.start`.
        LabError: As from `loopback.start`.
    """
    standing = status(path)
    if standing:
        return replace(standing, stood=True)
    loopback.check(topology)
    # A lab writes ssh sections of its own, and those of the file may hold secrets.
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
        said = keeper.stdout or log.read()
    built = status(path)
    if built is None:
        raise LabError(f"the lab could not be built: {said.strip()}", where=str(path))
    return built


def down(path: Path) -> bool:
    """Take a persistent lab away.

    Args:
        path: The topology file it was built from.

    Returns:
        Whether there was one.
    """
    record = records.standing(str(path.resolve()))
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
    """Look at a persistent lab.

    Args:
        path: The topology file it was built from.

    Returns:
        The lab, or None if there is none, or none yet.
    """
    record = records.standing(str(path.resolve()))
    if record is None:
        return None
    try:
        kept = json.loads((record.directory / _KEPT).read_text())
    except FileNotFoundError:
        return None
    resolved = record.directory / _TOPOLOGY
    topology = load(resolved)
    return PersistentLab(
        source=path.resolve(),
        topology=resolved,
        keeper=record.owner,
        missing=tuple(kept["missing"]),
        hosts=tuple(
            PersistentHost(name, record.namespace(name), _command_line(host.ssh))
            for name, host in topology.hosts.items()
            if host.ssh
        ),
        nics=tuple(
            _nic(record, f"{host_name}.{name}", nic, kept["pids"])
            for host_name, host in topology.hosts.items()
            for name, nic in host.nics.items()
        ),
    )


def _nic(record: Record, name: str, nic: NicSpec, pids: Mapping[str, int]) -> PersistentNic:
    pid = pids.get(name)
    return PersistentNic(
        name=name,
        interface=nic.interface,
        firmware=nic.firmware or "",
        pid=pid if pid and Path(f"/proc/{pid}").exists() else None,
        counters=counters.read(loopback.counters_file(record, name)) if pid else {},
    )


def _command_line(ssh: Ssh) -> str:
    options = {
        "UserKnownHostsFile": ssh.known_hosts,
        "IdentityFile": ssh.key,
        "IdentitiesOnly": "yes",
        "ProxyCommand": ssh.proxy_command,
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return shlex.join(["ssh", *words, f"{ssh.user}@{ssh.address}"])


def main() -> int:
    """Be the keeper: read a topology as JSON, build its lab, hold it until SIGTERM.

    Returns:
        0, also to whoever started it: standard output is closed once the lab stands, and if it
        could not be built, tells why.
    """
    order = sys.stdin.read()
    if os.fork():
        return 0  # so that the keeper is nobody's child
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGTERM, _end)
    try:
        topology = Topology.model_validate_json(order)
        with loopback.start(topology, standing_for=Path(sys.argv[1])) as lab:
            directory = lab.record.directory
            (directory / _TOPOLOGY).write_text(dump(lab.topology))
            (directory / _KEPT).write_text(json.dumps({"missing": lab.missing, "pids": lab.pids}))
            silence = os.open(os.devnull, os.O_RDWR)
            for stream in (sys.stdin, sys.stdout):
                os.dup2(silence, stream.fileno())
            while True:
                signal.pause()
    except VxqualError as error:
        print(error)
    return 0


def _end(_signum: int, _frame: object) -> None:
    """Leave by the usual way out, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
