"""Everything that a verdict is computed from. A stored run keeps it and can be judged again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from qualification.messages.bursts import Received, Sent
from qualification.messages.receive import ReceiveResult
from qualification.wire.recording import WireTally

_OF_LINK = (
    "link.rx_missed_errors",
    "link.rx_over_errors",
    "link.rx_fifo_errors",
    "link.rx_dropped",
)
_OF_NIC = re.compile(
    r"nic\.(port\.|port_)?rx_?(no_buffer(_count)?|missed(_errors)?|fifo(_errors?)?|over(_errors)?"
    r"|dropped|discards(_phy)?|out_of_buffer|no_dma_resources|buf_alloc_fail|no_bufs?|drop_no_bufs?"
    r"|nodesc_drop(_cnt|s)?|overruns?|drops?)"
)
"""Counters of frames that a NIC had no room for, as drivers name them: e1000e, igb, ixgbe, i40e,
ice, mlx5, bnxt, sfc, r8169, virtio_net, vmxnet3. Counters of single queues repeat their sums."""
_OF_KERNEL = "softnet.dropped"


@dataclass(frozen=True)
class Burst:
    """One burst as both ends saw it.

    Attributes:
        sent: What the sender reports.
        received: What the receiver reports.
        wire: What a recording of the wire shows, where the lab makes them.
    """

    sent: Sent
    received: Received
    wire: WireTally | None = None


@dataclass(frozen=True)
class Evidence:
    """The evidence of one cell.

    Attributes:
        effective: Features of the table by kernel name, and whether they were in effect.
        refused: Kernel names of features that the driver refused to switch although nothing they
            depend on was missing.
        bursts: The bursts that the DUT sent.
        verifier: The verifier that checked the frames, "python" or a native one.
        received: Results of the bursts that the DUT received.
        without: Bursts with every offload off, sent where it was not clear whether wrong frames are
            the NIC's or the path's.
    """

    effective: dict[str, bool]
    refused: tuple[str, ...] = ()
    bursts: tuple[Burst, ...] = ()
    verifier: str = "python"
    received: tuple[ReceiveResult, ...] = ()
    without: tuple[Burst, ...] = ()


@dataclass(frozen=True)
class Totals:
    """The sums over the bursts of a cell; names not listed here are those of the messages.

    Attributes:
        rerouted: Right frames with another outer source port than was submitted to the driver.
        submitted: Frames that the sender submitted to the driver.
        lost: Frames submitted to the driver that the peer never saw. A driver that is busy has a
            frame submitted again: it counts once, as often as it was written to the kernel.
        peer_dropped: Frames that the peer's NIC or kernel counted as dropped for lack of room.
    """

    frames: int = 0
    bad: int = 0
    bad_layers: dict[str, int] = field(default_factory=dict)
    unasked: int = 0
    unjudged: dict[str, int] = field(default_factory=dict)
    drops: int = 0
    foreign: int = 0
    submitted: int = 0
    csum_partial: int = 0
    segments: int = 0
    lost: int = 0
    corrupt: int = 0
    duplicates: int = 0
    inner_csum_errors: int = 0
    peer_dropped: int = 0
    rerouted: int = 0
    shapes: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)


def total(bursts: tuple[Burst, ...]) -> Totals:
    """Returns the sums over bursts."""
    layers: dict[str, int] = {}
    unjudged: dict[str, int] = {}
    shapes: dict[str, dict[str, tuple[int, int]]] = {}
    for burst in bursts:
        for name, count in burst.received.captured.bad_layers.items():
            layers[name] = layers.get(name, 0) + count
        for name, count in burst.received.captured.unjudged.items():
            unjudged[name] = unjudged.get(name, 0) + count
        for dimension, values in burst.received.captured.shapes.items():
            sums = shapes.setdefault(dimension, {})
            for value, (frames, bad) in values.items():
                before = sums.get(value, (0, 0))
                sums[value] = before[0] + frames, before[1] + bad
    seen = [burst.received.captured for burst in bursts]
    submitted = [burst.sent.submitted for burst in bursts]
    arrived = sum(s.frames for s in seen) + sum(unjudged.values())
    return Totals(
        frames=sum(s.frames for s in seen),
        bad=sum(s.bad for s in seen),
        bad_layers=layers,
        unasked=sum(s.unasked for s in seen),
        rerouted=sum(sum(s.paths.values()) for s in seen),
        unjudged=unjudged,
        drops=sum(s.drops for s in seen) + sum(s.drops for s in submitted),
        foreign=sum(s.foreign for s in seen),
        submitted=sum(s.frames for s in submitted),
        csum_partial=sum(s.csum_partial for s in submitted),
        segments=sum(s.segments for s in submitted),
        lost=max(0, sum(map(_once, bursts)) - arrived),
        corrupt=sum(burst.received.delivered.corrupt for burst in bursts),
        duplicates=sum(burst.received.delivered.duplicates for burst in bursts),
        inner_csum_errors=sum(
            value
            for burst in bursts
            for name, value in burst.received.counters.items()
            if name.startswith("inner.") and name.endswith("InCsumErrors")
        ),
        peer_dropped=sum(_most(burst.received.counters) for burst in bursts),
        shapes=shapes,
    )


def held_back(sent: Sent, l4: str) -> int:
    """Returns the frames of a burst that a queue of the sending kernel dropped before the driver.

    A queueing discipline such as fq_codel drops what waits too long for a slow NIC, link or virtual
    machine (net/sched/sch_fq_codel.c). The NIC never saw these frames. None is counted where the tx
    tap lost frames, nor of bulk TCP, which sends again.

    Args:
        sent: What the sender did.
        l4: "udp", "tcp", or "crafted" for a crafted packet set.
    """
    if l4 == "tcp" or sent.submitted.drops:
        return 0
    return max(0, sent.written - sent.submitted.frames)


def left_to_nic(burst: Burst) -> bool:
    """Returns whether all wrong frames of a burst may be ones that the kernel left to the NIC.

    The tx tap shows it. With every offload off only a feature that cannot be switched off does so.
    """
    submitted = burst.sent.submitted
    return 0 < burst.received.captured.bad <= max(submitted.csum_partial, submitted.segments)


def rerouted(bursts: Iterable[Burst]) -> str:
    """Returns a phrase on the outer source ports that were not submitted to the driver."""
    bursts = tuple(bursts)
    paths = Counter[str]()
    for burst in bursts:
        paths.update(burst.received.captured.paths)
    some = ", ".join(
        f"{outer} for port {inner} inside"
        for outer, _, inner in (path.partition(">") for path, _ in paths.most_common(3))
    )
    return (
        f"{paths.total():,} frames have an outer source port that was not submitted to the driver "
        f"({some}{' and more' if len(paths) > 3 else ''})"
    )


def first_wrong(bursts: Iterable[Burst]) -> str:
    """Returns a phrase on the first wrong frame that was kept; empty where none was."""
    for burst in bursts:
        for frame in burst.received.captured.samples:
            if frame.findings:
                return f"; the first: {frame.findings[-1]}"
    return ""


def peer_drops(bursts: Iterable[Burst]) -> dict[str, int]:
    """Returns how many frames the peer's NIC and kernel had no room for, by counter.

    Of counters that count the same frames, those of the link and those of the driver, only one kind
    is taken for each burst.
    """
    return no_room(burst.received.counters for burst in bursts)


def no_room(bursts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """As `peer_drops`, from the counters of each burst on the host that received it."""
    drops: dict[str, int] = {}
    for counters in bursts:
        for name, count in _no_room(counters).items():
            drops[name] = drops.get(name, 0) + count
    return drops


def _most(counters: Mapping[str, int]) -> int:
    return sum(_no_room(counters).values())


def _no_room(counters: Mapping[str, int]) -> dict[str, int]:
    link = {name: max(0, counters[name]) for name in _OF_LINK if counters.get(name)}
    nic = {name: max(0, n) for name, n in counters.items() if _OF_NIC.fullmatch(name)}
    kernel = {_OF_KERNEL: counters[_OF_KERNEL]} if counters.get(_OF_KERNEL, 0) > 0 else {}
    return max(link, nic, key=lambda some: sum(some.values())) | kernel


def _once(burst: Burst) -> int:
    """Returns the frames submitted to the driver, each once.

    What is written to the kernel is frames, or for TCP bytes, of which there are more.
    """
    return min(burst.sent.submitted.frames, burst.sent.written)
