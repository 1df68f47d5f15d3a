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

import json
import select
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import LabError

from . import counters, firmwares
from .engine import engine, pad
from .events import Watch
from .firmwares import Touches
from .tap import open_tap
from .tx_descriptor import UNCHECKED


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

    def join(self, other: _Port) -> None:
        """Plug in the cable; what is sent from here goes to the other port."""
        self.other = other
        self.engine = engine(self.tap.header_size, other.tap.header_size, self.counts)
        transmitted_only = not self.firmware.path and not other.firmware.receive
        self.touches: Touches = self.firmware.touches if transmitted_only else "all"

    def carry(self, queue: int) -> None:
        """Move one batch from one queue to the other end."""
        firmware, queues = self.firmware, self.other.tap.queues
        into = queues[queue % len(queues)]
        self._notice()
        for descriptor, made in self.engine.carry(
            self.tap.queues[queue], queue, into, self.touches
        ):
            frames = made
            if firmware.transmit:
                number = len(made)
                frames = firmware.transmit(descriptor, made)
                self.counts[counters.WITHHELD] += max(0, number - len(frames))
            pad(frames)
            self._deliver(firmware.path(frames) if firmware.path and frames else frames, into)
        if firmware.path:  # nothing is held from one queue to the next, nor for long
            self._deliver(firmware.path([]), into)

    def _deliver(self, frames: list[bytearray], into: int) -> None:
        """Write frames to a queue of the other end's kernel, with what its NIC says of them."""
        receive = self.other.firmware.receive
        for frame in frames:
            status = receive(frame) if receive else UNCHECKED
            if status is None:
                self.other.counts[counters.REFUSED] += 1
            else:
                self.engine.write(into, status, frame)

    def _notice(self) -> None:
        """Tell the firmware what has happened to its interface before the frames at hand."""
        downs, toggles, resizes = self.watch.heard()
        self.firmware.state.resets += downs
        self.firmware.state.toggles += toggles
        self.firmware.state.resizes += resizes


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
    left.join(right)
    right.join(left)
    missing = dict.fromkeys((*left.tap.missing, *right.tap.missing))
    print(json.dumps({"missing": list(missing)}), flush=True)

    owner = sys.stdin.fileno()
    across = {
        fd: (port, queue) for port in (left, right) for queue, fd in enumerate(port.tap.queues)
    }
    with select.epoll() as ready:
        for fd in (owner, *across):
            ready.register(fd, select.EPOLLIN)
        while True:
            for fd, _ in ready.poll():
                if fd == owner:
                    return 0
                port, queue = across[fd]
                port.carry(queue)


if __name__ == "__main__":
    sys.exit(main())
