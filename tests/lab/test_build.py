"""The choice of a lab by its kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from qualification.errors import UsageError
from qualification.lab import build, loopback
from qualification.lab.qemu import lab
from qualification.progress import Progress
from qualification.topology import QemuLab, Topology


def test_the_kind_selects_the_lab(
    two_hosts: Callable[..., Topology], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(kind: str) -> Callable[..., tuple[str, Topology, Progress]]:
        def started(
            topology: Topology, *, say: Progress, persistent_for: object
        ) -> tuple[str, Topology, Progress]:
            return kind, topology, say

        return started

    monkeypatch.setattr(loopback, "start", start("loopback"))
    monkeypatch.setattr(lab, "start", start("qemu"))
    topology = two_hosts()
    assert build.start(topology, say=print) == ("loopback", topology, print)
    topology = topology.model_copy(update={"lab": QemuLab(kind="qemu")})
    assert build.start(topology, say=print) == ("qemu", topology, print)


def test_only_a_qemu_lab_has_an_image(two_hosts: Callable[..., Topology]) -> None:
    with pytest.raises(UsageError, match="only a QEMU lab boots from an image"):
        build.prepare(two_hosts(), print)


def test_a_topology_without_a_lab(two_hosts: Callable[..., Topology]) -> None:
    real = two_hosts().model_copy(update={"lab": None})
    for start in (build.start, loopback.start):
        with pytest.raises(UsageError, match="lab to build\n  next: add lab"):
            start(real)


def test_no_kind_is_imported_before_it_is_built() -> None:
    code = "import sys, qualification.lab.build; sys.exit('qualification.lab.hosts' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
