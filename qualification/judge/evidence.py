"""Everything that a verdict is computed from. A stored run keeps it and can be judged again."""

from __future__ import annotations

from dataclasses import dataclass, field

from qualification.messages.bursts import Received, Sent
from qualification.messages.receive import ReceiveResult
from qualification.wire.recording import WireTally

_NO_ROOM = ("link.rx_missed_errors", "link.rx_over_errors", "link.rx_dropped")


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
    """

    effective: dict[str, bool]
    refused: tuple[str, ...] = ()
    bursts: tuple[Burst, ...] = ()
    verifier: str = "python"
    received: tuple[ReceiveResult, ...] = ()


@dataclass(frozen=True)
class Totals:
    """The sums over the bursts of a cell; names not listed here are those of the messages.

    Attributes:
        submitted: Frames that the sender submitted to the driver.
        lost: Frames submitted to the driver that the peer never saw.
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
        unjudged=unjudged,
        drops=sum(s.drops for s in seen) + sum(s.drops for s in submitted),
        foreign=sum(s.foreign for s in seen),
        submitted=sum(s.frames for s in submitted),
        csum_partial=sum(s.csum_partial for s in submitted),
        segments=sum(s.segments for s in submitted),
        lost=max(0, sum(s.frames for s in submitted) - arrived),
        corrupt=sum(burst.received.delivered.corrupt for burst in bursts),
        duplicates=sum(burst.received.delivered.duplicates for burst in bursts),
        inner_csum_errors=sum(
            value
            for burst in bursts
            for name, value in burst.received.counters.items()
            if name.startswith("inner.") and name.endswith("InCsumErrors")
        ),
        peer_dropped=sum(
            burst.received.counters.get(name, 0) for burst in bursts for name in _NO_ROOM
        ),
        shapes=shapes,
    )
