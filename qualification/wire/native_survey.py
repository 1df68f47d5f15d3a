"""Surveys a capture file with the C implementation, if there is one.

The C implementation judges record after record of the part of the file that is in memory, counts
distinct outcomes, and reports where wrong frames are. It leaves everything unusual to the Python
reference: the header of a file, other link types, damage, and the wrong frames themselves.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from .capture_reader import COOKED, ETHERNET, CutShortError
from .native import REASONS, KeyCounter, Native, NativeMismatchError, native_for
from .pcap import PcapReader
from .pcapng import PcapngReader
from .survey import FlowKey, SurveyCounter
from .verify import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from .capture_reader import Reader
    from .layers import Checked
    from .survey import Survey

_SKIP = {ETHERNET: 0, COOKED: 2}
"""Link type to the number of bytes before something that can be read as an Ethernet header."""

_OUTCOME_KEY = "32sQQ"  # a key of outcome_key in native_survey.c, as `struct` format
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
        ("outcomes", ctypes.POINTER(KeyCounter)),
        ("wrong", ctypes.POINTER(_WrongFrame)),
        ("wrong_capacity", ctypes.c_uint32),
        ("wrong_used", ctypes.c_uint32),
    ]


def native() -> Native:
    """Returns the C implementation, or the reason why Python judges captures."""
    return native_for(__file__)


def survey_capture(
    reader: Reader,
    ports: frozenset[int],
    keep: int = 16,
    each: Callable[[int, Checked], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Survey, str | None]:
    """Checks and counts all frames of a capture, as `survey` does.

    Args:
        reader: The capture.
        ports: UDP destination ports that mean VXLAN.
        keep: The most wrong frames to keep.
        each: Called with the number and outcome of every frame; with it, Python judges all frames.
        progress: Called from time to time with the number of frames so far.

    Returns:
        The survey, and None or a text that says where the capture is truncated.

    Raises:
        CaptureFileError: The capture is damaged, or its link type is not supported.
        NativeMismatchError: The C implementation finds a frame wrong that the reference finds
            right.
    """
    counting = SurveyCounter(ports, keep)
    library = None if each else native().library
    fast = None if library is None else _NativeSurvey(library, reader, counting)
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


class _NativeSurvey:
    """Surveys the part of a capture that is in a reader's window with the C implementation."""

    def __init__(self, library: ctypes.CDLL, reader: Reader, counting: SurveyCounter) -> None:
        self._run = library.vx_survey
        self._run.argtypes, self._run.restype = (ctypes.POINTER(_Survey),), None
        self._reader, self._counting = reader, counting
        self._outcomes = KeyCounter.of(4096, _OUTCOME_KEY)
        self._links: tuple[str, list[int]] | None = None
        self._wrong = (_WrongFrame * counting.keep)()
        ports = sorted(counting.ports)
        self._survey = _Survey(
            ports=(ctypes.c_uint16 * len(ports))(*ports),
            port_count=len(ports),
            outcomes=ctypes.pointer(self._outcomes),
            wrong=self._wrong,
        )

    def run(self) -> bool:
        """Judges the frames in memory; returns False if C could not take even one."""
        reader, window, survey = self._reader, self._reader.window, self._survey
        if window.end - window.at < len(window.data) // 2:
            window.read_on()
        self._set_links()
        address = ctypes.addressof(ctypes.c_char.from_buffer(window.data))
        survey.data, survey.at, survey.size = address, window.at, window.end
        survey.number = reader.number
        survey.wrong_capacity = self._counting.keep - len(self._counting.bad_frames)
        survey.wrong_used = 0
        self._run(ctypes.byref(survey))
        for wrong in self._wrong[: survey.wrong_used]:
            self._keep(wrong)
        progressed = bool(survey.number != reader.number)
        if not progressed or self._outcomes.used > self._outcomes.capacity // 2:
            self._collect()
        window.at, reader.number = survey.at, survey.number
        return progressed

    def _set_links(self) -> None:
        """Sets the kind of records and the link types that the reader has found so far."""
        reader, survey = self._reader, self._survey
        if isinstance(reader, PcapReader):
            links = [reader.link]
        else:
            assert isinstance(reader, PcapngReader)
            links = [interface[0] for interface in reader.interfaces]
            survey.blocks = 1
        if (reader.order, links) == self._links:
            return
        self._links = reader.order, links
        survey.swapped = reader.order != _NATIVE_ORDER
        survey.interfaces = len(links)
        survey.skips = (ctypes.c_int16 * len(links))(*(_SKIP.get(link, -1) for link in links))

    def _keep(self, wrong: _WrongFrame) -> None:
        """Keeps a wrong frame after the reference has confirmed that it is wrong."""
        counting = self._counting
        frame = bytes(self._reader.window.data[wrong.at : wrong.at + wrong.captured])
        checked = check(frame, wrong.wire_length, counting.ports)
        if not checked.bad:
            raise NativeMismatchError(f"frame {wrong.number}")
        counting.keep_bad(wrong.number, frame, wrong.wire_length, checked)

    def _collect(self) -> None:
        """Adds the outcomes that C has counted, in the order first seen; see `outcome_key` in C."""
        for addresses, packed, outcome_word, count in self._outcomes.drain():
            flow = None
            if outcome_word >> 40:
                vni, protocol = _signed(packed, 32), _signed(packed >> 32, 16)
                known = None if vni < 0 else vni
                flow = FlowKey(
                    addresses[: packed >> 48 & 0xFF], known, packed >> 56 or None, protocol
                )
            good, bad, absent, unjudged, reason = outcome_word.to_bytes(6, "little")[:5]
            outcome = good, bad, absent, unjudged, REASONS[reason]
            self._counting.outcomes[flow, outcome] += count


def _signed(number: int, bits: int) -> int:
    """Returns the lowest bits of a number, read as two's complement."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> bits - 1 else number
