"""The expected frames of crafted packets are those that `lab.softnic.offload` makes of them."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.agent.traffic.prepared_set import packets_of
from qualification.lab.softnic.offload import finish
from qualification.lab.softnic.tx_descriptor import parse
from qualification.messages.bursts import CraftedOrder
from qualification.wire.checksum import checksum, ones_sum, pseudo_sum
from qualification.wire.crafted.catalogue import BURST_TTLS, PACKET_SETS, TUNNEL_PORTS
from qualification.wire.crafted.difference import differences, nearest
from qualification.wire.crafted.maker import Maker
from qualification.wire.crafted.outer_checksum_target import outer_target, tunnel_sum
from qualification.wire.crafted.packet import ACK, CWR, FIN, PSH, CraftedPacket, Path, canonical
from qualification.wire.crafted.packet_set import MIN_FRAMES
from qualification.wire.dissect import dissect
from qualification.wire.packet import TCP, UDP
from qualification.wire.verify import check

PATHS = {
    4: Path(b"\x02" * 6, b"\x06" * 6, bytes([10, 86, 1, 1]), bytes([10, 86, 1, 77]), 20_000, 1450),
    6: Path(b"\x02" * 6, b"\x06" * 6, b"\xfd" + bytes(15), b"\xfd" + b"\1" * 15, 20_000, 1430),
}
FILL = bytes(range(251)) * 9
EVERY = [
    (packet_set.name, family, l4, segmented)
    for packet_set in PACKET_SETS.values()
    for family in (4, 6)
    for l4, segmented in dict.fromkeys(packet_set.traffic + packet_set.plain)
]


def crafted_packets(name: str, family: int, l4: str, segmented: bool) -> list[CraftedPacket]:
    make = Maker(PATHS[family], TCP if l4 == "tcp" else UDP, FILL)
    return list(PACKET_SETS[name].crafted_packets(make, segmented))


def finished(crafted: CraftedPacket) -> list[bytes]:
    return [bytes(frame) for frame in finish(parse(crafted.vnet() + crafted.frame, 10))]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: "/".join(map(str, kind)))
def test_expected_frames_are_those_of_a_nic_without_faults(
    kind: tuple[str, int, str, bool],
) -> None:
    for crafted in crafted_packets(*kind):
        frames = finished(crafted)
        expected = [canonical(frame, crafted.l3, crafted.l4, crafted.protocol) for frame in frames]
        assert crafted.expected() == expected
        assert crafted.frames == len(frames)
        for frame in frames:
            judged = check(frame)
            assert judged.good
            assert not judged.bad | judged.unjudged
            assert len(frame) - crafted.l3 <= PATHS[kind[1]].mtu


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: "/".join(map(str, kind)))
def test_crafted_packets_of_a_set_can_be_distinguished(kind: tuple[str, int, str, bool]) -> None:
    made = crafted_packets(*kind)
    ports = [crafted.source_port for crafted in made]
    assert len(set(ports)) == len(ports)
    expected = [frame for crafted in made for frame in crafted.expected()]
    assert len(set(expected)) == len(expected)
    assert any(crafted.gso_size for crafted in made) == kind[3]
    assert (
        sum(crafted.frames for crafted in made if crafted.frames > 1 or not kind[3]) >= MIN_FRAMES
    )


@given(
    size=st.integers(0, 1400),
    segments=st.integers(0, 4),
    computed=st.sampled_from([0, 1, 0x8000, 0xFFFE]),
    family=st.sampled_from([4, 6]),
    outer=st.sampled_from([4, 6]),
    tcp=st.booleans(),
)
def test_outer_checksums_have_the_chosen_value(
    size: int, segments: int, computed: int, family: int, outer: int, tcp: bool
) -> None:
    """The tunnel's headers are built here, byte for byte."""
    source, destination = (b"\xfd" * 16, b"\xfe" * 16) if outer == 6 else (b"\1" * 4, b"\2" * 4)
    known = tunnel_sum(source, destination, 50_000, 4789, 0x5661)
    path = dataclasses.replace(PATHS[family], tunnel_sum=known)
    make = Maker(path, TCP if tcp else UDP, FILL)
    segmented = segments > 1 and size > 0
    crafted = outer_target(
        make, size * segments if segmented else size, size if segmented else 0, computed
    )
    assert crafted.finished != segmented
    for inner in finished(crafted):
        assert check(inner).good
        length = 16 + len(inner)
        udp = struct.pack("!HHHHII", 50_000, 4789, length, 0, 0x08000000, 0x5661 << 8)
        total = pseudo_sum(source, destination, UDP, length) + ones_sum(udp + inner)
        assert checksum(total) == computed
        assert inner[6:10] == b"\x02" * 4


