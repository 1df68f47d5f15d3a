"""What an application would feel: calls through the tunnel, and the same where no NIC is to blame.

Three times the same calls: through the tunnel with every offload of the DUT on, through it with
all of them off, and on the DUT's host alone, inside the tunnel namespace and over its loopback.
"""

from __future__ import annotations

from hashlib import blake2b

from pydantic import TypeAdapter

from qualification.inventory import Role
from qualification.judge.symptom import CallRun, Runs
from qualification.messages.calls import Calls, CallsOrder, Served
from qualification.plan.flows import Flow

from .orders import inner_address
from .session import PairSession

_CALLS = TypeAdapter(Calls)
_SERVED = TypeAdapter(Served)

CALLS = 320
"""Calls of one run, over all channels."""
CHANNELS = 8
DEADLINE = 1.0
"""Seconds; what many services give a call."""
_SECONDS = 5.0
_PORT = 61_001  # above every port of a burst, and of those that a kernel chooses by itself
SIZES = (
    *(100, 1_000, 100, 10_000, 1_000, 100, 100_000, 1_000, 100, 10_000),
    *(100, 1_000, 100, 10_000, 1_000, 100, 1_000_000, 10_000, 100, 100_000, 100),
)
"""Bytes of request and of answer: mostly small ones, as of services. There are 21, which has no
factor in common with the number of channels, so that each channel comes to every size."""


def run_symptom(pair: PairSession, deadline: float = DEADLINE) -> Runs:
    """Makes the calls of all three runs.

    Args:
        pair: The pair, open.
        deadline: Seconds after which a call is an error.

    Raises:
        LabError: An agent refused, failed or died.
    """
    pair.all_on()
    through = calls_order(pair, "peer", deadline)
    tunnel = _calls(pair, through, "peer")
    pair.all_off()
    without = _calls(pair, through, "peer")
    one_host = _calls(pair, calls_order(pair, "dut", deadline), "dut")
    return Runs(deadline, tunnel, without, one_host)


def calls_order(pair: PairSession, server: Role, deadline: float = DEADLINE) -> CallsOrder:
    """The calls of one run, from the DUT's host to a server on one of the two.

    Args:
        pair: The pair.
        server: Where the server is; with "dut" no call leaves the host.
        deadline: Seconds after which a call is an error.
    """
    digest = blake2b(f"{pair.orders.seed}/symptom".encode(), digest_size=4).digest()
    return CallsOrder(
        routes=tuple(
            (
                inner_address("dut", flow.vni, flow.inner),
                inner_address(server, flow.vni, flow.inner),
            )
            for flow in _ways(pair).values()
        ),
        port=_PORT,
        channels=CHANNELS,
        calls=CALLS // CHANNELS,
        sizes=SIZES,
        deadline=deadline,
        seconds=_SECONDS,
        seed=int.from_bytes(digest, "big"),
    )


def _ways(pair: PairSession) -> dict[str, Flow]:
    """A flow for each way through the tunnels; those of one way differ in protocols alone."""
    return {f"{flow.outer_id}/inner{flow.inner}": flow for flow in pair.flows}


def _calls(pair: PairSession, order: CallsOrder, server: Role) -> CallRun:
    """One run, its client on the DUT's host."""
    pair.call(server, "serve_calls", order=order)
    client = _CALLS.validate_python(pair.call("dut", "make_calls", order=order))
    served = _SERVED.validate_python(pair.call(server, "finish_calls"))
    return CallRun(tuple(_ways(pair)), client, served)
