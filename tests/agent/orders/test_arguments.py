"""Orders whose arguments are not those of their operation."""

from __future__ import annotations

from typing import Any

import pytest

from qualification.agent.orders.arguments import decoding
from qualification.agent.orders.table import operations
from qualification.messages.bursts import CaptureOrder
from qualification.messages.decode import DecodeError, decode_arguments
from qualification.messages.protocol import AgentProblem


def test_an_operation_gets_messages() -> None:
    def order(context: str, *, names: tuple[str, ...], vni: int | None = None) -> Any:
        return context, names, vni

    assert decoding(order)("context", names=["a", "b"]) == ("context", ("a", "b"), None)


def test_every_order_refuses_what_it_does_not_know() -> None:
    table, _ = operations()
    assert len(table) > 15
    for order in table.values():
        with pytest.raises(AgentProblem, match=r"^context: unknown key \(known: ") as caught:
            order(None, context=1)
        assert caught.value.kind == "malformed-request"


@pytest.mark.parametrize(
    ("op", "arguments", "why"),
    [
        ("facts", {"interfaces": "eth0"}, "interfaces: must be an array, is 'eth0'"),
        ("facts", {}, "interfaces: missing"),
        ("request_features", {"wanted": {"a": 1}}, "wanted.a: must be true or false, is 1"),
        ("make_tunnels", {"orders": [{"name": "v"}]}, "orders[0].vni: missing"),
        ("collect", {"frames": "1"}, "frames: must be a whole number, is '1'"),
        ("watch", {"capture": {"port": "x"}}, "capture.port: must be a whole number, is 'x'"),
        ("send", {"flow": {"protocol": "x"}}, "flow.protocol: must be 'tcp' or 'udp', is 'x'"),
        ("tag", {"vlan": {"vlan": 1.5}}, "vlan.vlan: must be a whole number, is 1.5"),
        ("serve_calls", {"order": []}, "order: must be an object, is an array"),
        ("inject_received", {"order": {"vni": None}}, "order.vni: must be a whole number, is null"),
    ],
)
def test_a_malformed_order(op: str, arguments: dict[str, Any], why: str) -> None:
    table, _ = operations()
    with pytest.raises(AgentProblem) as caught:
        table[op](None, **arguments)
    assert (caught.value.kind, caught.value.message) == ("malformed-request", why)


def test_decoding_comes_before_anything_is_done() -> None:
    def order(_context: object, *, capture: CaptureOrder) -> None:
        raise AssertionError(capture)

    with pytest.raises(AgentProblem):
        decoding(order)(None, capture={})
    with pytest.raises(DecodeError):
        decode_arguments(order, {"capture": {}})
