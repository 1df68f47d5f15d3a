"""Volleys that are made once: to another port they are what would have been made for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qualification.agent.due import Due
from qualification.agent.messages import VolleyOrder
from qualification.agent.salvo import Salvo, due_of, salvo_of, shots_of
from qualification.lab.job import parse
from qualification.lab.offload import finish
from qualification.wire.dissect import dissect
from qualification.wire.verify import check
from qualification.wire.volleys import VOLLEYS

ORDERS = [
    VolleyOrder(
        volley=volley.name, protocol=protocol, segmented=cut, device="w0",
        vni=7001 if kinds is volley.traffic else None,
        source_mac="02:aa:bb:cc:dd:ee", destination_mac="02:00:00:00:00:02",
        source=source, destination=destination, port=volley.port or 20_000, mtu=1430, seed=5,
        around=0,
    )
    for volley in VOLLEYS.values()
    for kinds in (volley.traffic, volley.plain)
    for protocol, cut in kinds
    for source, destination in (("10.86.1.1", "10.86.1.77"), ("fd01::1", "fd01::77"))
]  # fmt: skip
PORTS = (4789, 20_000, 20_001, 37_777, 59_999)
each = pytest.mark.parametrize(
    "order", ORDERS, ids=lambda o: f"{o.volley}-{o.protocol}-{o.segmented}-{o.source[:2]}-{o.vni}"
)


def sums(order: VolleyOrder) -> list[bytes]:
    """The L4 checksums that an honest NIC gives its frames."""
    found = []
    for shot in shots_of(order):
        for frame in finish(parse(shot.vnet() + shot.frame, 10)):
            assert check(bytes(frame)).good
            found.append(bytes(frame[shot.checksum_at : shot.checksum_at + 2]))
    return found


@each
def test_a_salvo_to_another_port_is_the_one_made_for_it(order: VolleyOrder) -> None:
    for port in PORTS:
        aimed = replace(order, port=port)
        made = Salvo(shots_of(aimed))
        kept = salvo_of(aimed)
        assert [(bytes(b), f) for b, f in kept] == [(bytes(b), f) for b, f in made]
        assert (kept.first_port, kept.sizes) == (made.first_port, made.sizes)
        assert kept is salvo_of(replace(order, device="another"))


@each
def test_what_is_due_at_another_port_is_what_is_due_of_it(order: VolleyOrder) -> None:
    for port in PORTS:
        aimed = replace(order, port=port)
        made = Due(shots_of(aimed), tunnel=order.vni is not None)
        kept = due_of(aimed)
        assert kept.frames == made.frames
        assert kept.first_port == made.first_port
        assert (kept.firsts, kept.starts) == (made.firsts, made.starts)
        assert kept.fragmentable == made.fragmentable


@pytest.mark.parametrize(
    "order", [o for o in ORDERS if o.volley in ("crafted", "outer-sums", "lengths")], ids=str
)
def test_sums_are_the_same_at_every_port(order: VolleyOrder) -> None:
    first, *others = (sums(replace(order, port=port)) for port in PORTS)
    assert others == [first] * len(others)


def test_what_came_of_an_earlier_burst_has_not_come_of_the_next() -> None:
    order = next(o for o in ORDERS if o.volley == "lengths" and o.vni is None and o.port == 20_000)
    for port in (20_000, 20_001, 20_000):
        aimed = replace(order, port=port)
        due = due_of(aimed)
        shot = next(iter(shots_of(aimed)))
        (frame,) = (bytes(f) for f in finish(parse(shot.vnet() + shot.frame, 10)))
        layout = dissect(frame, ports=frozenset())
        assert layout
        assert [due.differs(frame, layout) for _ in range(2)] == [None, "it came twice"]
    assert due_of(replace(order, port=20_002)).differs(frame, layout) is not None


def test_another_seed_or_path_is_another_volley() -> None:
    order = ORDERS[0]
    for changed in (
        {"seed": 6}, {"mtu": 1450}, {"ttl": 65}, {"source": "10.86.1.3"}, {"volley": "small-mss"},
    ):  # fmt: skip
        assert salvo_of(replace(order, **changed)) is not salvo_of(order)
    assert due_of(replace(order, vni=None)) is not due_of(order)
    assert due_of(replace(order, vni=7002)) is due_of(order)
