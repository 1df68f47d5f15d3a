"""Packet sets that are made once: after `retarget` they equal those made for the other port."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qualification.agent.traffic.expected_frames import ExpectedFrames
from qualification.agent.traffic.prepared_set import (
    PreparedSet,
    expected_frames,
    packets_of,
    prepared_set,
)
from qualification.lab.softnic.offload import finish
from qualification.lab.softnic.tx_descriptor import parse
from qualification.messages.bursts import CraftedOrder
from qualification.wire.crafted.catalogue import PACKET_SETS
from qualification.wire.dissect import dissect
from qualification.wire.verify import check

ORDERS = [
    CraftedOrder(
        packet_set=packet_set.name, protocol=protocol, segmented=cut, device="w0",
        vni=7001 if kinds is packet_set.traffic else None,
        source_mac="02:aa:bb:cc:dd:ee", destination_mac="02:00:00:00:00:02",
        source=source, destination=destination, port=packet_set.port or 20_000, mtu=1430, seed=5,
        tunnel_sum=0,
    )
    for packet_set in PACKET_SETS.values()
    for kinds in (packet_set.traffic, packet_set.plain)
    for protocol, cut in kinds
    for source, destination in (("10.86.1.1", "10.86.1.77"), ("fd01::1", "fd01::77"))
]  # fmt: skip
PORTS = (4789, 20_000, 20_001, 37_777, 59_999)
each = pytest.mark.parametrize(
    "order",
    ORDERS,
    ids=lambda o: f"{o.packet_set}-{o.protocol}-{o.segmented}-{o.source[:2]}-{o.vni}",
)


def sums(order: CraftedOrder) -> list[bytes]:
    """Returns the L4 checksums of the frames that a correct NIC makes."""
    found = []
    for crafted in packets_of(order):
        for frame in finish(parse(crafted.vnet() + crafted.frame, 10)):
            assert check(bytes(frame)).good
            found.append(bytes(frame[crafted.checksum_at : crafted.checksum_at + 2]))
    return found


@each
def test_a_set_for_another_port_equals_the_one_made_for_it(order: CraftedOrder) -> None:
    for port in PORTS:
        there = replace(order, port=port)
        made = PreparedSet(packets_of(there))
        cached = prepared_set(there)
        one, other = ([(bytes(b), f) for b, f in x.buffers()] for x in (cached, made))
        assert one == other
        assert (cached.first_port, cached.segment_sizes) == (made.first_port, made.segment_sizes)
        assert cached is prepared_set(replace(order, device="another"))


@each
def test_frames_expected_at_another_port_equal_those_made_for_it(order: CraftedOrder) -> None:
    for port in PORTS:
        there = replace(order, port=port)
        made = ExpectedFrames(packets_of(there), tunnel=order.vni is not None)
        cached = expected_frames(there)
        assert cached.frames == made.frames
        assert cached.first_port == made.first_port
        assert (cached.first_frames, cached.starts) == (made.first_frames, made.starts)
        assert cached.fragmentable == made.fragmentable


@pytest.mark.parametrize(
    "order", [o for o in ORDERS if o.packet_set in ("crafted", "outer-sums", "lengths")], ids=str
)
def test_sums_are_the_same_at_every_port(order: CraftedOrder) -> None:
    first, *others = (sums(replace(order, port=port)) for port in PORTS)
    assert others == [first] * len(others)


def test_frames_of_an_earlier_burst_do_not_count_for_the_next() -> None:
    order = next(
        o for o in ORDERS if o.packet_set == "lengths" and o.vni is None and o.port == 20_000
    )
    for port in (20_000, 20_001, 20_000):
        there = replace(order, port=port)
        expected = expected_frames(there)
        crafted = next(iter(packets_of(there)))
        (frame,) = (bytes(f) for f in finish(parse(crafted.vnet() + crafted.frame, 10)))
        layout = dissect(frame, ports=frozenset())
        assert layout
        assert [expected.check_off(frame, layout) for _ in range(2)] == [None, "it came twice"]
    assert expected_frames(replace(order, port=20_002)).check_off(frame, layout) is not None


def test_another_seed_or_path_is_another_packet_set() -> None:
    order = ORDERS[0]
    for changed in (
        {"seed": 6}, {"mtu": 1450}, {"ttl": 65}, {"source": "10.86.1.3"},
        {"packet_set": "small-mss"},
    ):  # fmt: skip
        assert prepared_set(replace(order, **changed)) is not prepared_set(order)
    assert expected_frames(replace(order, vni=None)) is not expected_frames(order)
    assert expected_frames(replace(order, vni=7002)) is expected_frames(order)
