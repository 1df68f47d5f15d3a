"""The result of a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qualification.judge.evidence import Burst, Evidence
from qualification.judge.pace import PaceFound
from qualification.messages.receive import ReceiveResult


@dataclass(frozen=True)
class ControlResult:
    """How one control came out.

    Attributes:
        name: One of `qualification.plan.cells.CONTROLS`.
        trusted: Whether it came out the one way it must.
        reason: A sentence for people.
        frames: Frames judged.
        bad: Wrong frames among them.
        lost: Frames that never arrived.
        bursts: The evidence, by flow.
        expected: Number of injected frames that were made wrong, by the one layer wrong in them.
        good: Number of injected frames that were made right.
        received: What the peer received, by flow.
        blocked: Whether the path takes no such frames, which is no fault of it; only the control
            for tags sets it.
        pace: The pace that every burst keeps, and how it was found; only "all-off" has it.
    """

    name: str
    trusted: bool
    reason: str
    frames: int = 0
    bad: int = 0
    lost: int = 0
    bursts: Mapping[str, Burst] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    good: int = 0
    received: Mapping[str, ReceiveResult] = field(default_factory=dict)
    blocked: bool = False
    pace: PaceFound | None = None

    @property
    def evidence(self) -> Evidence:
        """The evidence in the form that cells have."""
        return Evidence(
            effective={},
            bursts=tuple(self.bursts.values()),
            received=tuple(self.received.values()),
        )
