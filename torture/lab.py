"""A persistent loopback lab, the state of its hosts, and the processes on them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qualification.errors import LabError
from qualification.lab import persistent, records
from qualification.topology import load

VXQUAL = Path(sys.executable).with_name("vxqual")
LOOPBACK = Path(__file__).resolve().parents[1] / "topologies/loopback.yaml"
HOSTS = ("alpha", "bravo")
_STATE = (
    ("ip", "-d", "link"),
    ("ip", "addr"),
    ("ip", "route", "show", "table", "all"),
    ("tc", "qdisc"),
    *(("ethtool", flag, "port0") for flag in ("-k", "-g", "-l", "-c")),
)
GONE_SECONDS = 60.0
"""Seconds after which nothing of a run that has ended may be left on a host."""
_POLL_SECONDS = 0.02
_ADDRESS_SECONDS = 20.0
"""Seconds that duplicate address detection may take."""


@dataclass(frozen=True)
class Lab:
    """A persistent lab of the two hosts of topologies/loopback.yaml, with IPv4 alone and no VLAN.

    Attributes:
        source: The topology file that it is built from.
    """

    source: Path

    @property
    def topology(self) -> Path:
        """The topology file to run against."""
        return self._up.topology

    @property
    def _up(self) -> persistent.PersistentLab:
        found = persistent.status(self.source)
        if found is None:
            raise LabError("the lab is not up", where=str(self.source))
        return found

    def namespace(self, host: str) -> str:
        """Returns the name of a host's network namespace."""
        return f"vxq-{self.topology.parent.name}-{host}"

    def inside(self, host: str, *command: str) -> str:
        """Returns what a command prints on a host."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.namespace(host), *command],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def processes(self, host: str) -> dict[int, str]:
        """Returns the command lines of the processes on a host, by their ids."""
        # As `ip netns pids` does; starting that command fifty times a second is not for free.
        wanted = _inode(records.NAMESPACES / self.namespace(host))
        found = {
            int(path.parts[2]): path
            for path in Path("/proc").glob("[0-9]*/ns/net")
            if _inode(path) == wanted is not None
        }
        return {pid: line for pid in found if (line := command_line(pid))}

    def state(self) -> dict[str, str]:
        """Returns what must be the same before and after a run, by host and command."""
        found = {
            f"{host}: {' '.join(command)}": self.inside(host, *command)
            for host in HOSTS
            for command in _STATE
        }
        journals = self.topology.parent.glob("**/journals/*")
        return found | {"journals": "\n".join(str(path) for path in sorted(journals))}

    def left(self) -> list[str]:
        """Waits until no process of a run is left on a host; returns a sentence if some stay."""
        if await_that(lambda: not any(map(self.processes, HOSTS)), GONE_SECONDS):
            return []
        return [f"processes are left: {[self.processes(host) for host in HOSTS]}"]

    def changed(self, before: Mapping[str, str]) -> list[str]:
        """Returns what is not as it was: a sentence for each command that prints something else."""
        now = self.state()
        return [
            f"{name} was\n{text}\nand is now\n{now[name]}"
            for name, text in before.items()
            if now[name] != text
        ]


def labs_of(owner: int) -> list[str]:
    """Returns a sentence for each lab that a process has built and left behind."""
    return [
        f"process {owner} has left its lab {path.parent.name} behind"
        for path in records.ROOT.glob("*/state.json")
        if json.loads(path.read_text()).get("owner") == owner
    ]


def _inode(namespace: Path) -> int | None:
    """Returns what tells a network namespace from others; None where it is gone."""
    try:
        return namespace.stat().st_ino
    except OSError:
        return None


def command_line(pid: int) -> str:
    """Returns the command line of a process; empty where it has ended."""
    try:
        return (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        )
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """Returns the ids of a process's children."""
    with contextlib.suppress(OSError):
        texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
        return [int(word) for text in texts for word in text.split()]
    return []


def descendants(pid: int) -> list[int]:
    """Returns the ids of a process's children, of theirs, and so on."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


@contextlib.contextmanager
def lab(scratch: Path, name: str, firmwares: str = "") -> Iterator[Lab]:
    """Builds a lab for the time of a context.

    Args:
        scratch: Where its topology file is written.
        name: The file's name.
        firmwares: YAML of the firmwares of its soft NICs, such as "{alpha.port0: {model: lossy}}".
    """
    text = LOOPBACK.read_text()
    for extra in (', "fd00:18::1/64"', ', "fd00:18::2/64"', ", vlan: 3725"):
        text = text.replace(extra, "")
    source = scratch / f"{name}.yaml"
    source.write_text(text + (f"  firmwares: {firmwares}\n" if firmwares else ""))
    try:
        build(source)
        yield Lab(source)
    finally:
        persistent.down(source)


def build(source: Path) -> None:
    """Builds a lab, and waits until its addresses can be used."""
    built = Lab(persistent.up(load(source), source).source)
    for host in HOSTS:
        await_that(partial(_addresses_usable, built, host), _ADDRESS_SECONDS)


def _addresses_usable(lab: Lab, host: str) -> bool:
    return "tentative" not in lab.inside(host, "ip", "address")


def rebuild(lab: Lab) -> None:
    """Takes a lab down and builds it again, as a host that was installed anew."""
    persistent.down(lab.source)
    build(lab.source)


def await_that(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits until a condition holds; returns whether it does."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def kill(pid: int, number: int) -> bool:
    """Sends a signal to a process; returns whether it was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
