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

from .codes import How, Kind, State
from .counting import KeptFrame
from .judge import walk_frame
from .native_kept import FRAGMENT, KEPT_SIZE, WALK_SIZE, kept_in, walk_of
from .outcomes import KEY_FORMAT, decode, outcome_of

if TYPE_CHECKING:
    from qualification.wire.capture_reader import Reader

    from .counting import Counting
    from .native_kept import Kept
    from .walk import Walk

_MOST_KEPT = 256  # frames that C hands on at a time
_MOST_OUTCOMES = 1 << 15  # distinct outcomes before they are collected
_MOST_SORTS = 1 << 12
_Sort = tuple[tuple[Kind, State, How, int], ...]
_NATIVE_ORDER = "<" if sys.byteorder == "little" else ">"


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
        ("kept", ctypes.c_void_p),
        ("room", ctypes.c_uint32 * 3),
        ("kept_capacity", ctypes.c_uint32),
        ("kept_used", ctypes.c_uint32),
        ("longest_right", ctypes.c_int64),
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
        self._confirmed: set[_Sort] = set()
        self._kept = ctypes.create_string_buffer(_MOST_KEPT * KEPT_SIZE)
        ports = sorted(counting.ports)
        self._ports = (ctypes.c_uint16 * len(ports))(*ports)
        self._part = Part(
            ports=self._ports,
            port_count=len(ports),
            outcomes=ctypes.pointer(self._outcomes),
            kept=ctypes.addressof(self._kept),
            kept_capacity=_MOST_KEPT,
        )
        self._walk = library["vx_walk"]  # not the attribute, which others give other types
        self._walk.restype = None
        self._walk.argtypes = (
            ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint32, ctypes.c_void_p,
            ctypes.c_uint32, ctypes.c_void_p,
        )  # fmt: skip
        self._found = ctypes.create_string_buffer(WALK_SIZE)
        counting.reassembly.walk_frame = self._walk_frame

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
        for kept, at in kept_in(self._kept, part.kept_used):
            self._take(kept, at)
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

    def _walk_frame(self, data: bytes, wire_length: int, link: int, ports: frozenset[int]) -> Walk:
        """Does what the reference does, for datagrams that were put together."""
        self._walk(data, len(data), wire_length, link, self._ports, len(self._ports), self._found)
        walk = walk_of(self._found, 0, data, link, ports)
        self._confirm(walk, wire_length, self._reader.number)
        return walk

    def _take(self, kept: Kept, at: int) -> None:
        """Takes a frame whose walk is at an offset in what C hands on."""
        reader, counting = self._reader, self._counting
        if kept.bucket != FRAGMENT and not counting.room[kept.bucket]:
            return  # datagrams put together before it have taken the room
        frame = bytes(reader.window.data[kept.at : kept.at + kept.captured])
        link = self._part.links[kept.interface]
        walk = walk_of(self._kept, at, frame, link, counting.ports)
        shown = kept.bucket != FRAGMENT and counting.each is None
        self._confirm(walk, kept.wire_length, kept.number, always=shown)
        time = reader.time_of(kept.time, kept.interface)
        record = Record(frame, kept.wire_length, link, time, kept.direction)
        if kept.bucket == FRAGMENT:
            counting.taken(kept.number, record, walk)
            return
        outcome = outcome_of(walk, kept.wire_length, kept.direction)
        counting.keep(kept.bucket, KeptFrame(kept.number, record, outcome, walk))

    def _confirm(self, walk: Walk, wire_length: int, number: int, *, always: bool = False) -> None:
        """Has the reference judge a frame, unless it has already confirmed one of its sort."""
        sort = tuple([(each.kind, each.state, each.how, each.depth) for each in walk.sums])
        if sort in self._confirmed and not always:
            return
        if walk != walk_frame(walk.data, wire_length, walk.link, walk.ports):
            raise NativeMismatchError(f"frame {number}")
        if len(self._confirmed) < _MOST_SORTS:
            self._confirmed.add(sort)

    def close(self) -> None:
        """Gives the count back to the reference.

        Without that, what both have of each other would stay until the garbage collector comes, and
        the window, of megabytes, with it.
        """
        self._counting.reassembly.walk_frame = walk_frame

    def collect(self) -> None:
        """Adds the outcomes that C has counted, in the order first seen."""
        counting = self._counting
        for addresses, key, count in self._outcomes.drain():
            counting.outcomes[counting.known(decode(addresses, key))] += count
