"""Results of two captures of the same frames, which differ in the right frames that they keep."""

from __future__ import annotations

from dataclasses import replace

from qualification.messages.bursts import CaptureResult


def without_counterparts(seen: CaptureResult) -> CaptureResult:
    """Returns a result without the right frames beside wrong ones.

    Which right frames are near a wrong one depends on how each ring is filled.
    """
    return replace(seen, samples=tuple(replace(sample, counterpart="") for sample in seen.samples))
