"""Builds the lab that a topology asks for, of whatever kind it is.

    with build.start(load("topologies/loopback.yaml"), say=print) as lab:
        qualify(lab.topology)

Each kind is imported only when it is built. A new kind is a model in `topology.lab` and a case in
`start`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.topology import LoopbackLab, Topology


class BuiltLab(Protocol):
    """A lab that is up, of any kind. As a context manager it stops the lab at the end."""

    @property
    def topology(self) -> Topology:
        """The hosts as real ones: each has an `ssh` section, and there is no lab."""

    @property
    def missing(self) -> tuple[str, ...]:
        """Sentences on what this machine cannot offload."""

    def stop(self) -> None:
        """Removes the lab. Does nothing the second time."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def start(topology: Topology, *, say: Progress = lambda _: None) -> BuiltLab:
    """Builds the lab that a topology asks for.

    Args:
        topology: A topology with a lab.
        say: Is called with lines about the progress.

    Raises:
        UsageError: The topology has no lab, or asks for something that the lab cannot do.
        LabError: This machine lacks something, or a part of the lab cannot be made.
    """
    match topology.lab:
        case None:
            raise UsageError("the topology has no lab to build", hint="add lab: {kind: loopback}")
        case LoopbackLab():
            from . import loopback  # noqa: PLC0415

            return loopback.start(topology, say=say)
