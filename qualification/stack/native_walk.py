"""Walks through the frames of a capture with the C implementation, if there is one.

It judges record after record of the part of the capture that is in memory, counts distinct
outcomes, and says where frames are that are kept. Everything unusual is left to the reference: the
header of a file, interfaces, damage.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING

from qualification.wire.capture_reader import Record
from qualification.wire.native import KeyCounter, Native, NativeMismatchError, native_for
from qualification.wire.pcap import PcapReader
from qualification.wire.pcapng import PcapngReader

from .counting import KeptFrame
from .judge import walk_frame
from .outcomes import KEY_FORMAT, decode, outcome_of, summarize

if TYPE_CHECKING:
    from qualification.wire.capture_reader import Reader

    from .counting import Counting

_MOST_KEPT = 1024  # frames that C hands on at a time
_MOST_OUTCOMES = 1 << 15  # distinct outcomes before they are collected
_NATIVE_ORDER = "<" if sys.byteorder == "little" else ">"


class Kept(ctypes.Structure):
    """`struct kept`: a frame that Python looks at."""

    number: int
    at: int
    captured: int
    wire_length: int
    time: int
    interface: int
    bucket: int
    direction: int
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("number", "at", "captured", "wire_length")),
        ("time", ctypes.c_uint64),
        *((name, ctypes.c_uint32) for name in ("interface", "bucket", "direction", "unused")),
    ]


class Part(ctypes.Structure):
    """`struct part`: the part of a capture that is in memory."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("at", "size", "number")),
        ("links", ctypes.POINTER(ctypes.c_uint32)),
        *(
            (name, ctypes.c_uint32)
            for name in (
                "interfaces", "blocks", "swapped", "record_header", "exchanged", "port_count",
            )
        ),
        ("ports", ctypes.POINTER(ctypes.c_uint16)),
        ("outcomes", ctypes.POINTER(KeyCounter)),
        ("kept", ctypes.POINTER(Kept)),
        ("room", ctypes.c_uint32 * 3),
        ("kept_capacity", ctypes.c_uint32),
        ("kept_used", ctypes.c_uint32),
        ("leave_fragments", ctypes.c_uint32),
        ("longest_right", ctypes.c_int32),
        ("longest_wire", ctypes.c_int64),
    ]  # fmt: skip


def native() -> Native:
    """Returns the C implementation, or the reason why Python does its work."""
    return native_for(__file__)


class NativeCounting:
    """Counts the part of a capture that is in a reader's window with the C implementation."""

    def __init__(self, library: ctypes.CDLL, reader: Reader, counting: Counting) -> None:
        self._run = library.vx_count
        self._run.argtypes, self._run.restype = (ctypes.POINTER(Part),), None
        self._reader, self._counting = reader, counting
        self._outcomes = KeyCounter.of(_MOST_OUTCOMES, KEY_FORMAT)
        self._known: tuple[str, list[int]] | None = None
        self._kept = (Kept * min(max(sum(counting.room), 1), _MOST_KEPT))()
        ports = sorted(counting.ports)
        self._part = Part(
            ports=(ctypes.c_uint16 * len(ports))(*ports),
            port_count=len(ports),
            outcomes=ctypes.pointer(self._outcomes),
            kept=self._kept,
            kept_capacity=len(self._kept),
            leave_fragments=1,
        )

    @classmethod
    def of(cls, reader: Reader, counting: Counting) -> NativeCounting | None:
        """Returns a counting with the C implementation; None if there is none."""
        library = native().library
        return None if library is None else cls(library, reader, counting)

    def run(self) -> bool:
        """Judges the frames in memory; returns False if C could not take even one."""
        window = self._reader.window
        if self._judge():
            return True
        # Only then it reads on, so that a pipe that has no more yet keeps no frame waiting.
        short = window.end - window.at < len(window.data) // 2
        return short and window.read_on() and self._judge()

    def _judge(self) -> bool:
        reader, window, part = self._reader, self._reader.window, self._part
        counting = self._counting
        self._set_links()
        part.data = ctypes.addressof(ctypes.c_char.from_buffer(window.data))
        part.at, part.size, part.number = window.at, window.end, reader.number
        part.room[:] = counting.room
        part.kept_used = 0
        part.longest_right, part.longest_wire = counting.longest_right, counting.longest_wire
        self._run(ctypes.byref(part))
        counting.longest_right, counting.longest_wire = part.longest_right, part.longest_wire
        counting.room[:] = part.room
        for kept in self._kept[: part.kept_used]:
            self._keep(kept)
        progressed = bool(part.number != reader.number)
        if self._outcomes.used > self._outcomes.capacity // 2:
            self.collect()
        window.at, reader.number = part.at, part.number
        return progressed

    def _set_links(self) -> None:
        """Sets the kind of records and the link types that the reader has found so far."""
        reader, part = self._reader, self._part
        if isinstance(reader, PcapReader):
            links = [reader.link]
            part.record_header, part.exchanged = reader.header_size, reader.exchanged
        else:
            assert isinstance(reader, PcapngReader)
            links = [interface[0] for interface in reader.interfaces]
            part.blocks = 1
        if (reader.order, links) == self._known:
            return
        self._known = reader.order, links
        part.swapped = reader.order != _NATIVE_ORDER
        part.interfaces = len(links)
        part.links = (ctypes.c_uint32 * len(links))(*links)

    def _keep(self, kept: Kept) -> None:
        """Keeps a frame after the reference has confirmed its outcome."""
        reader = self._reader
        frame = bytes(reader.window.data[kept.at : kept.at + kept.captured])
        link = self._part.links[kept.interface]
        time = reader.time_of(kept.time, kept.interface)
        walk = walk_frame(frame, kept.wire_length, link, self._counting.ports)
        outcome = outcome_of(walk, kept.wire_length, kept.direction)
        found = summarize(outcome.sums)
        if (kept.bucket == 0) != found.value or not found.odd:
            raise NativeMismatchError(f"frame {kept.number}")
        record = Record(frame, kept.wire_length, link, time, kept.direction)
        self._counting.keep(KeptFrame(kept.number, record, outcome, walk))

    def collect(self) -> None:
        """Adds the outcomes that C has counted, in the order first seen."""
        counting = self._counting
        for addresses, *words, count in self._outcomes.drain():
            counting.outcomes[counting.known(decode(addresses, *words))] += count
