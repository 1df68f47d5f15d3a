"""Builds the lab that a topology asks for, of whatever kind it is.

    with build.start(load("topologies/loopback.yaml"), say=print) as lab:
        qualify(lab.topology)

Each kind is imported only when it is built. A new kind is a model in `topology.lab` and a case in
`start`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.topology import LoopbackLab, QemuLab, Topology

if TYPE_CHECKING:
    from .records import Record


class BuiltLab(Protocol):
    """A lab that is up, of any kind. As a context manager it stops the lab at the end."""

    @property
    def topology(self) -> Topology:
        """The hosts as real ones: each has an `ssh` section, and there is no lab."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Sentences on what this machine cannot do."""

    @property
    def record(self) -> Record:
        """The lab's names and paths on this machine."""

    @property
    def pids(self) -> Mapping[str, int]:
        """Process id of what stands in for hardware: by NIC, `host.nic`, or by host."""

    @property
    def wires(self) -> Mapping[str, tuple[str, str]]:
        """Where the wire of each NIC can be recorded, by `host.nic`; see `qemu.recording`."""

    def stop(self) -> None:
        """Removes the lab. Does nothing the second time."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def start(
    topology: Topology, *, say: Progress = lambda _: None, persistent_for: Path | None = None
) -> BuiltLab:
    """Builds the lab that a topology asks for.

    Args:
        topology: A topology with a lab.
        say: Is called with lines about the progress.
        persistent_for: The topology's file, for a lab that is found by it (see `persistent`).

    Raises:
        UsageError: The topology has no lab, or asks for something that the lab cannot do.
        LabError: This machine lacks something, or a part of the lab cannot be made.
    """
    match topology.lab:
        case None:
            raise UsageError("the topology has no lab to build", hint="add lab: {kind: loopback}")
        case LoopbackLab():
            from . import loopback  # noqa: PLC0415

            return loopback.start(topology, say=say, persistent_for=persistent_for)
        case QemuLab():
            from .qemu import lab  # noqa: PLC0415

            return lab.start(topology, say=say, persistent_for=persistent_for)


def check(topology: Topology) -> None:
    """Checks all that can be checked before anything is made; raises as `start` does."""
    match topology.lab:
        case QemuLab():
            from .qemu import lab  # noqa: PLC0415

            lab.check(topology)
        case _:
            from . import loopback  # noqa: PLC0415

            loopback.check(topology)


def prepare(topology: Topology, say: Progress) -> list[str]:
    """Makes what the lab of a topology boots from and keeps on disk.

    Args:
        topology: A topology with a QEMU lab; other labs keep nothing on disk.
        say: Is called with lines about what takes time.

    Returns:
        Sentences on what there is now.

    Raises:
        UsageError: The lab is of another kind.
        LabError: Something cannot be had.
    """
    if not isinstance(topology.lab, QemuLab):
        raise UsageError(
            "only a QEMU lab boots from an image",
            where="lab",
            hint="name a topology with lab: {kind: qemu, …}; `vxqual init lab` has one",
        )
    from qualification.lab.qemu.image import prepare  # noqa: PLC0415
    from qualification.lab.qemu.wiring import models  # noqa: PLC0415

    wanted = set(models(topology, topology.lab).values())
    return prepare.prepare(topology.lab, wanted, say).sentences()
