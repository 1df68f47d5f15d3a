"""TPACKET_V3 receive rings, which the kernel writes and the capture reads in place.

Source: Documentation/networking/packet_mmap.rst and include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import select
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_SOL_PACKET = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION = 5, 6, 10
_TPACKET_V3 = 2
_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_TP_STATUS_USER = 1
_TP_STATUS_CSUMNOTREADY = 1 << 3
_TP_STATUS_VLAN_VALID = 1 << 4
_TP_STATUS_VLAN_TPID_VALID = 1 << 6

_BLOCK = struct.Struct(
    "=8xIII"
)  # struct tpacket_block_desc: block_status, num_pkts, offset_to_first_pkt
_SEQUENCE = struct.Struct("=24xQ")  # its seq_num, which counts how often the kernel opened one
_FRAME = struct.Struct("=IIIIIIHH4xIH")  # struct tpacket3_hdr
_STATUS_AT = 8
_RETIRE_MS = 4
"""The kernel passes on a block that is not full after this time. As the ring has many small blocks,
a reader that gets no CPU for half a second loses no frame."""
PAUSE_MS = 4
"""A reader that has read all ready blocks waits this long before it looks again: waking up for each
block as it gets full would cost more than judging its frames. Even the smallest ring holds many
times the frames that arrive in this time."""


class RingFrame(NamedTuple):
    """One captured frame, valid until the next block is read.

    Attributes:
        data: Its bytes, in place in the ring.
        wire_length: Its length on the wire, before truncation to the snap length, bytes.
        csum_not_ready: Its checksum is not complete (TP_STATUS_CSUMNOTREADY): on the sender, it is
            left to the NIC (CHECKSUM_PARTIAL).
        vlan: The 4 bytes of the VLAN tag that the NIC or the kernel has removed, or None.
    """

    data: memoryview
    wire_length: int
    csum_not_ready: bool
    vlan: bytes | None


_REJECT_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K


class Ring:
    """Captures on one interface from construction on.

    Args:
        interface: The interface.
        program: Classic BPF instructions; applied before the first frame can arrive.
        size: Ring size, bytes; a multiple of `BLOCK`.

    Attributes:
        interface: The interface.
        size: Ring size, bytes.
        address: The address of the ring's memory, for C.
        block_count: The number of blocks of `BLOCK` bytes.
        next: The block that is being read, or is read next.
    """

    BLOCK = 64 << 10

    def __init__(self, interface: str, program: bytes, size: int) -> None:
        self.interface, self.size = interface, size
        blocks = max(2, size // self.BLOCK)
        # A socket of protocol 0 receives nothing until bind, so no frame gets past the filter.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._socket.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
            self._filter(program)
            frames = blocks * self.BLOCK // 2048
            self._socket.setsockopt(
                _SOL_PACKET,
                _PACKET_RX_RING,
                struct.pack("=7I", self.BLOCK, blocks, 2048, frames, _RETIRE_MS, 0, 0),
            )
            self._memory = mmap.mmap(self._socket.fileno(), blocks * self.BLOCK)
            self._socket.bind((interface, _ETH_P_ALL))
        except BaseException:
            self._socket.close()
            raise
        self._view = memoryview(self._memory)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.block_count = blocks
        self.next = 0
        self._drops = self._since = 0

    def _filter(self, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        self._socket.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(program) // 8, ctypes.addressof(code)),
        )

    def watch(self, program: bytes) -> None:
        """Captures something else from now on.

        A frame of the former kind may still arrive after this call.
        """
        self._filter(program)
        for _ in self.frames():
            pass
        self.drops()
        self._drops, self._since = 0, self._sequence(self.next)

    def _sequence(self, number: int) -> int:
        """Returns the number of a block since the ring was made, as of when it was last opened."""
        return int(_SEQUENCE.unpack_from(self._view, number * self.BLOCK)[0])

    def broken(self) -> bool:
        """Returns whether the link went down or away at any time (packet_notifier)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def rest(self) -> None:
        """Captures nothing until the next `watch`."""
        self._filter(_REJECT_ALL)

    def wait(self, seconds: float) -> bool:
        """Waits until a block is ready, or for this many seconds; returns whether one is ready."""
        return self.ready() or bool(select.select([self._socket], [], [], seconds)[0])

    def ready(self) -> bool:
        """Returns whether a block is ready."""
        start = self.next * self.BLOCK
        return bool(_BLOCK.unpack_from(self._view, start)[0] & _TP_STATUS_USER)

    def empty(self) -> bool:
        """Returns whether no frame waits, neither in a ready block nor in the one being filled.

        The kernel counts a frame in its block at once, but passes the block on later
        (net/packet/af_packet.c, prb_fill_curr_block).
        """
        _status, count, _first = _BLOCK.unpack_from(self._view, self.next * self.BLOCK)
        return bool(count == 0)

    def frames(self) -> Iterator[RingFrame]:
        """Yields the frames of every ready block, and gives each block back to the kernel."""
        while self.ready():
            yield from self.block(self.next)
            struct.pack_into("=I", self._view, self.next * self.BLOCK + _STATUS_AT, 0)
            self.next = (self.next + 1) % self.block_count

    def block(self, number: int) -> Iterator[RingFrame]:
        """Yields the frames of a block, which must be ready or given back to the kernel.

        Args:
            number: The block, from 0.
        """
        start = number * self.BLOCK
        _status, count, first = _BLOCK.unpack_from(self._view, start)
        at = start + first
        for _ in range(count):
            frame, step = self.frame_at(at)
            yield frame
            at += step

    def history(self) -> Iterator[RingFrame]:
        """Yields the frames since `watch` that are still in memory, the oldest first.

        The kernel clears the count of a block when it begins to fill it, and numbers it
        (net/packet/af_packet.c, prb_open_block); it leaves the bytes of all others. The ring must
        be at rest. The first block may have a few frames of an earlier capture.
        """
        for place in range(self.block_count):
            number = (self.next + place) % self.block_count
            if self._sequence(number) >= self._since:
                yield from self.block(number)

    def frame_at(self, at: int) -> tuple[RingFrame, int]:
        """Returns the frame whose struct tpacket3_hdr is at `at`, and the distance to the next."""
        step, _sec, _nsec, captured, length, status, mac, _net, tci, tpid = _FRAME.unpack_from(
            self._view, at
        )
        tag = None
        if status & _TP_STATUS_VLAN_VALID:
            kind = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
            tag = struct.pack("!HH", kind, tci)
        data = self._view[at + mac : at + mac + captured]
        return RingFrame(data, length, bool(status & _TP_STATUS_CSUMNOTREADY), tag), step

    def drops(self) -> int:
        """Returns the number of frames lost for lack of room since construction or `watch`."""
        # The kernel resets its counters on each read.
        stats = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        self._drops += struct.unpack("=3I", stats)[1]
        return self._drops

    def close(self) -> None:
        """Ends the capture and frees the memory.

        Raises:
            BufferError: A frame of it is still referred to. The capture has ended nevertheless, and
                the memory goes with the last reference.
        """
        try:
            # The memory map has a descriptor of its own, which keeps the socket open.
            self._filter(_REJECT_ALL)
            self._view.release()
            self._memory.close()
        finally:
            self._socket.close()


class Rings:
    """Rings that are kept from one burst to the next.

    Creating and closing a ring takes the kernel 10 to 20 ms each, because it waits until no CPU can
    still be delivering to it (net/packet/af_packet.c, synchronize_net).
    """

    def __init__(self) -> None:
        self._free: list[Ring] = []

    def take(self, interface: str, program: bytes, size: int) -> Ring:
        """Returns a ring of at least `size` bytes that captures on an interface."""
        for ring in self._free.copy():
            if ring.broken():
                self._free.remove(ring)
                ring.close()
            elif ring.interface == interface and ring.size >= size:
                self._free.remove(ring)
                ring.watch(program)
                return ring
        return Ring(interface, program, size)

    def give_back(self, ring: Ring) -> None:
        """Keeps a ring for the next burst."""
        ring.rest()
        self._free.append(ring)

    def close(self) -> None:
        """Closes all rings that are not in use.

        Raises:
            BufferError: A frame of one is still referred to; the others are closed.
        """
        with contextlib.ExitStack() as stack:
            while self._free:
                stack.callback(self._free.pop().close)
