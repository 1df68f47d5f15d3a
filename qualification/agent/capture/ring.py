"""TPACKET_V3 receive rings: the kernel writes, we read in place.

Source: Documentation/networking/packet_mmap.rst and include/uapi/linux/if_packet.h.
"""

from __future__ import annotations

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
_FRAME = struct.Struct("=IIIIIIHH4xIH")  # struct tpacket3_hdr
_STATUS_AT = 8
_RETIRE_MS = 4
"""A block that is not full is handed over after this long: with small blocks, and many of them, a
reader that gets no CPU for half a second loses nothing."""
PAUSE_MS = 4
"""A reader that has caught up looks again after this long: waking up for each block as it gets full
costs more than judging what is in it. The smallest ring holds many times what comes meanwhile."""


class RingFrame(NamedTuple):
    """One captured frame, valid until the next block is asked for.

    Attributes:
        data: Its bytes, in place in the ring.
        wire_length: Its length before the snap length cut it, bytes.
        unfinished: Its checksum is left to the NIC (CHECKSUM_PARTIAL).
        vlan: The tag the NIC or the kernel took off, as the 4 bytes to put back, or None.
    """

    data: memoryview
    wire_length: int
    csum_not_ready: bool
    vlan: bytes | None


_REJECT_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K


class Ring:
    """Captures on one interface from construction on.

    Args:
        interface: Where.
        program: Classic BPF instructions; applied before the first frame can arrive.
        size: Ring size, bytes; a multiple of `BLOCK`.

    Attributes:
        interface: Where.
        size: Ring size, bytes.
        address: Of its memory, for C.
        block_count: Blocks of `BLOCK` bytes in it.
        next: The block that is handed over next, or is being read.
    """

    BLOCK = 64 << 10

    def __init__(self, interface: str, program: bytes, size: int) -> None:
        self.interface, self.size = interface, size
        blocks = max(2, size // self.BLOCK)
        # Protocol 0 receives nothing until bind: no frame slips in before the filter.
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
        self._drops = 0

    def _filter(self, program: bytes) -> None:
        code = ctypes.create_string_buffer(program, len(program))
        self._socket.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(program) // 8, ctypes.addressof(code)),
        )

    def watch(self, program: bytes) -> None:
        """Captures something else from now on; a frame that was under way may come behind this."""
        self._filter(program)
        for _ in self.frames():
            pass
        self.drops()
        self._drops = 0

    def broken(self) -> bool:
        """Whether its link was down or away meanwhile (packet_notifier)."""
        return self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    def rest(self) -> None:
        """Captures nothing until it watches again."""
        self._filter(_REJECT_ALL)

    def wait(self, seconds: float) -> bool:
        """Waits until a block is ready, that long at most; says whether one is."""
        return self.ready() or bool(select.select([self._socket], [], [], seconds)[0])

    def ready(self) -> bool:
        """Whether a block is ready."""
        start = self.next * self.BLOCK
        return bool(_BLOCK.unpack_from(self._view, start)[0] & _TP_STATUS_USER)

    def empty(self) -> bool:
        """Whether nothing waits: neither a block for us nor a frame in the one being filled.

        The kernel counts a frame in its block at once, though it hands the block over later
        (net/packet/af_packet.c, prb_fill_curr_block).
        """
        _status, count, _first = _BLOCK.unpack_from(self._view, self.next * self.BLOCK)
        return bool(count == 0)

    def frames(self) -> Iterator[RingFrame]:
        """The frames of every block that is ready now; each block goes back when it is done."""
        while self.ready():
            start = self.next * self.BLOCK
            _status, count, first = _BLOCK.unpack_from(self._view, start)
            at = start + first
            for _ in range(count):
                frame, step = self.frame_at(at)
                yield frame
                at += step
            struct.pack_into("=I", self._view, start + _STATUS_AT, 0)
            self.next = (self.next + 1) % self.block_count

    def frame_at(self, at: int) -> tuple[RingFrame, int]:
        """The frame whose header (struct tpacket3_hdr) is there, and how far it is to the next."""
        step, _sec, _nsec, kept, length, status, mac, _net, tci, tpid = _FRAME.unpack_from(
            self._view, at
        )
        tag = None
        if status & _TP_STATUS_VLAN_VALID:
            kind = tpid if status & _TP_STATUS_VLAN_TPID_VALID else 0x8100
            tag = struct.pack("!HH", kind, tci)
        data = self._view[at + mac : at + mac + kept]
        return RingFrame(data, length, bool(status & _TP_STATUS_CSUMNOTREADY), tag), step

    def drops(self) -> int:
        """Frames the ring had no room for, since it was made or set to watch."""
        # The kernel resets its counters on each read.
        stats = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12)
        self._drops += struct.unpack("=3I", stats)[1]
        return self._drops

    def close(self) -> None:
        """Ends the capture and gives the memory back."""
        self._view.release()
        self._memory.close()
        self._socket.close()


class Rings:
    """Rings kept from one burst to the next.

    To make one and to close it takes the kernel 10 to 20 ms each, as it waits for whoever might
    still be delivering to it (net/packet/af_packet.c, synchronize_net).
    """

    def __init__(self) -> None:
        self._free: list[Ring] = []

    def take(self, interface: str, program: bytes, size: int) -> Ring:
        """A ring that captures on an interface, of that many bytes or more."""
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
        """Gives all memory back."""
        while self._free:
            self._free.pop().close()
