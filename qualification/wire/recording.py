"""Counts the frames of one burst in a recording of the wire, by the layers that are wrong.

A recording holds all that crossed the wire: frames of other flows, of earlier bursts, and of the
other end. What belongs to a burst is found by the order for its capture.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .flow_frames import FOREIGN, LATE, required, whose_is, wrong_layers
from .layers import LAYERS
from .verify import check

if TYPE_CHECKING:
    from qualification.messages.bursts import CaptureOrder

    from .dissect import Layout


@dataclass(frozen=True)
class WireTally:
    """What the recording of one burst holds.

    Attributes:
        frames: Frames of the burst that could be judged.
        bad: Of those, frames that are wrong in at least one layer.
        bad_layers: Bad frames by layer.
        unjudged: Frames of the burst that could not be judged in full, by reason.
        fragments: IP fragments of the sender, whose ports are not known; in no other number.
        samples: The first bad frames, base64.
    """

    frames: int = 0
    bad: int = 0
    bad_layers: dict[str, int] = field(default_factory=dict)
    unjudged: dict[str, int] = field(default_factory=dict)
    fragments: int = 0
    samples: tuple[str, ...] = ()


def tally(frames: Iterable[tuple[bytes, int]], order: CaptureOrder, keep: int = 4) -> WireTally:
    """Judges the frames of one burst.

    Args:
        frames: The bytes and the length of each frame of a recording, as from `capture_file`.
        order: The order for the capture of the burst on the receiver.
        keep: How many bad frames are stored with their bytes.
    """
    mac = bytes.fromhex(order.source_mac.replace(":", ""))
    ports = frozenset({order.vxlan_port}) if order.vxlan_port else frozenset[int]()
    must_have = required(order)
    layers: Counter[str] = Counter()
    unjudged: Counter[str] = Counter()
    judged = bad = fragments = 0
    samples: list[str] = []
    for frame, length in frames:
        if frame[6:12] != mac:
            continue
        checked = check(frame, length, ports)
        if checked.layout is None or _elsewhere(checked.layout, order):
            continue
        whose = whose_is(order, checked.layout, frame)
        # As in the capture on the peer: a wrong frame may no longer show its flow.
        wrong = wrong_layers(checked, whose, must_have)
        if whose == LATE or (whose == FOREIGN and not wrong):
            continue
        if checked.layout.outer.trouble == "fragment":
            fragments += 1
        elif wrong:
            judged, bad = judged + 1, bad + 1
            layers.update(name for bit, name in LAYERS.items() if wrong & bit)
            if len(samples) < keep:
                samples.append(base64.b64encode(frame).decode("ascii"))
        elif checked.unjudged or checked.reason:
            unjudged[checked.reason or "unknown"] += 1
        else:
            judged += 1
    return WireTally(judged, bad, dict(layers), dict(unjudged), fragments, tuple(samples))


def _elsewhere(layout: Layout, order: CaptureOrder) -> bool:
    """Returns whether a frame goes to another port or protocol than the capture takes in."""
    port = layout.outer.destination_port
    other = layout.outer.protocol not in order.protocols
    return layout.outer.trouble != "fragment" and (other or port not in (None, order.port))
