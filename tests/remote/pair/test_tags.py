"""Tags that an end refuses: whichever end was tagged is untagged, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from qualification.errors import AgentError
from qualification.inventory import Role
from qualification.remote.agent_client import AgentClient
from qualification.remote.pair.controls import _run_tagged
from qualification.remote.pair.endpoints import Endpoints
from qualification.remote.pair.offloads import Offloads
from qualification.remote.pair.orders import OrderBuilder
from qualification.remote.pair.session import PairSession
from qualification.remote.pair.states import States, TunnelFlows

from .test_orders import ENDS, FLOWS

TAGGED_ENDS = replace(ENDS, vlan=5)


class Agent:
    """An agent that may refuse to tag."""

    def __init__(self, error: AgentError | None = None) -> None:
        self._error = error
        self.asked: list[str] = []

    def call(self, op: str, **_args: Any) -> Any:
        self.asked.append(op)
        if op == "tag" and self._error is not None:
            raise self._error


class Pair:
    """As much of a `PairSession` as the control for tags uses."""

    def __init__(self, dut: Agent, peer: Agent) -> None:
        agents = cast("dict[Role, AgentClient]", {"dut": dut, "peer": peer})
        orders = OrderBuilder(TAGGED_ENDS, (7,), 1)
        self.ends, self.endpoints = TAGGED_ENDS, Endpoints("soft", TAGGED_ENDS, agents, orders)
        flows = TunnelFlows.of(TAGGED_ENDS, tuple(FLOWS.values()))
        self.states = States(self.endpoints, cast("Offloads", None), flows)


def run(dut: Agent, peer: Agent) -> Any:
    return _run_tagged(cast("PairSession", Pair(dut, peer)))


@pytest.mark.parametrize(
    ("kind", "blocked"), [("no-vlan", True), ("vlan-taken", False), ("address-taken", False)]
)
def test_an_end_that_cannot_tag(kind: str, blocked: bool) -> None:
    dut, peer = Agent(), Agent(AgentError("it cannot", kind=kind))
    found = run(dut, peer)
    assert (found.trusted, found.blocked, found.reason) == (False, blocked, "it cannot")
    assert dut.asked == ["tag", "untag"]
    assert peer.asked[0] == "tag"


@pytest.mark.parametrize("kind", ["timeout", "died", "malformed-answer"])
def test_an_agent_that_does_not_answer_says_nothing_about_tags(kind: str) -> None:
    dut, peer = Agent(), Agent(AgentError("too slow", kind=kind))
    with pytest.raises(AgentError, match="too slow"):
        run(dut, peer)
    assert dut.asked == ["tag", "untag"]
