"""The process of two soft NICs and the cable between them.

    python -m qualification.lab.softnic.process

It reads a list of two `End`s as one line of JSON, answers with one line when the TAPs are there
(`{"missing": [sentences]}` or `{"error": sentence}`), and moves frames until its standard input is
closed. So it ends with the process that started it, and the TAPs disappear with it.

One fault is the kernel's own, and no firmware can repair it (seen in 6.18): TUN refuses to describe
any tunnel super-packet while `tx-udp_tnl-segmentation` is off (tun_vnet_hdr_tnl_from_skb in
drivers/net/tun_vnet.h), but accepts those with an outer checksum from the stack as long as
`tx-udp_tnl-csum-segmentation` is on. The read then fails with EINVAL, the frame is lost, and the
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
from .tap import drop, open_tap
from .tx_descriptor import NO_ROOM, UNCHECKED


@dataclass(frozen=True)
class End:
    """One end of the cable.

    Attributes:
        nic: The NIC's name; it seeds the firmware.
        namespace: The namespace of its TAP, by its name for `ip netns`.
        interface: The TAP's name.
        model: Its firmware.
        knobs: The firmware's knobs.
        counters: Path of the file for its counters.
        queues: Number of queues in each direction.
    """

    nic: str
    namespace: str
    interface: str
    model: str
    knobs: Mapping[str, object]
    counters: str
    queues: int = 4


class _Port:
    """An end that is running: it takes what its kernel sends and moves it to the other port."""

    def __init__(self, end: End) -> None:
        self.firmware = firmwares.check(end.model, end.knobs).load(end.nic)
        self.tap = open_tap(end.namespace, end.interface, end.queues, offloads=self.firmware.offers)
        self.watch = Watch(end.namespace, end.interface)
        self.counts = counters.create(Path(end.counters))

    def join(self, other: _Port) -> None:
        """Connects this port to another one, to which it sends."""
        self.other = other
        self.engine = engine(self.tap.header_size, other.tap.header_size, self.counts)
        transmitted_only = not self.firmware.path and not other.firmware.receive
        self.touches: Touches = self.firmware.touches if transmitted_only else "all"

    def carry(self, queue: int) -> None:
        """Moves one batch of frames from a queue to the other end."""
        firmware, queues = self.firmware, self.other.tap.queues
        into = queues[queue % len(queues)]
        self._note_events()
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
        if firmware.path:  # it holds no frames back from one batch to the next
            self._deliver(firmware.path([]), into)

    def _deliver(self, frames: list[bytearray], into: int) -> None:
        """Writes frames to a queue of the other end's kernel, with its NIC's checksum status."""
        receive = self.other.firmware.receive
        for frame in frames:
            status = receive(frame) if receive else UNCHECKED
            if status is None or status is NO_ROOM:
                self.other.counts[counters.REFUSED] += 1
                if status is NO_ROOM:
                    drop(into, len(frame))
            else:
                self.engine.write(into, status, frame)

    def _note_events(self) -> None:
        """Counts for the firmware what has happened to its interface before these frames."""
        downs, toggles, resizes = self.watch.heard()
        self.firmware.state.resets += downs
        self.firmware.state.toggles += toggles
        self.firmware.state.resizes += resizes


def main() -> int:
    """Runs one link; see the module's docstring.

    Returns:
        0 when the input was closed, 1 if the link could not be made.
    """
    # SIGINT from the keyboard is meant for the run, which still needs its network to clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order = sys.stdin.readline()
    if not order:
        return 0  # the process that started this one has ended
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
