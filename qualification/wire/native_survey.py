"""`survey` of a capture file, by the C implementation where there is one.

The C implementation takes record after record of what is in memory, counts distinct outcomes, and says where
wrong frames are. All that is out of the ordinary it leaves where it is, for the Python that is the
reference: the first bytes of a file, other link types, damage, and the wrong frames themselves.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from .capture_file import COOKED, ETHERNET, CutShortError, PcapngReader, PcapReader
from .native import REASONS, KeyCounter, Native, NativeMismatchError, native_for
from .survey import FlowKey, SurveyCounter
from .verify import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from .capture_file import Reader
    from .layers import Checked
    from .survey import Survey

_SKIP = {ETHERNET: 0, COOKED: 2}
"""Link type to the bytes that lie before what can be taken for an Ethernet header."""

_OUTCOME = "32sQQ"  # a key, as `outcome` makes it
_NATIVE_ORDER = "<" if sys.byteorder == "little" else ">"


class _WrongFrame(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int64) for name in ("number", "at", "captured", "wire_length")]


class _Survey(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("at", ctypes.c_int64),
        ("size", ctypes.c_int64),
        ("number", ctypes.c_int64),
        ("skips", ctypes.POINTER(ctypes.c_int16)),
        ("interfaces", ctypes.c_uint32),
        ("blocks", ctypes.c_uint32),
        ("swapped", ctypes.c_uint32),
        ("port_count", ctypes.c_uint32),
        ("ports", ctypes.POINTER(ctypes.c_uint16)),
        ("tally", ctypes.POINTER(KeyCounter)),
        ("wrong", ctypes.POINTER(_WrongFrame)),
        ("wrong_capacity", ctypes.c_uint32),
        ("wrong_used", ctypes.c_uint32),
    ]


def native() -> Native:
    """What judges captures: the C implementation, or Python and why."""
    return native_for(__file__)


def survey_capture(
    reader: Reader,
    ports: frozenset[int],
    keep: int = 16,
    each: Callable[[int, Checked], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Survey, str | None]:
    """Check all frames of a capture and count, as `survey` does.

    Args:
        reader: The capture.
        ports: UDP destination ports that mean VXLAN.
        keep: How many wrong frames to keep.
        each: Called with number and outcome of every frame, each of them judged in Python.
        progress: Called now and then with the number of frames so far.

    Returns:
        What was found, and None or how the capture is cut short.

    Raises:
        CaptureFileError: It is damaged, or of another link type.
        NativeMismatchError: C and Python do not agree on a wrong frame.
    """
    counting = SurveyCounter(ports, keep)
    library = None if each else native().library
    fast = None if library is None else _Fast(library, reader, counting)
    number = 0
    try:
        while True:
            if fast is not None and fast.run():
                frame = None
            elif (frame := reader.next()) is None:
                break
            else:
                checked = counting.take(reader.number, *frame)
                if each is not None:
                    each(reader.number, checked)
            if progress is not None and (frame is None or reader.number - number >= 4096):
                number = reader.number
                progress(number)
    except CutShortError as error:
        return counting.survey(), str(error)
    return counting.survey(), None


class _Fast:
    """The C implementation at work on a reader's window."""

    def __init__(self, library: ctypes.CDLL, reader: Reader, counting: SurveyCounter) -> None:
        self._run = library.vx_survey
        self._run.argtypes, self._run.restype = (ctypes.POINTER(_Survey),), None
        self._reader, self._counting = reader, counting
        self._tally = KeyCounter.of(4096, _OUTCOME)
        self._seen: tuple[str, list[int]] | None = None
        self._wrong = (_WrongFrame * counting.keep)()
        ports = sorted(counting.ports)
        self._survey = _Survey(
            ports=(ctypes.c_uint16 * len(ports))(*ports),
            port_count=len(ports),
            tally=ctypes.pointer(self._tally),
            wrong=self._wrong,
        )

    def run(self) -> bool:
        """Judges what it can of what is in memory; False if that is not a single frame."""
        reader, window, survey = self._reader, self._reader.window, self._survey
        if window.end - window.at < len(window.data) // 2:
            window.read_on()
        self._see_links()
        address = ctypes.addressof(ctypes.c_char.from_buffer(window.data))
        survey.data, survey.at, survey.size = address, window.at, window.end
        survey.number = reader.number
        survey.wrong_capacity = self._counting.keep - len(self._counting.bad_frames)
        survey.wrong_used = 0
        self._run(ctypes.byref(survey))
        for place in self._wrong[: survey.wrong_used]:
            self._keep(place)
        progressed = bool(survey.number != reader.number)
        if not progressed or self._tally.used > self._tally.capacity // 2:
            self._count()
        window.at, reader.number = survey.at, survey.number
        return progressed

    def _see_links(self) -> None:
        """Tells what kind of records there are, as of now."""
        reader, survey = self._reader, self._survey
        if isinstance(reader, PcapReader):
            links = [reader.link]
        else:
            assert isinstance(reader, PcapngReader)
            links = [interface[0] for interface in reader.interfaces]
            survey.blocks = 1
        if (reader.order, links) == self._seen:
            return
        self._seen = reader.order, links
        survey.swapped = reader.order != _NATIVE_ORDER
        survey.interfaces = len(links)
        survey.skips = (ctypes.c_int16 * len(links))(*(_SKIP.get(link, -1) for link in links))

    def _keep(self, place: _WrongFrame) -> None:
        """Keeps a wrong frame, if the reference finds it wrong."""
        counting = self._counting
        frame = bytes(self._reader.window.data[place.at : place.at + place.captured])
        checked = check(frame, place.wire_length, counting.ports)
        if not checked.bad:
            raise NativeMismatchError(f"frame {place.number}")
        counting.keep_bad(place.number, frame, place.wire_length, checked)

    def _count(self) -> None:
        """Adds what was counted to what was before, first seen first."""
        for addresses, about, said, count in self._tally.drain():
            flow = None
            if said >> 40:
                vni, protocol = _signed(about, 32), _signed(about >> 32, 16)
                known = None if vni < 0 else vni
                flow = FlowKey(
                    addresses[: about >> 48 & 0xFF], known, about >> 56 or None, protocol
                )
            good, bad, absent, unjudged, reason = said.to_bytes(6, "little")[:5]
            outcome = good, bad, absent, unjudged, REASONS[reason]
            self._counting.outcomes[flow, outcome] += count


def _signed(number: int, bits: int) -> int:
    """The lowest bits of a number as two's complement."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> bits - 1 else number
