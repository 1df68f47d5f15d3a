"""What a mitigation costs: bulk TCP with every offload on, and with the mitigation, in turns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from qualification.errors import LabError
from qualification.judge.culprit.cost import CostTurns
from qualification.messages.throughput import Throughput
from qualification.plan.features import SENDING
from qualification.plan.flows import Flow
from qualification.remote.pair.session import PairSession

TURNS = 3
"""Turns of each kind, by turns."""
SECONDS = 0.5
"""How long a turn is measured. CPU time is counted in hundredths of a second."""

_log = logging.getLogger("vxqual.pair")


def measure_cost(pair: PairSession, off: Sequence[str]) -> CostTurns:
    """Measures throughput and CPU with every offload on and with some features off.

    No frame is captured meanwhile, and no pace is kept.

    Args:
        pair: The pair, open.
        off: The features that the mitigation turns off.

    Raises:
        LabError: An agent refused, failed or died, or the pair has no flow of TCP.
    """
    flow = _flow(pair)
    pair.states.enter(flow)
    on = dict.fromkeys(SENDING, True)
    all_on: list[Throughput] = []
    mitigated: list[Throughput] = []
    for _ in range(TURNS):
        for turns, wanted in ((all_on, on), (mitigated, on | dict.fromkeys(off, False))):
            pair.offloads.request(wanted)
            turns.append(_turn(pair, flow))
            _log.info("%s: with %s: %s", pair.name, "all on" if turns is all_on else off, turns[-1])
    return CostTurns(pair.name, tuple(off), flow.id, tuple(all_on), tuple(mitigated))


def _flow(pair: PairSession) -> Flow:
    """Returns the flow to measure: TCP through a tunnel that asks for outer checksums, if any."""
    some = [flow for flow in pair.flows if flow.tunnel and flow.l4 == "tcp"]
    if not some:
        raise LabError("there is no flow of TCP to measure what the mitigation costs")
    return next((flow for flow in some if flow.outer_checksum), some[0])


def _turn(pair: PairSession, flow: Flow) -> Throughput:
    ends = pair.endpoints
    order = replace(ends.orders.tunnel(flow, 1).flow, pace=0)
    ends.call("peer", "receive_bulk", flow=order)
    try:
        turn = ends.ask("dut", Throughput, "send_bulk", flow=order, duration=SECONDS)
    finally:
        ends.call("peer", "end_bulk")
    if not (turn.seconds > 0 and turn.octets >= 0 and turn.cpu_seconds >= 0):
        raise LabError(f"its agent measured what cannot be: {turn}", where=pair.ends.dut.name)
    return turn
