"""The decoder of messages: what it builds, and what it refuses with which path."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qualification
from qualification.messages import bursts, calls, host, receive
from qualification.messages.bursts import CaptureOrder, CaptureResult, FlowOrder, Received
from qualification.messages.calls import CallsOrder
from qualification.messages.decode import DecodeError, decode, decode_arguments
from qualification.messages.host import HostFacts, Problem, TunnelOrder
from qualification.messages.protocol import encoded
from tests.agent.test_serve import _pythons

MESSAGES = [
    kind
    for module in (bursts, calls, host, receive)
    for kind in vars(module).values()
    if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
]
FLOW = {
    "vni": None, "protocol": "udp", "segmented": True, "source": "10.86.1.1",
    "destination": "10.86.1.2", "port": 20_000, "frames": 100, "payload": 1400, "streams": 8,
    "seed": 7, "pace": 0, "deadline": 20,
}  # fmt: skip
CAPTURE = {
    "interface": "eth0", "source_mac": "02:00:00:00:00:01", "protocols": [17], "port": 4789,
    "vxlan_port": 4789, "vni": 7001, "flow_port": 20_000, "our_vnis": [7001, 7002],
    "late_ports": [20_000, 20_000], "mtu": 1500, "outer_checksum": False,
}  # fmt: skip

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(), inside, max_size=3),
    max_leaves=5,
)
NAN = float("nan")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def instances(kind: Any) -> st.SearchStrategy[Any]:
    """Every field drawn, those with a default, too."""
    known: dict[str, st.SearchStrategy[Any]] = {
        "float": FINITE,
        "tuple[float, ...]": st.lists(FINITE, max_size=4).map(tuple),
        "dict[str, Any]": st.dictionaries(st.text(), JSON, max_size=3),
    }
    given_fields = {
        field.name: known[str(field.type)]
        for field in dataclasses.fields(kind)
        if str(field.type) in known
    }
    others = {f.name: ... for f in dataclasses.fields(kind) if f.name not in given_fields}
    return st.builds(kind, **given_fields, **others)


# What a message can have of them; hypothesis would draw larger ones.
st.register_type_strategy(int, st.integers(-(1 << 63), (1 << 64) - 1))
for message_class in MESSAGES:  # also where one is a field of another
    st.register_type_strategy(message_class, instances(message_class))


def reason(kind: Any, value: Any, path: str = "") -> str:
    with pytest.raises(DecodeError) as caught:
        decode(kind, value, path)
    return str(caught.value)


def test_every_message_class_is_tried() -> None:
    names = {kind.__name__ for kind in MESSAGES}
    assert len(names) == len(MESSAGES) >= 20
    assert {"CaptureOrder", "Received", "NicFacts", "CallsOrder", "ReceiveResult"} <= names


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=40)
def test_what_is_encoded_is_decoded_to_the_same(kind: Any, data: st.DataObject) -> None:
    message = data.draw(instances(kind))
    assert decode(kind, json.loads(encoded({"it": message}))["it"]) == message
    assert decode(kind, dataclasses.asdict(message)) == message


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@given(value=JSON)
@settings(max_examples=40)
def test_anything_else_is_refused_or_is_a_message(kind: Any, value: Any) -> None:
    """Never another exception, and never an instance with a field of another type."""
    try:
        message = decode(kind, value)
    except DecodeError:
        return
    assert type(message) is kind


def test_containers_are_those_of_the_class() -> None:
    order = decode(CaptureOrder, CAPTURE)
    assert order == CaptureOrder(
        "eth0", "02:00:00:00:00:01", (17,), 4789, 4789, 7001, 20_000, (7001, 7002),
        (20_000, 20_000), 1500, False,
    )  # fmt: skip
    assert hash(order)
    shapes = {"length": {"odd": [9, 1]}}
    assert decode(CaptureResult, {"shapes": shapes}).shapes == {"length": {"odd": (9, 1)}}


def test_an_integer_will_do_for_a_float() -> None:
    deadline = decode(FlowOrder, FLOW).deadline
    assert (type(deadline), deadline) == (float, 20.0)


def test_types_made_of_messages() -> None:
    problem = {"kind": "no-link", "message": "eth0 has no link", "data": {"a": [1, None]}}
    assert decode(list[Problem], [problem]) == [
        Problem("no-link", "eth0 has no link", None, {"a": [1, None]})
    ]
    assert decode(tuple[int, ...], []) == ()
    assert reason(list[Problem], [problem, {}], "problems") == "problems[1].kind: missing"
    assert reason(dict[str, HostFacts], {"a": 1}) == "a: must be an object, is 1"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"protocols": [6, 17, "x"]}, "protocols[2]: must be a whole number, is 'x'"),
        ({"port": True}, "port: must be a whole number, is True"),
        ({"port": 4789.0}, "port: must be a whole number, is 4789.0"),
        ({"port": None}, "port: must be a whole number, is null"),
        ({"outer_checksum": 1}, "outer_checksum: must be true or false, is 1"),
        ({"interface": 5}, "interface: must be a string, is 5"),
        (
            {"interface": "e" * 99, "mtu": "m" * 99},
            f"mtu: must be a whole number, is '{'m' * 59}...",
        ),
        ({"vni": "7001"}, "vni: must be a whole number, is '7001'"),
        ({"our_vnis": {"0": 7001}}, "our_vnis: must be an array, is an object"),
        ({"our_vnis": "7001"}, "our_vnis: must be an array, is '7001'"),
        ({"late_ports": [1]}, "late_ports: must be an array of 2, has 1 values"),
        ({"late_ports": 1}, "late_ports: must be an array of 2, is 1"),
        ({"late_ports": [1, []]}, "late_ports[1]: must be a whole number, is an array"),
        ({"interfaces": "eth0"}, "interfaces: unknown key (known: interface, source_mac, "),
    ],
)
def test_a_wrong_capture_order(changed: dict[str, Any], why: str) -> None:
    assert reason(CaptureOrder, {**CAPTURE, **changed}, "capture").startswith(f"capture.{why}")
    assert reason(CaptureOrder, {**CAPTURE, **changed}).startswith(why)


@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        (FlowOrder, {**FLOW, "protocol": "sctp"}, "protocol: must be 'tcp' or 'udp', is 'sctp'"),
        (FlowOrder, {**FLOW, "protocol": ["udp"]}, "protocol: must be 'tcp' or 'udp', is an array"),
        (FlowOrder, {**FLOW, "deadline": "1"}, "deadline: must be a finite number, is '1'"),
        (FlowOrder, {**FLOW, "deadline": True}, "deadline: must be a finite number, is True"),
        (FlowOrder, {**FLOW, "deadline": NAN}, "deadline: must be a finite number, is nan"),
        (FlowOrder, {**FLOW, "deadline": 10**400}, "deadline: must be a finite number, is 1000"),
        (FlowOrder, {**FLOW, "seed": 1 << 64}, "seed: must be a whole number of 64 bits"),
        (FlowOrder, {**FLOW, "seed": -(10**400)}, "seed: must be a whole number of 64 bits"),
        (FlowOrder, {}, "vni: missing"),
        (FlowOrder, None, "must be an object, is null"),
        (FlowOrder, [FLOW], "must be an object, is an array"),
        (CallsOrder, {"routes": [["a", "b"], ["a"]]}, "routes[1]: must be an array of 2, has 1 v"),
        (CallsOrder, {"routes": [["a", 1]]}, "routes[0][1]: must be a string, is 1"),
        (CaptureResult, {"samples": [{"data": ""}]}, "samples[0].layers: missing"),
        (CaptureResult, {"bad_layers": {"outer L4": "2"}}, "bad_layers.outer L4: must be a whole"),
        (CaptureResult, {"bad_layers": []}, "bad_layers: must be an object, is an array"),
        (CaptureResult, {"bad_layers": {4: 2}}, "bad_layers: has the key 4, which is no string"),
        (CaptureResult, {"shapes": {"l": {"odd": [1, None]}}}, "shapes.l.odd[1]: must be a whole"),
        (Received, {"captured": {"frames": 1.5}}, "captured.frames: must be a whole number"),
        (TunnelOrder, {"name": "vx1", 5: 6}, "5: unknown key (known: name, vni, "),
    ],
)  # fmt: skip
def test_what_is_refused_and_where(kind: Any, value: Any, why: str) -> None:
    assert reason(kind, value).startswith(why)


def test_a_literal_is_of_its_own_type() -> None:
    from typing import Literal  # noqa: PLC0415

    kind: Any = Literal[4, 6]
    assert decode(kind, 4) == 4
    assert reason(kind, 4.0) == "must be 4 or 6, is 4.0"
    assert reason(Literal[1, 0], True) == "must be 1 or 0, is True"


def test_the_arguments_of_a_function() -> None:
    def order(
        context: object,
        *,
        flow: FlowOrder,
        names: tuple[str, ...] = (),
        reverse: FlowOrder | None = None,
    ) -> None: ...

    flow = decode(FlowOrder, FLOW)
    assert decode_arguments(order, {"flow": FLOW}) == {"flow": flow}
    both = {"flow": FLOW, "reverse": FLOW, "names": ["a"]}
    assert decode_arguments(order, both) == {"flow": flow, "reverse": flow, "names": ("a",)}
    for values, why in (
        ({}, "flow: missing"),
        ({"flow": FLOW, "context": 1}, "context: unknown key (known: flow, names, reverse)"),
        ({"flow": FLOW, "names": ["a", 1]}, "names[1]: must be a string, is 1"),
        ({"flow": FLOW, "reverse": {}}, "reverse.vni: missing"),
        ([], "must be an object, is an array"),
    ):
        with pytest.raises(DecodeError) as caught:
            decode_arguments(order, values)
        assert str(caught.value) == why


def test_an_annotation_that_no_message_can_have() -> None:
    @dataclasses.dataclass(frozen=True)
    class Local:
        when: set[int]

    for kind in (Local, int | str, dict[int, str], object):
        with pytest.raises(TypeError, match="is nothing that a message can have"):
            decode(kind, {})


@pytest.mark.parametrize("python", _pythons(), ids=lambda python: Path(python).name)
def test_it_runs_on_the_hosts_pythons(python: str) -> None:
    """Every class and every order is decoded there as here."""
    code = f"""if True:
        import dataclasses, json, sys
        from qualification.messages import bursts, calls, decode, host, receive
        for module in (bursts, calls, host, receive):
            for kind in vars(module).values():
                if dataclasses.is_dataclass(kind):
                    try:
                        decode.decode(kind, {{"no such key": 1}})
                    except decode.DecodeError as error:
                        assert str(error).startswith("no such key: unknown key"), error
                    else:
                        raise AssertionError(kind)
        flow, capture = json.loads({json.dumps(json.dumps([FLOW, CAPTURE]))})
        print(decode.decode(bursts.FlowOrder, flow))
        print(decode.decode(bursts.CaptureOrder, capture))
        try:
            decode.decode(bursts.CaptureOrder, dict(capture, protocols=[6, "x"]), "capture")
        except decode.DecodeError as error:
            print(error)
    """
    root = str(Path(qualification.__file__).parents[1])
    done = subprocess.run(
        [python, "-B", "-c", code],
        check=True, capture_output=True, text=True, env={"PYTHONPATH": root},
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        repr(decode(FlowOrder, FLOW)),
        repr(decode(CaptureOrder, CAPTURE)),
        "capture.protocols[1]: must be a whole number, is 'x'",
    ]