def test_ids_matter_only_without_df() -> None:
    found = {crafted.fragmentable for crafted in crafted_packets("fields", 4, "tcp", True)}
    assert found == {True, False}
    assert not any(crafted.fragmentable for crafted in crafted_packets("fields", 6, "tcp", True))


def test_crafted_payloads_have_the_sums_that_matter() -> None:
    found = set()
    for crafted in crafted_packets("checksums", 4, "udp", False):
        frame = finished(crafted)[0]
        found.add(frame[crafted.l4 + 6 : crafted.l4 + 8].hex())
    assert {"ffff", "0001", "fffe", "8000"} <= found  # a checksum computed as 0 is sent as ffff


@pytest.mark.parametrize("port", TUNNEL_PORTS)
@pytest.mark.parametrize("family", [4, 6])
def test_packets_to_a_tunnel_port_are_no_tunnel_packets(port: int, family: int) -> None:
    assert PACKET_SETS[f"port-{port}"].port == port
    path = dataclasses.replace(PATHS[family], port=port, ttl=BURST_TTLS[-1])
    sizes = set()
    for crafted in PACKET_SETS[f"port-{port}"].crafted_packets(Maker(path, UDP, FILL), False):
        layout = dissect(crafted.frame, ports=frozenset({port}))
        assert layout
        assert (layout.outer.destination_port, layout.vni) == (port, None)
        assert crafted.frame[crafted.l3 + (8 if family == 4 else 7)] == BURST_TTLS[-1]
        payload = crafted.frame[crafted.payload_at :]
        assert not payload or payload[0] >> 6  # Geneve has no version other than 0
        sizes.add(len(payload))
    assert {0, 1, 2, 3, 8, path.mtu - 8 - (20 if family == 4 else 40)} <= sizes


def test_flags_belong_to_the_first_or_the_last_segment() -> None:
    crafted = Maker(PATHS[4], TCP, FILL).crafted(2500, 1000, flags=ACK | PSH | FIN | CWR)
    flags = [frame[crafted.l4 + 13] for frame in crafted.expected()]
    assert flags == [ACK | CWR, ACK, ACK | PSH | FIN]


@given(
    family=st.sampled_from([4, 6]),
    protocol=st.sampled_from([TCP, UDP]),
    size=st.integers(0, 9000),
    mss=st.integers(0, 1400),
    options=st.integers(0, 10),
    vlans=st.lists(st.integers(0, 0xFFFF), max_size=2),
)
def test_expected_frames_of_any_crafted_packet(
    family: int, protocol: int, size: int, mss: int, options: int, vlans: list[int]
) -> None:
    extra = {"options": b"\x01" * 4 * options} if family == 4 else {}
    crafted = Maker(PATHS[family], protocol, FILL).crafted(size, mss, vlans=vlans, **extra)
    expected = [canonical(frame, crafted.l3, crafted.l4, protocol) for frame in finished(crafted)]
    assert crafted.expected() == expected


def test_an_order_always_makes_the_same_crafted_packets() -> None:
    order = CraftedOrder(
        packet_set="boundaries", protocol="tcp", segmented=True, device="vx1", vni=1,
        source_mac="02:00:00:00:00:01", destination_mac="02:00:00:00:00:02",
        source="10.86.1.1", destination="10.86.1.77", port=20_000, mtu=1450, seed=7,
    )  # fmt: skip
    assert list(packets_of(order)) == list(packets_of(order))
    assert list(packets_of(order)) != list(packets_of(dataclasses.replace(order, seed=8)))


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "Ethernet destination MAC is"),
        (15, "IPv4 DSCP and ECN is"),
        (17, "IPv4 total length is"),
        (22, "IPv4 TTL is"),
        (41, "TCP sequence number is"),
        (47, "TCP flags is"),
        (60, "1 bytes of the payload differ, the first at 6"),
    ],
)
def test_differences_name_the_field(at: int, text: str) -> None:
    crafted = Maker(PATHS[4], TCP, FILL).crafted(100)
    (expected,) = crafted.expected()
    found = bytearray(expected)
    found[at] ^= 0x04
    (sentence,) = differences(bytes(found), expected, crafted.l3, crafted.l4, TCP)
    assert sentence.startswith(text)


def test_a_truncated_segment_is_reported_by_its_length() -> None:
    crafted = Maker(PATHS[6], UDP, FILL).crafted(100)
    (expected,) = crafted.expected()
    assert differences(expected[:-3], expected, crafted.l3, crafted.l4, UDP) == [
        "it has 97 bytes of payload, should have 100"
    ]
    assert differences(expected, expected, crafted.l3, crafted.l4, UDP) == []


def test_nearest_is_the_most_similar_segment() -> None:
    expected = Maker(PATHS[4], TCP, FILL).crafted(2500, 1000).expected()
    spoiled = expected[1][:200] + b"\0\0" + expected[1][202:]
    assert nearest(spoiled, expected) == expected[1]
    assert nearest(spoiled, []) is None
