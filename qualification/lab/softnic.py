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
from qualification.lab.job import GSO_NONE, parse
from qualification.lab.offload import finish
from qualification.lab.tap import open_tap

_BATCH = 64
"""Frames taken from one end before the other end has its turn."""

_LARGEST = 1 << 18
"""Bytes of the read buffer. The kernel's super-packets are 64 KiB (gso_max_size) unless a user
turns on BIG TCP."""

_SHORTEST = 60
"""Bytes of the shortest Ethernet frame, less its FCS: a MAC pads to it with zeros."""

_TAKEN, _UNREAD, _SUPER, _SEGMENTS, _SENT, _DROPPED = range(len(counters.NAMES))


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
    """

    nic: str
    namespace: str
    interface: str
    model: str
    knobs: Mapping[str, object]
    counters: str


class _Port:
    """An end at work: takes what its kernel sends and carries it to the other port."""

    def __init__(self, end: End) -> None:
        self.transmit = firmwares.check(end.model, end.knobs).load(end.nic)
        self.tap = open_tap(end.namespace, end.interface)
        self.counts = counters.create(Path(end.counters))
        self._buffer = bytearray(_LARGEST)
        # Sent as it is for every frame to this end: "nothing left to do, nothing checked".
        self.clean = bytes(self.tap.header_size)

    def carry(self, other: _Port) -> None:
        """Move one batch to the other end."""
        fd, size, buffer, counts = self.tap.fd, self.tap.header_size, self._buffer, self.counts
        view, into, clean = memoryview(buffer), other.tap.fd, other.clean
        for _ in range(_BATCH):
            try:
                length = os.readv(fd, (buffer,))
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                counts[_UNREAD] += 1
                continue
            job = parse(view[:length], size)
            frames = finish(job)
            counts[_TAKEN] += 1
            if job.gso != GSO_NONE:
                counts[_SUPER] += 1
                counts[_SEGMENTS] += len(frames)
            for frame in self.transmit(job, frames):
                padding = bytes(max(0, _SHORTEST - len(frame)))
                try:
                    os.writev(into, (clean, frame, padding))
                except OSError:  # EIO: the interface is down
                    counts[_DROPPED] += 1
                else:
                    counts[_SENT] += 1


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
    across = {left.tap.fd: (left, right), right.tap.fd: (right, left)}
    with select.epoll() as ready:
        for fd in (owner, *across):
            ready.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in ready.poll():
                if fd == owner:
                    return 0
                port, other = across[fd]
                port.carry(other)


if __name__ == "__main__":
    sys.exit(main())
