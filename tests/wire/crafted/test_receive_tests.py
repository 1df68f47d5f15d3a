"""Frames of receive tests: the verifier finds wrong in each exactly the layers that are stated."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from qualification.wire.crafted.packet import Path
from qualification.wire.crafted.receive_tests import (
    FRAMES,
    REFERENCE,
    RIGHT,
    WRONG,
    ReceiveFrame,
    receive_frames,
)
from qualification.wire.layers import LAYERS
from qualification.wire.packet import TCP
from qualification.wire.packet import UDP as UDP_NUMBER
from qualification.wire.verify import check

MACS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
ADDRESSES = {
    4: (bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2])),
    6: (b"\xfd" + bytes(14) + b"\1", b"\xfd" + bytes(14) + b"\2"),
}
OVERHEAD = {4: 50, 6: 70}
MTU, PORT = 1500, 4789
FILL = bytes(range(251)) * 9
EVERY = [(o, i, p) for o in (4, 6) for i in (4, 6) for p in (TCP, UDP_NUMBER)]


def burst(outer: int, inner: int, protocol: int, fill: bytes = FILL) -> list[ReceiveFrame]:
    return list(
        receive_frames(
            Path(*MACS, *ADDRESSES[outer], PORT, MTU),
            Path(*MACS, *ADDRESSES[inner], 20_000, MTU - OVERHEAD[outer]),
            77,
            protocol,
            fill,
        )
    )


@pytest.mark.parametrize("kind", EVERY, ids=str)
def test_the_verifier_finds_the_stated_layers_wrong(kind: tuple[int, int, int]) -> None:
    for receive_frame in burst(*kind):
        checked = check(receive_frame.frame, None, frozenset({PORT}))
        bad = tuple(name for bit, name in LAYERS.items() if checked.bad & bit)
        assert bad == receive_frame.wrong, receive_frame.shape
        assert (checked.reason == "not-ip") == (receive_frame.shape == REFERENCE)
        assert checked.unjudged == 0
        if receive_frame.shape != REFERENCE:
            assert checked.layout is not None
            assert checked.layout.vni == 77
            assert checked.layout.inner is not None
            assert checked.layout.inner.source_port == receive_frame.source_port
            assert checked.layout.inner.destination_port == 20_000


@settings(max_examples=20)  # of 400 frames each
@given(st.sampled_from(EVERY), st.binary(min_size=1, max_size=3000))
def test_whatever_the_payload(kind: tuple[int, int, int], fill: bytes) -> None:
    for receive_frame in burst(*kind, fill):
        bad = check(receive_frame.frame, None, frozenset({PORT})).bad
        assert tuple(name for bit, name in LAYERS.items() if bad & bit) == receive_frame.wrong


@pytest.mark.parametrize("kind", EVERY, ids=str)
def test_every_shape_comes_often_enough(kind: tuple[int, int, int]) -> None:
    outer, inner, protocol = kind
    made = burst(*kind)
    assert len(made) >= FRAMES
    count = Counter(receive_frame.shape for receive_frame in made)
    assert min(count.values()) >= 10
    left_out = set() if outer == 4 else {"outer-ip"}
    left_out |= set() if inner == 4 else {"inner-ip"}
    left_out |= set() if inner == 4 and protocol == UDP_NUMBER else {"no-inner"}
    assert count.keys() == {*RIGHT, *WRONG, REFERENCE} - left_out
    assert all(
        bool(receive_frame.wrong) == (receive_frame.shape in WRONG) for receive_frame in made
    )


@pytest.mark.parametrize("kind", EVERY, ids=str)
def test_frames_can_be_distinguished(kind: tuple[int, int, int]) -> None:
    made = burst(*kind)
    assert len({receive_frame.frame for receive_frame in made}) == len(made)
    numbered = [a for a in made if a.shape != REFERENCE]
    assert len({(a.source_port, a.sequence) for a in numbered}) == len(numbered)
    assert burst(*kind) == made
    assert max(len(receive_frame.frame) for receive_frame in made) == 14 + MTU


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind[2] == TCP], ids=str)
def test_streams_go_on_where_they_were_and_end_with_what_is_wrong(
    kind: tuple[int, int, int],
) -> None:
    streams: dict[int, list[ReceiveFrame]] = {}
    for receive_frame in burst(*kind):
        if receive_frame.shape != REFERENCE:
            streams.setdefault(receive_frame.source_port, []).append(receive_frame)
    for first, second in streams.values():
        assert (first.at, second.at) == (0, len(first.payload))
        assert second.sequence == first.sequence + len(first.payload)
        assert first.wrong == ()
        assert first.payload
        assert second.payload


def outermost_inner(frame: bytes) -> Ether:
    return Ether(frame)[VXLAN][Ether]


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind[2] == UDP_NUMBER], ids=str)
def test_scapy_sees_the_shapes(kind: tuple[int, int, int]) -> None:
    """Scapy, an independent parser, reads them as intended."""
    by_shape: dict[str, list[ReceiveFrame]] = {}
    for receive_frame in burst(*kind):
        by_shape.setdefault(receive_frame.shape, []).append(receive_frame)
    for receive_frame in by_shape["zero-outer"] + by_shape["inner-zero-outer"]:
        assert Ether(receive_frame.frame)[UDP].chksum == 0
    for receive_frame in by_shape["computed-0"]:
        assert outermost_inner(receive_frame.frame)[UDP].chksum == 0xFFFF
    for receive_frame in by_shape["vlan"]:
        assert outermost_inner(receive_frame.frame)[Dot1Q].vlan == 0
    for receive_frame in by_shape["padded"]:
        inner = outermost_inner(receive_frame.frame)
        length = inner[IP].len if IP in inner else inner[IPv6].plen + 40
        assert len(bytes(inner)) >= max(60, 14 + length + 2)
    for receive_frame in by_shape.get("no-inner", []):
        assert outermost_inner(receive_frame.frame)[UDP].chksum == 0
    assert {len(receive_frame.payload) for receive_frame in by_shape["tiny"]} == {0, 1, 2, 3}
    assert all(len(receive_frame.payload) % 2 for receive_frame in by_shape["odd"])
    assert not any(len(receive_frame.payload) % 2 for receive_frame in by_shape["even"])
    for receive_frame in by_shape["even"]:
        assert bytes(outermost_inner(receive_frame.frame)[UDP].payload) == receive_frame.payload
