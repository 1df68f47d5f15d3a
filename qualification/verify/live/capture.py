"""Captures an interface for some time, as a pcapng that is judged while it is being written.

The kernel's ring gives frames with their direction and the VLAN tag that the NIC has removed. A
thread writes them to a pipe, from which they are read like any other capture.
"""

from __future__ import annotations

import fcntl
import io
import os
import signal
import struct
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qualification.agent.capture.ring import Ring
from qualification.verify import pcapng_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qualification.stack.counting import Counting

_RING = 64 << 20
_POLL = 0.1
_PIPE = 1 << 20
_F_SETPIPE_SZ = 1031
_HEADER = struct.Struct("=IIIIIIHH4xIH")  # struct tpacket3_hdr
_PACKET_TYPE = 48 + 10  # sll_pkttype of the sockaddr_ll behind that header
_OUTGOING = 4  # PACKET_OUTGOING
_VLAN_VALID, _TPID_VALID = 1 << 4, 1 << 6


class _Blocks(Ring):
    """A ring whose frames come as the packet blocks of a pcapng."""

    BLOCK = 256 << 10  # one holds the largest buffer that a NIC is to cut, of 64 KiB

    def take(self, link: int) -> bytes:
        """Returns the frames of the next ready block, and gives it back to the kernel."""
        start, made = self.next * self.BLOCK, []
        _status, count, first = struct.unpack_from("=8xIII", self._view, start)
        at = start + first
        for _ in range(count):
            step, seconds, nanoseconds, captured, length, status, mac, _net, tci, tpid = (
                _HEADER.unpack_from(self._view, at)
            )
            data = bytes(self._view[at + mac : at + mac + captured])
            if status & _VLAN_VALID and link == 1:
                kind = tpid if status & _TPID_VALID else 0x8100
                data = data[:12] + struct.pack("!HH", kind, tci) + data[12:]
                length += 4
            outgoing = self._view[at + _PACKET_TYPE] == _OUTGOING
            time = seconds * 10**9 + nanoseconds
            made.append(pcapng_writer.packet(0, time, data, length, 2 if outgoing else 1))
            at += step
        struct.pack_into("=I", self._view, start + 8, 0)
        self.next = (self.next + 1) % self.block_count
        return b"".join(made)


class LiveCapture:
    """A capture that goes on until its time is over, or somebody interrupts it.

    Attributes:
        path: The end of the pipe from which the capture is read.
    """

    def __init__(self, ring: _Blocks, link: int, seconds: float) -> None:
        self._ring, self._link = ring, link
        self._until = time.monotonic() + seconds
        self._end, self._interrupted, self._broken = False, False, False
        self._read, self._write = os.pipe()
        fcntl.fcntl(self._write, _F_SETPIPE_SZ, _PIPE)
        self.path = Path(f"/proc/self/fd/{self._read}")
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    @classmethod
    @contextmanager
    def of(cls, interface: str, seconds: float, link: int, program: bytes) -> Iterator[LiveCapture]:
        """Captures an interface until its time or this context is over.

        Args:
            interface: The interface.
            seconds: For how long.
            link: The link type of its frames.
            program: Classic BPF instructions that pick frames.

        Raises:
            OSError: The interface cannot be captured.
        """
        ring = _Blocks(interface, program, _RING)
        made = cls(ring, link, seconds)
        former = signal.signal(signal.SIGINT, made.interrupt)
        made._thread.start()
        try:
            yield made
        finally:
            made._end = True
            os.close(made._read)
            made._thread.join()
            ring.close()
            signal.signal(signal.SIGINT, former)

    def interrupt(self, *_: object) -> None:
        """Ends the capture, so that what it has is judged; the second call ends that, too."""
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = self._end = True

    def finish(self, counting: Counting) -> None:
        """Adds what the capture knows to what was counted of it."""
        counting.interrupted |= self._interrupted
        drops = self._ring.drops()
        if drops:
            counting.troubles.append(
                f"{drops:,} more were lost, as they came faster than they are judged: capture "
                "fewer with --filter"
            )
        if self._broken:
            counting.troubles.append("the interface went down, and the capture with it")

    def _run(self) -> None:
        with open(self._write, "wb", buffering=0) as pipe:  # noqa: PTH123, a descriptor
            try:
                pipe.write(pcapng_writer.section())
                pipe.write(pcapng_writer.interface(self._link))
                while not self._end and time.monotonic() < self._until and not self._broken:
                    if self._ring.wait(_POLL):
                        self._broken = not self._ring.ready() and self._ring.broken()
                        self._take(pipe)
                until = time.monotonic() + 2 * _POLL  # frames of a block that is not yet passed on
                while not self._ring.empty() and time.monotonic() < until:
                    self._ring.wait(_POLL / 10)
                    self._take(pipe)
            except BrokenPipeError:
                return  # nobody reads it any more

    def _take(self, pipe: io.FileIO) -> None:
        while self._ring.ready() and time.monotonic() < self._until + 1:
            content = memoryview(self._ring.take(self._link))
            while content:
                content = content[pipe.write(content) or 0 :]
