"""The pace at which a pair's path loses nothing with every offload off. Pure.

A path has a pace that it carries: a slow NIC, link, switch or virtual machine drops what comes
faster, whatever the NIC under test does. The pace is halved until a whole burst arrives, and every
burst of the run keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

FASTEST = 100_000
"""Frames per second of the first try. Any host's kernel makes them one by one."""
SLOWEST = 100
"""Frames per second below which no slower pace is tried."""
_SPARE = 0.8
"""The share of a pace that is kept where a faster one lost frames: a queue on the way may have held
what the burst had too much of, and a longer burst would lose it."""
_TRIES = 4
"""Tries after which losses that a slower pace does not lessen have other causes."""
_LEVEL = 0.01
"""p-value of Fisher's exact test below which a slower pace is taken to lose less."""


@dataclass(frozen=True)
class PaceTry:
    """One burst at one pace.

    Attributes:
        pace: Frames per second.
        frames: Frames submitted to the driver.
        lost: Of those, frames that the peer's capture did not see, or its sockets had no room for.
    """

    pace: int
    frames: int
    lost: int


@dataclass(frozen=True)
class PaceFound:
    """The pace of a pair, and the bursts by which it was found.

    Attributes:
        pace: Frames per second that every burst of the run keeps, except under load.
        lossless: Whether a burst was lossless at that pace or a faster one. Where none was, the
            losses of the path have other causes than the pace.
        tries: The bursts, in order.
    """

    pace: int
    lossless: bool
    tries: tuple[PaceTry, ...]

    @property
    def lowered(self) -> bool:
        """Whether a faster pace was lossy."""
        return self.lossless and len(self.tries) > 1

    @property
    def reason(self) -> str:
        """A phrase on what was lost at a faster pace, or at any; empty where nothing was."""
        first, last = self.tries[0], self.tries[-1]
        if not self.lossless:
            return (
                f"{first.lost:,} of {first.frames:,} frames lost at {first.pace:,} frames/s, "
                f"{last.lost:,} of {last.frames:,} at {last.pace:,} frames/s"
            )
        if not self.lowered:
            return ""
        faster = self.tries[-2]
        return f"{faster.lost:,} of {faster.frames:,} frames lost at {faster.pace:,} frames/s"

    def __str__(self) -> str:
        """Returns the pace and the reason for it."""
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.pace:,} frames/s{reason}"


def first_pace(speeds: tuple[int | None, ...], mtu: int) -> int:
    """Returns the first pace to try: that of the slowest link, `FASTEST` at most.

    Args:
        speeds: Speed of each NIC, Mbit/s; None or less than 1 where it is unknown.
        mtu: Of the link, bytes.
    """
    frame_bits = 8 * (mtu + 38)  # with Ethernet's preamble, header, FCS and gap
    known = [speed * 1_000_000 // frame_bits for speed in speeds if speed and speed > 0]
    return max(SLOWEST, min([FASTEST, *known]))


def next_pace(tries: tuple[PaceTry, ...]) -> int | None:
    """Returns the pace to try next; None where there is nothing more to try."""
    last, first = tries[-1], tries[0]
    if not last.lost or last.pace // 2 < SLOWEST or not last.frames or last.lost == last.frames:
        return None
    if len(tries) >= _TRIES and 2 * first.lost < first.frames:
        # A queue that overflows loses less at an eighth of the pace.
        from .statistics import fisher  # noqa: PLC0415

        if fisher(first.lost, first.frames, last.lost, last.frames) > _LEVEL:
            return None
    return last.pace // 2


def pace_found(tries: tuple[PaceTry, ...]) -> PaceFound:
    """Returns the pace of a pair.

    Where no pace is lossless, that of the first try is kept: a slower one would gain nothing.

    Args:
        tries: Bursts up to one after which `next_pace` returned None.
    """
    last = tries[-1]
    if last.lost or not last.frames:
        return PaceFound(tries[0].pace, False, tries)
    return PaceFound(last.pace if len(tries) == 1 else int(last.pace * _SPARE), True, tries)
