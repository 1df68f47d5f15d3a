"""Whole runs of the `vxqual` command, on labs of soft NICs."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

VXQUAL = Path(sys.executable).with_name("vxqual")
ALONE = "not vlan and not load and not both"
"""Leaves the extra flows out: those with a VLAN tag, under load, and with reverse traffic."""
SMALL = ("--plan", "quick", "--rate", "0.05", "--confidence", "0.9")
SOME = "--partial-ok"
"""For runs of a selection, so that their exit code is 0 where nothing fails."""
TOPOLOGIES = Path(__file__, "../../../topologies").resolve()

Edit = Callable[[dict[str, Any]], object]


def vxqual(
    *args: object, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end; stderr is merged into stdout, as in a terminal."""
    return subprocess.run(
        [VXQUAL, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=timeout,
        env=os.environ | {"COLUMNS": "100"} | environment,
    )


@contextlib.contextmanager
def running(*args: object) -> Iterator[subprocess.Popen[str]]:
    """Run the command as a process, which is killed at the end."""
    with subprocess.Popen(
        [VXQUAL, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the output of a process up to the first line that contains a text."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it never printed {text!r}: {said}")


def four_only(text: str) -> str:
    """Returns a topology without its IPv6 addresses, which has half as many flows."""
    return re.sub(r', "fd00:[^"]*"', "", text)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def eventually(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait until a condition is true."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"still not true after {seconds} s"
        time.sleep(0.05)


def rows(out: Path) -> dict[str, dict[str, Any]]:
    """The cells of the latest run by their ids, without the pair."""
    document = json.loads((out / "latest/matrix.json").read_text())
    return {cell["id"]: cell for cell in document["cells"]}


@dataclass(frozen=True)
class Persistent:
    """A persistent lab of two hosts, with IPv4 alone so that controls are short.

    Attributes:
        source: The file it was built from.
        topology: What `vxqual lab up` printed to run against.
        said: All that `vxqual lab up` printed.
    """

    source: Path
    topology: Path
    said: str

    @property
    def document(self) -> dict[str, Any]:
        """A copy of the resolved topology, to change."""
        loaded: dict[str, Any] = copy.deepcopy(YAML(typ="safe").load(self.topology))
        return loaded

    def namespace(self, host: str) -> str:
        return f"vxq-{self.topology.parent.name}-{host}"

    def ip(self, host: str, *args: str) -> str:
        return run("ip", "-n", self.namespace(host), *args)

    def inside(self, host: str, *command: str) -> str:
        return run("ip", "netns", "exec", self.namespace(host), *command)

    def pids(self) -> list[int]:
        """Ids of the processes on its hosts: sshd and agents."""
        words = [run("ip", "netns", "pids", self.namespace(h)).split() for h in ("alpha", "bravo")]
        return [int(word) for some in words for word in some]

    def state(self) -> dict[str, str]:
        """What must be the same before and after a run, by host and command."""
        # Other labs on this machine may start and stop in the meantime.
        names = [n for n in run("ip", "netns").split() if not n.startswith("vxq-")]
        return {"ip netns": " ".join(names)} | {
            f"{host}: {' '.join(command)}": self.inside(host, *command)
            for host in ("alpha", "bravo")
            for command in (
                ("ip", "-d", "link"),
                ("ip", "addr"),
                ("ip", "route", "show", "table", "all"),
                ("ethtool", "-k", "port0"),
            )
        }


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Persistent]:
    """A persistent lab; tests put back what they change in it."""
    source = tmp_path_factory.mktemp("persistent") / "two.yaml"
    source.write_text(four_only((TOPOLOGIES / "loopback.yaml").read_text()))
    done = vxqual("lab", "up", source)
    try:
        assert done.returncode == 0, done.stdout
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("qualify it:"))
        found = Persistent(source, Path(line.split()[-1]), done.stdout)
        for host in ("alpha", "bravo"):  # link-local addresses are being probed at first
            eventually(lambda host=host: "tentative" not in found.ip(host, "address"))
        yield found
    finally:
        gone = vxqual("lab", "down", source)
    assert gone.stdout == f"the lab of {source} is down\n"


@pytest.fixture
def changed(lab: Persistent, tmp_path: Path) -> Callable[[Edit], Path]:
    """`changed(edit)`: the persistent lab's topology with a change, as a file."""

    def change(edit: Edit) -> Path:
        document = lab.document
        edit(document)
        path = tmp_path / "changed.yaml"
        path.write_text(json.dumps(document))
        return path

    return change
