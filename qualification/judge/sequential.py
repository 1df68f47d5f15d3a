"""Decides when a cell has sent enough frames: stop when decided, go on when not. Pure.

Three rules keep the error rates as they are claimed. A clean cell stops at the demand's number of
frames and no sooner, which is the fixed sample whose excluded rate is exact; stopping at a bad
frame before cannot make a PASS. A bad frame is wrong whatever the rate, so FAIL needs no
statistics. And a rate that is measured by going on until it is known well is reported with an
interval that is corrected for every look: `statistics.rate_after`.
"""

from __future__ import annotations

from math import ceil

from .statistics import rate_after
from .verdict import Demand

HALF_WIDTH = 0.5
"""A rate is known well enough to act on when its interval's half width is this share of it."""
MOST = 2
"""Most frames of a cell with bad frames, in multiples of the demand. A rare fault's rate may cost
as much again as its PASS would have, and no more."""
_LEAST = 1_000
_BAD_FRAMES = 60
"""With so many bad frames the half width is below `HALF_WIDTH` at the usual confidences."""


def still_wanted(done: int, bad: int, looks: int, demand: Demand) -> int:
    """Returns the frames that a cell still has to send before it is judged; 0 when it is decided.

    Args:
        done: Frames so far that the NIC had its part in.
        bad: Wrong frames so far.
        looks: Bursts so far.
        demand: What a PASS has to exclude.
    """
    if not bad:
        return max(0, demand.frames - done)
    left = MOST * demand.frames - done
    frames = max(done, bad)
    known = rate_after(bad, frames, demand.confidence, looks)
    if left <= 0 or known.high - known.low <= 2 * HALF_WIDTH * bad / frames:
        return 0
    return min(left, max(_LEAST, ceil(frames * (_BAD_FRAMES / bad - 1))))
