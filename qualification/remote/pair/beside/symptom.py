"""What an application would notice: the same calls under three conditions.

They are made through the tunnel with every offload of the DUT on, through it with all of them off,
and on the DUT's host alone, inside the tunnel namespace and over its loopback interface, where no
NIC can be the cause.
"""

from __future__ import annotations

from qualification.inventory import Role
from qualification.judge.symptom import CallRun, Runs
from qualification.messages.calls import Calls, CallsOrder, Served
from qualification.plan.flows import Flow
from qualification.remote.pair.addresses import inner_address
from qualification.remote.pair.session import PairSession

CALLS = 320
"""Calls of one run, over all channels."""
CHANNELS = 8
DEADLINE = 1.0
"""Seconds that a call may take: many services use this deadline."""
_SECONDS = 5.0
_PORT = 61_001  # above the ports of all bursts and above Linux's default ephemeral ports
SIZES = (
    *(100, 1_000, 100, 10_000, 1_000, 100, 100_000, 1_000, 100, 10_000),
    *(100, 1_000, 100, 10_000, 1_000, 100, 1_000_000, 10_000, 100, 100_000, 100),
)
"""Bytes of request and of answer: mostly small, as services have them. Their number, 21, has no
factor in common with the number of channels, so that each channel uses every size."""


def run_symptom(pair: PairSession, deadline: float = DEADLINE) -> Runs:
    """Makes the calls of all three runs.

    Args:
        pair: The pair, open.
        deadline: Seconds after which a call counts as failed.

    Raises:
        LabError: An agent refused, failed or died.
    """
    pair.offloads.all_on()
    through = calls_order(pair, "peer", deadline)
    tunnel = _calls(pair, through, "peer")
    pair.offloads.all_off()
    without = _calls(pair, through, "peer")
    one_host = _calls(pair, calls_order(pair, "dut", deadline), "dut")
    return Runs(deadline, tunnel, without, one_host)


def calls_order(pair: PairSession, server: Role, deadline: float = DEADLINE) -> CallsOrder:
    """Builds the order for the calls of one run, from the DUT's host to a server.

    Args:
        pair: The pair.
        server: The end whose host runs the server; with "dut" no call leaves the host.
        deadline: Seconds after which a call counts as failed.
    """
    ends = pair.endpoints.ends
    return CallsOrder(
        routes=tuple(
            (
                inner_address("dut", ends.vni(flow.vni), flow.inner),
                inner_address(server, ends.vni(flow.vni), flow.inner),
            )
            for flow in _ways(pair).values()
        ),
        port=_PORT,
        channels=CHANNELS,
        calls=CALLS // CHANNELS,
        sizes=SIZES,
        deadline=deadline,
        seconds=_SECONDS,
        seed=pair.endpoints.orders.allotment.derived_seed("symptom"),
    )


def _ways(pair: PairSession) -> dict[str, Flow]:
    """Returns one flow for each combination of outer headers and inner family.

    The pair's other flows of a combination differ from it in their protocol only.
    """
    return {f"{flow.outer_id}/inner{flow.inner}": flow for flow in pair.flows}


def _calls(pair: PairSession, order: CallsOrder, server: Role) -> CallRun:
    """Makes one run of calls; the client is on the DUT's host."""
    endpoints = pair.endpoints
    endpoints.call(server, "serve_calls", order=order)
    client = endpoints.ask("dut", Calls, "make_calls", order=order)
    served = endpoints.ask(server, Served, "finish_calls")
    return CallRun(tuple(_ways(pair)), client, served)
