"""Live capture and verification compared with `tcpdump -w`: the same frames at the same pace.

Frames arrive at a TAP in a namespace, whose other end is this process: of all interfaces in a
virtual machine, a TAP receives the most frames per second. The kernel's part of a capture runs in
the CPU time of the sender, in both cases. So the comparison is between the processes that read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from qualification.errors import LabError
from qualification.lab.hosts import run
from qualification.lab.softnic.tap import Tap, open_tap

from .frames import SENDER, Sort, frames
from .processes import Cost, inside, own_code, started
from .rows import Row, Side, at_least
from .setting import Setting

_VNI, _PORT = 100, 30_100
_RING = 64 << 20
_DISTINCT = 12_800
_SETTLING = 5.0
"""The most seconds until a capture is ready, or has received the last frame."""


@dataclass(frozen=True)
class _Traffic:
    """The frames of a row.

    Attributes:
        size: Bytes of the inner IP packets.
        frames: The number of frames.
        pace: Frames per second: as many as two CPU cores can process, one for sending and one for
            capturing.
        least: The bar: the least ratio to tcpdump's frames.
        limit: What limits the figure.
    """

    size: int
    frames: int
    pace: int
    least: float
    limit: str

    def made(self) -> list[bytes]:
        """Returns the frames, all different, which are sent repeatedly."""
        sort = Sort(f"{self.size} B", self.size, self.size, vnis=(_VNI,), ports=(_PORT,))
        return list(frames(sort, _DISTINCT))


_TRAFFIC = (
    _Traffic(
        64, 8_000_000, 500_000, 2.0,
        "Judging what the sender's CPU core has just written, 70 ns a frame: four fifths. The rest "
        "is the start and the end of a Python process, whose share falls as a capture goes on.",
    ),
    _Traffic(
        1450, 1_500_000, 150_000, 3.0,
        "Memory: the sums read every byte that the kernel has just written to the ring.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Captured:
    frames: int
    drops: int
    rate: float  # frames per CPU second


def against_tcpdump(setting: Setting) -> Iterator[Row]:
    """Yields frames captured and verified per CPU second."""
    with _wire() as (namespace, tap):
        for traffic in _TRAFFIC:
            yield _row(setting, namespace, tap, traffic)


def _row(setting: Setting, namespace: str, tap: Tap, traffic: _Traffic) -> Row:
    count = traffic.frames // 50 if setting.quick else traffic.frames
    written = setting.scratch / "captured.pcap"
    flow = ("w0", SENDER, str(_VNI), str(_PORT), str(count), str(_RING))
    watch = own_code("bench.watcher", *flow, bare=True)
    write = [
        "tcpdump", "-Z", "root", "-n", "-i", "w0", "-B", str(_RING >> 10), "-c", str(count),
        "-w", str(written), "udp dst port 4789",
    ]  # fmt: skip
    made = [bytes(tap.header_size) + frame for frame in traffic.made()]
    drops = {"ours": 0, "tcpdump": 0}

    def capture(name: str, command: list[str], read: Callable[[Cost], _Captured]) -> float:
        try:
            cost = _capture(inside(namespace, command), tap, made, count, traffic.pace)
        finally:
            written.unlink(missing_ok=True)
        captured = read(cost)
        drops[name] += captured.drops
        return captured.rate

    about = f"{traffic.size} B at {traffic.pace:,}/s"
    found = setting.in_turn(
        {
            f"capture and verify {about}": partial(capture, "ours", watch, _seen),
            f"tcpdump -w {about}": partial(capture, "tcpdump", write, _written),
        }
    )
    ours, theirs = found.values()
    return Row(
        work=f"live, {traffic.size} B inner at {traffic.pace:,}/s, against tcpdump -w",
        unit="frames/CPU-s",
        ours=Side("the agent's capture", ours),
        peer=Side("tcpdump -w FILE", theirs),
        bar=at_least(traffic.least),
        limit=traffic.limit,
        note=f"dropped by vxqual {drops['ours']:,}, by tcpdump {drops['tcpdump']:,}, "
        f"of {count * (setting.rounds + 1):,} each",
        spoilt="drops where tcpdump has none" if drops["ours"] and not drops["tcpdump"] else "",
    )


def _capture(command: list[str], tap: Tap, made: list[bytes], count: int, pace: int) -> Cost:
    """Sends frames while a command captures them; returns the cost and output of the command."""
    with started(command, keep=True) as capture:
        _await(lambda: "listening" in capture.errors() or capture.over())
        _send(tap.queues[0], made, count, pace)
        with contextlib.suppress(LabError):  # a capture that has lost frames does not end
            _await(capture.over)
        capture.stop()
        cost = capture.finish()
    if cost.exit_code:
        raise LabError(f"{command[4]} ended with {cost.exit_code}: {cost.errors.strip()[-300:]}")
    return cost


def _seen(cost: Cost) -> _Captured:
    """Reads the output of the agent's capture."""
    seen = json.loads(cost.output)
    if seen["bad"] or seen["unjudged"]:
        raise LabError(f"right frames were not judged right: {cost.output.strip()}")
    return _Captured(seen["frames"], seen["drops"], seen["frames"] / cost.cpu)


def _written(cost: Cost) -> _Captured:
    """Reads the output of tcpdump."""
    frames, drops = map(
        int, re.findall(r"(\d+) packets? (?:captured|dropped by kernel)", cost.errors)
    )
    return _Captured(frames, drops, frames / cost.cpu)


def _send(queue: int, made: list[bytes], count: int, pace: int) -> None:
    """Sends frames at a pace, in batches of one millisecond."""
    start, step = time.monotonic(), pace // 1000
    for sent in range(0, count, step):
        for number in range(sent, min(sent + step, count)):
            os.write(queue, made[number % len(made)])
        ahead = (sent + step) / pace - (time.monotonic() - start)
        if ahead > 0.0005:
            time.sleep(ahead)


def _await(true: Callable[[], bool]) -> None:
    end = time.monotonic() + _SETTLING
    while not true():
        if time.monotonic() > end:
            raise LabError(
                "timed out waiting for a capture to get ready, or to receive the last frame"
            )
        time.sleep(0.005)


@contextlib.contextmanager
def _wire() -> Iterator[tuple[str, Tap]]:
    """Yields a namespace with the interface `w0`, and the other end of the interface."""
    name = f"vxq-bench-{os.getpid()}"
    run("ip", "netns", "add", name)
    with contextlib.ExitStack() as undo:
        undo.callback(run, "ip", "netns", "del", name)
        run(*inside(name, ("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")))
        tap = open_tap(name, "w0", 1)
        for queue in tap.queues:
            undo.callback(os.close, queue)
        run(*inside(name, ("ethtool", "-K", "w0", "gro", "off")))
        run("ip", "-n", name, "link", "set", "w0", "up")
        yield name, tap
