"""Frames that arrived more often than they were submitted to the driver. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qualification.judge.evidence import Burst
from qualification.judge.statistics import fisher

from .loss import LEVEL, Reference

_TCP_MISCOUNT = 0.01
"""The share of TCP's frames by which the tx tap may be wrong: it computes them from the MSS that a
stream began with, and options of the header make some segments smaller."""


@dataclass(frozen=True)
class Duplication:
    """What is to be said of frames that arrived more often than they were submitted.

    Attributes:
        frames: How many too many.
        blamed: Whether the NIC sent them.
        text: A phrase for people.
    """

    frames: int
    blamed: bool
    text: str


def duplicated(bursts: Iterable[Burst]) -> int:
    """Returns how many frames arrived too many: datagrams delivered twice, or frames in excess."""
    return sum(map(_too_many, bursts))


def duplication_of(
    bursts: tuple[Burst, ...], protocol: str, reference: Reference | None
) -> Duplication | None:
    """Returns what is to be said of frames in excess; None where there are none.

    Args:
        bursts: The bursts of the cell.
        protocol: "tcp" or "udp".
        reference: What arrived too often with every offload off.
    """
    too_many = duplicated(bursts)
    submitted = sum(burst.sent.submitted.frames for burst in bursts)
    if not too_many or (protocol == "tcp" and too_many <= _TCP_MISCOUNT * submitted):
        return None
    twice = sum(burst.received.delivered.duplicates for burst in bursts)
    text = f"{too_many:,} more frames arrived than the {submitted:,} submitted to the driver"
    if twice:
        text += f", and {twice:,} datagrams were delivered twice"
    if reference is None:
        return None if protocol == "tcp" else Duplication(too_many, False, text)
    # Each frame may arrive many times, and counts as one that did.
    p = fisher(min(too_many, submitted), submitted, reference.duplicated, reference.frames)
    off = f"{reference.duplicated:,}" if reference.duplicated else "none"
    text += f"; with all offloads off {off} of {reference.frames:,}"
    if protocol == "tcp":
        return Duplication(too_many, False, text) if p < LEVEL else None
    return Duplication(too_many, p < LEVEL, text)


def _too_many(burst: Burst) -> int:
    submitted, seen = burst.sent.submitted, burst.received.captured
    if submitted.drops:  # the tap has not seen all that was submitted
        return burst.received.delivered.duplicates
    arrived = seen.frames + sum(seen.unjudged.values())
    return max(arrived - submitted.frames, burst.received.delivered.duplicates, 0)
