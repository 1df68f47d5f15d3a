"""Finds the pace at which a pair's tunnel loses nothing with every offload off."""

from __future__ import annotations

import logging
from functools import partial

from qualification.judge.delivery import no_socket_room
from qualification.judge.evidence import Burst
from qualification.judge.pace import PaceFound, PaceTry, first_pace, next_pace, pace_found
from qualification.plan.flows import Flow

from .session import PairSession

_log = logging.getLogger("vxqual.pair")

_LEAST_FRAMES = 4_096
"""More than the queues of slow NICs hold, and than any crafted packet set has."""
_TIMES = 2
"""The burst has so many frames for each one that a cell needs: what a queue would lose of a cell
has to show here, and the more frames arrive with every offload off, the fewer that a cell loses are
enough to blame the NIC."""
_NO_WIRE = frozenset({"tun", "veth", "virtio_net"})
"""Drivers whose speed is a constant, and says nothing about the path."""


def find_pace(pair: PairSession) -> tuple[PaceFound, Flow, Burst]:
    """Sends bursts of the largest frames, each at half the last pace, until one arrives whole.

    The pace is that of all later bursts of the pair. The offloads of the DUT have to be off.

    Returns:
        The pace, the flow, and its last burst.
    """
    orders = pair.endpoints.orders
    flow = next(flow for flow in pair.flows if flow.l4 == "udp" and flow.segmentation)
    frames = min(orders.max_frames(flow), max(_LEAST_FRAMES, _TIMES * pair.demand.frames))
    nics = (pair.ends.dut.facts, pair.ends.peer.facts)
    speeds = tuple(nic.speed_mbps for nic in nics if nic.driver not in _NO_WIRE)
    orders.pace = min(orders.fastest, first_pace(speeds, pair.ends.mtu))
    tries: tuple[PaceTry, ...] = ()
    while True:
        burst = pair.endpoints.burst(partial(orders.tunnel, flow, frames))
        submitted, seen = burst.sent.submitted.frames, burst.received.captured
        lost = submitted - seen.frames - sum(seen.unjudged.values())
        lost = max(0, lost) + no_socket_room(burst, flow.l4, tunnel=True)
        tries = (*tries, PaceTry(orders.pace, submitted, lost))
        _log.info(
            "%s: %d of %d frames lost at %d frames/s", pair.name, lost, submitted, orders.pace
        )
        following = None if seen.bad else next_pace(tries)
        if following is None:
            found = pace_found(tries)
            orders.keep(found)
            _log.info("%s: the pace of all bursts: %s", pair.name, found)
            return found, flow, burst
        orders.pace = following
