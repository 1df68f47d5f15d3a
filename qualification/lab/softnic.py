"""The hardware of two TAP devices and the cable between them, as a process of its own.

    python -m qualification.lab.softnic

It reads a list of two `End`s as one line of JSON, answers with one line when the TAPs are there
(`{"missing": [sentences]}` or `{"error": sentence}`), and carries frames until its standard input
is closed. So it cannot outlive whoever started it, and with it go the TAPs.

One fault is the kernel's own, and no firmware can make it good (seen in 6.18): TUN refuses to
describe any tunnel super-packet while `tx-udp_tnl-segmentation` is off (tun_vnet_hdr_tnl_from_skb
in drivers/net/tun_vnet.h), yet takes those with an outer checksum from the stack as long as
`tx-udp_tnl-csum-segmentation` is on. Then the read fails with EINVAL, the frame is gone, and the
kernel's log says "unexpected GSO type". Such frames are counted as `unread`.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import LabError
from qualification.lab import counters, firmwares
from qualification.lab.events import Watch
from qualification.lab.job import GSO_NONE, UNCHECKED, parse
from qualification.lab.offload import finish
from qualification.lab.tap import open_tap

_BATCH = 64
"""Frames taken from one end before the other end has its turn."""

_LARGEST = 1 << 18
"""Bytes of the read buffer. The kernel's super-packets are 64 KiB (gso_max_size) unless a user
turns on BIG TCP."""

_SHORTEST = 60
"""Bytes of the shortest Ethernet frame, less its FCS: a MAC pads to it with zeros."""

_TAKEN, _UNREAD, _SUPER, _SEGMENTS, _SENT, _DROPPED, _WITHHELD, _REFUSED = range(
    len(counters.NAMES)
)


@dataclass(frozen=True)
class End:
    """One end of the cable.

    Attributes:
        nic: The NIC's name; seeds its firmware.
        namespace: Where its TAP belongs, by the name that `ip netns` knows.
        interface: The TAP's name.
        model: Its firmware.
        knobs: The firmware's knobs.
        counters: Path of the file for its counters.
        queues: How many it has in each direction.
    """

    nic: str
    namespace: str
    interface: str
    model: str
    knobs: Mapping[str, object]
    counters: str
    queues: int = 4


class _Port:
    """An end at work: takes what its kernel sends and carries it to the other port."""

    def __init__(self, end: End) -> None:
        self.firmware = firmwares.check(end.model, end.knobs).load(end.nic)
        self.tap = open_tap(end.namespace, end.interface, end.queues)
        self.watch = Watch(end.namespace, end.interface)
        self.counts = counters.create(Path(end.counters))
        self._buffer = bytearray(_LARGEST)
        self.unchecked = UNCHECKED.header(self.tap.header_size)

    def carry(self, queue: int, other: _Port) -> None:
        """Move one batch from one queue to the other end."""
        fd, size, buffer, counts = (
            self.tap.queues[queue],
            self.tap.header_size,
            self._buffer,
            self.counts,
        )
        view, transmit, path = memoryview(buffer), self.firmware.transmit, self.firmware.path
        self._notice()
        for _ in range(_BATCH):
            try:
                length = os.readv(fd, (buffer,))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                counts[_UNREAD] += 1
                continue
            job = parse(view[:length], size, queue)
            frames = finish(job)
            counts[_TAKEN] += 1
            if job.gso != GSO_NONE:
                counts[_SUPER] += 1
                counts[_SEGMENTS] += len(frames)
            if transmit:
                made = len(frames)
                frames = transmit(job, frames)
                counts[_WITHHELD] += max(0, made - len(frames))
            for frame in frames:
                if len(frame) < _SHORTEST:
                    frame.extend(bytes(_SHORTEST - len(frame)))
            self._deliver(path(frames) if path and frames else frames, queue, other)
        if path:  # nothing is held from one queue to the next, nor for long
            self._deliver(path([]), queue, other)

    def _deliver(self, frames: list[bytearray], queue: int, other: _Port) -> None:
        """Write frames to the other end's kernel."""
        queues, counts, receive = other.tap.queues, self.counts, other.firmware.receive
        into, header = queues[queue % len(queues)], other.unchecked
        for frame in frames:
            if receive:
                claim = receive(frame)
                if claim is None:
                    other.counts[_REFUSED] += 1
                    continue
                header = claim.header(other.tap.header_size)
            try:
                os.writev(into, (header, frame))
            except OSError:  # EIO: the interface is down
                counts[_DROPPED] += 1
            else:
                counts[_SENT] += 1

    def _notice(self) -> None:
        """Tell the firmware what has happened to its interface before the frames at hand."""
        downs, toggles = self.watch.heard()
        self.firmware.state.resets += downs
        self.firmware.state.toggles += toggles


def main() -> int:
    """Run one link; see the module's text.

    Returns:
        0 when the input was closed, 1 when the link could not be made.
    """
    # An interrupt at the keyboard is meant for the run, which still needs its network to end well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = sys.stdin.readline()
    if not order:
        return 0  # whoever started this is gone already
    try:
        left, right = (_Port(End(**end)) for end in json.loads(order))
    except LabError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return 1
    missing = dict.fromkeys((*left.tap.missing, *right.tap.missing))
    print(json.dumps({"missing": list(missing)}), flush=True)

    owner = sys.stdin.fileno()
    across = {
        fd: (port, queue, other)
        for port, other in ((left, right), (right, left))
        for queue, fd in enumerate(port.tap.queues)
    }
    with select.epoll() as ready:
        for fd in (owner, *across):
            ready.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in ready.poll():
                if fd == owner:
                    return 0
                port, queue, other = across[fd]
                port.carry(queue, other)


if __name__ == "__main__":
    sys.exit(main())
