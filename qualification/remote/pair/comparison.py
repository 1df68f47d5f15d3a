"""Measures a cell with its offloads and without any, to tell what the NIC does from the path."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

from qualification.judge.blame.corruption import judged_without, next_burst
from qualification.judge.blame.loss import Reference
from qualification.judge.evidence import Burst, Evidence, total
from qualification.plan.cells import Cell

from .endpoints import Endpoints, Recorder
from .offloads import Offloads
from .vlan import insertion

_MOST = 150
"""Frames that a pair spends on the question, in multiples of the demand: some cells of a rare fault
are measured until it is clear, and the rest of them may stay unclear."""

_log = logging.getLogger("vxqual.pair")


class Comparison:
    """Compares the wrong frames of a pair's cells with bursts without any offload.

    Those are about the path: bursts that were sent for one cell count for all.

    Args:
        endpoints: The pair.
        offloads: The offload set of its DUT.
        demand: Frames that a PASS takes.
        recorder: Records the wire during the bursts of cells; None where nothing can.
    """

    def __init__(
        self, endpoints: Endpoints, offloads: Offloads, demand: int, recorder: Recorder | None
    ) -> None:
        self._ends, self._offloads, self._demand = endpoints, offloads, demand
        self._recorder = recorder
        self._without: dict[bool, list[Burst]] = {True: [], False: []}
        self._spent = 0

    def settle(self, cell: Cell, evidence: Evidence, reference: Reference | None) -> Evidence:
        """Returns the evidence with what it takes to tell the NIC's wrong frames from the path's.

        Args:
            cell: The cell, under whose offload set the DUT is.
            evidence: Its evidence so far.
            reference: What its pair sent with every offload off, by its controls.
        """
        if not total(evidence.bursts).bad:
            return evidence
        without = self._without[cell.flow.tunnel]
        while True:
            evidence = replace(evidence, without=tuple(without))
            which = next_burst(cell, evidence, reference, self._demand)
            if which is None or self._spent > _MOST * self._demand:
                return evidence
            _log.info("%s: %s: who corrupts? A burst: %s", self._ends.name, cell.id, which)
            burst = self._burst(cell, off=which == "off")
            self._spent += burst.received.captured.frames
            if which == "on":
                evidence = replace(evidence, bursts=(*evidence.bursts, burst))
            elif judged_without([burst]):
                without.append(burst)
            else:
                return evidence  # nothing arrives, or the NIC has a feature that is fixed on

    def turn(self, cell: Cell) -> tuple[Burst, Burst]:
        """Sends a burst of a cell's flow with every offload off, then one with the cell's on."""
        return self._burst(cell, off=True), self._burst(cell, off=False)

    def _burst(self, cell: Cell, *, off: bool) -> Burst:
        """Sends as many frames of a cell's flow as one burst may have."""
        ends, orders, flow = self._ends, self._ends.orders, cell.flow
        recorder = None if off else self._recorder
        if off:
            self._offloads.all_off()
        try:
            if flow.packet_set:
                return ends.burst(partial(orders.packet_set, flow), recorder)
            return ends.burst(partial(orders.tunnel, flow, orders.max_frames(flow)), recorder)
        finally:
            if off:
                self._offloads.request(cell.offloads.requested | insertion(flow))
