"""Judges all frames of a capture: C as far as it goes, the reference for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qualification.wire.capture_reader import CaptureFileError, CutShortError

from .counting import Counting
from .native_walk import NativeCounting

if TYPE_CHECKING:
    from collections.abc import Callable

    from qualification.wire.capture_reader import Reader

    from .counting import KeptFrame

MOST_TROUBLES = 100
"""Damaged places of a capture, behind which it is not read on."""


def count_capture(
    reader: Reader,
    ports: frozenset[int],
    keep: int = 16,
    progress: Callable[[int], None] | None = None,
    each: Callable[[KeptFrame], object] | None = None,
) -> Counting:
    """Judges and counts all frames of a capture.

    Args:
        reader: The capture.
        ports: UDP ports that somebody named as those of VXLAN.
        keep: The most frames to keep of each bucket, or to hand on.
        progress: Called from time to time with the number of frames so far.
        each: Gets the frames that would be kept, which then are not, until it returns False.

    Raises:
        CaptureFileError: The capture is damaged before its first frame. What comes later is noted
            in the result, and the count goes on behind it where the format allows.
        NativeMismatchError: The C implementation and the reference judge a frame differently.
    """
    counting = Counting(ports, [keep] * 3, each)
    fast = NativeCounting.of(reader, counting)
    try:
        _count(reader, counting, fast, progress)
        if fast is not None:
            fast.collect()
    finally:
        if fast is not None:
            fast.close()
    return counting


def _count(
    reader: Reader,
    counting: Counting,
    fast: NativeCounting | None,
    progress: Callable[[int], None] | None,
) -> None:
    number = 0
    while True:
        try:
            if fast is not None and fast.run():
                taken = False
            elif (record := reader.next_record()) is None:
                break
            else:
                counting.take(reader.number, record)
                taken = True
            if progress is not None and (not taken or reader.number - number >= 4096):
                number = reader.number
                progress(number)
        except CutShortError as error:
            counting.troubles.append(str(error))
            break
        except CaptureFileError as error:
            if not reader.number:
                raise
            counting.troubles.append(str(error))
            if len(counting.troubles) == MOST_TROUBLES or not reader.recover():
                break
        except KeyboardInterrupt:
            counting.interrupted = True
            break
