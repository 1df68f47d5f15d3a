"""Every firmware on generated descriptors: it changes what it declares, and nothing else."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from qualification.errors import UsageError
from qualification.lab.softnic import firmwares
from qualification.lab.softnic.firmwares.__main__ import table
from qualification.lab.softnic.offload import finish
from qualification.lab.softnic.tx_descriptor import (
    GSO_NONE,
    GSO_TCP4,
    GSO_TCP6,
    GSO_UDP,
    UNCHECKED,
    RxStatus,
    TxDescriptor,
)
from qualification.wire.checksum import pseudo_sum
from qualification.wire.dissect import dissect
from qualification.wire.verify import INNER_IP, INNER_L4, OUTER_IP, OUTER_L4, check

FAULTS_OF_THE_ISSUE = [
    "seed-left",
    "unasked-outer",
    "zero-updated",
    "outer-garbage",
    "offset-clipped",
    "silent-drop",
    "port-unknown",
    "port-stolen",
    "plain-4789",
    "pad-summed",
    "vlan-lost-short",
    "zero-not-ffff",
    "odd-byte",
    "super-length",
    "last-exact",
    "small-mss",
    "ip-header",
    "v6-only",
    "vlan-shift",
    "queue-k",
    "after-reset",
    "random-p",
    "rx-blind",
    "rx-strict",
    "rx-level",
    "path-drop",
]

Knobs = dict[str, object]


def packet(
    *,
    tunnel: bool = True,
    port: int = 4789,
    outer: int = 4,
    inner: int = 4,
    asked: bool = True,
    tcp: bool = False,
    payload: bytes = bytes(range(100)),
    tags: tuple[int, int] = (0, 0),
    df: bool = False,
    dport: int = 5001,
    sport: int = 50000,
) -> Packet:
    """Builds a correct packet, in a tunnel or not, with a tag outside or inside."""
    whole = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    if tags[0]:
        whole /= Dot1Q(vlan=tags[0])
    flags = "DF" if df else ""
    if tunnel:
        whole /= _ip(outer, "10.9.0", "fd09::", flags)
        tunnel_sum = UDP(sport=sport, dport=port)
        if not asked:
            tunnel_sum.chksum = 0
        whole /= tunnel_sum / VXLAN(vni=5, flags=8)
        whole /= Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
        if tags[1]:
            whole /= Dot1Q(vlan=tags[1])
    whole /= _ip(inner, "10.5.0", "fd05::", flags)
    whole /= TCP(sport=5000, dport=5001, flags="PA") if tcp else UDP(sport=5000, dport=dport)
    return whole / Raw(payload)


def _ip(family: int, v4: str, v6: str, flags: str) -> Packet:
    if family == 4:
        return IP(src=f"{v4}.1", dst=f"{v4}.2", id=0x1111, flags=flags)
    return IPv6(src=f"{v6}1", dst=f"{v6}2")


def descriptor(whole: Packet, gso_size: int = 0, queue: int = 0) -> TxDescriptor:
    """Returns the descriptor of a correct packet, which leaves its checksums to the NIC."""
    right = bytes(whole)
    (port,) = (whole[UDP].dport,) if VXLAN in whole else (0,)
    layout = dissect(right, None, frozenset({port}))
    assert layout
    outer, inner = layout.outer, layout.inner or layout.outer
    frame = bytearray(right)
    tunnelled = layout.inner is not None
    tcp = inner.protocol == 6
    _leave_pseudo_sum(frame, inner)
    asked = tunnelled and bool(outer.checksum)
    if asked and gso_size:
        _leave_pseudo_sum(frame, outer)
    kinds = {(True, 4): GSO_TCP4, (True, 6): GSO_TCP6}
    return TxDescriptor(
        frame=bytes(frame),
        needs_csum=True,
        csum_start=inner.l4,
        csum_offset=16 if tcp else 6,
        gso=kinds.get((tcp, inner.family), GSO_UDP) if gso_size else GSO_NONE,
        gso_size=gso_size,
        ecn=False,
        tunnel=tunnelled and bool(gso_size),
        tunnel_csum=asked and bool(gso_size),
        l3=outer.start,
        l4=outer.l4,
        inner_l3=inner.start if tunnelled and gso_size else 0,
        queue=queue,
    )


def _leave_pseudo_sum(frame: bytearray, layer: object) -> None:
    addresses, l4, end = layer.addresses, layer.l4, layer.end  # type: ignore[attr-defined]
    protocol, half = layer.protocol, len(addresses) // 2  # type: ignore[attr-defined]
    total = pseudo_sum(addresses[:half], addresses[half:], protocol, end - l4) % 65535
    struct.pack_into("!H", frame, l4 + (16 if protocol == 6 else 6), total)


def sent(model: str, work: TxDescriptor, **knobs: object) -> list[bytearray]:
    transmit = firmwares.check(model, knobs).load("n").transmit
    assert transmit
    return transmit(work, finish(work))


def bad(frames: list[bytearray], port: int = 4789) -> set[int]:
    """Returns the masks of wrong layers that the verifier finds."""
    return {check(frame, None, frozenset({port})).bad for frame in frames}


def changed(model: str, work: TxDescriptor, **knobs: object) -> list[set[int]]:
    """Returns the offsets of the bytes that differ from the correct frame's, for each frame."""
    correct, done = finish(work), sent(model, work, **knobs)
    assert [len(frame) for frame in done] == [len(frame) for frame in correct]
    return [
        {at for at, (a, b) in enumerate(zip(*pair, strict=True)) if a != b}
        for pair in zip(correct, done, strict=True)
    ]


TCP_GSO = {"tcp": True, "payload": bytes(range(250)) * 12}
UDP_GSO = {"payload": bytes(range(250)) * 12}
L4, INNER = {40, 41}, {90, 91}  # outer and inner UDP checksum, IPv4 in IPv4


def test_every_fault_is_there() -> None:
    known = {model.name: model for model in firmwares.models()}
    assert {name for name, model in known.items() if model.kind == "fault"} == {
        *FAULTS_OF_THE_ISSUE,
        "duplicated",
        "outer-dscp",
        "outer-port",
        "path-corrupt",
    }
    assert {"good", "constant-ip-id", "reorder-flows", "slow-link", "lossy"} <= set(known)
    assert {"untagged-only", "late-vlan"} <= set(known)
    assert all(model.summary.endswith(".") for model in known.values())


@pytest.mark.parametrize("outer", [4, 6])
def test_another_outer_dscp_has_right_checksums(outer: int) -> None:
    work = descriptor(packet(outer=outer, **TCP_GSO), 900)
    frames = sent("outer-dscp", work)
    assert bad(frames) == {0}
    places = {15, 24, 25} if outer == 4 else {14, 15}
    assert all(at and at <= places for at in changed("outer-dscp", work))


def test_duplicated_frames_are_equal() -> None:
    work = descriptor(packet(**TCP_GSO), 900)
    frames = sent("duplicated", work, p=1.0)
    assert frames[::2] == frames[1::2] == finish(work)


def test_the_table_for_users_is_as_the_code_says() -> None:
    file = Path(__file__).parents[3] / "topologies" / "firmwares.md"
    assert file.read_text() == table()


SPARED = [
    *("seed-left", "unasked-outer", "outer-garbage", "offset-clipped", "silent-drop"),
    *("port-unknown", "port-stolen", "pad-summed", "vlan-lost-short", "zero-not-ffff", "odd-byte"),
    *("super-length", "last-exact", "small-mss", "ip-header", "v6-only", "vlan-shift", "queue-k"),
    *("after-reset", "random-p"),
]


@pytest.mark.parametrize("model", SPARED)
@pytest.mark.parametrize("gso_size", [0, 40])
def test_plain_traffic_is_spared(model: str, gso_size: int) -> None:
    for tcp in (True, False):
        whole = packet(tunnel=False, inner=6, tcp=tcp, payload=bytes(80), tags=(7, 0))
        work = descriptor(whole, gso_size, queue=1)
        assert sent(model, work) == finish(work)


@pytest.mark.parametrize("model", [*SPARED, "plain-4789"])
def test_what_the_kernel_finished_is_spared(model: str) -> None:
    right = bytes(packet(inner=6, payload=b"odd", tags=(7, 7)))
    work = TxDescriptor(right, False, 0, 0, GSO_NONE, 0, False, False, False, 18, 38, 0, queue=1)
    assert [bytes(frame) for frame in sent(model, work)] == [right]


@pytest.mark.parametrize(
    ("model", "knobs", "shape", "gso_size", "wrong"),
    [
        ("seed-left", {}, UDP_GSO, 900, {INNER_L4}),
        ("seed-left", {}, TCP_GSO, 900, {INNER_L4}),
        ("seed-left", {"layer": "outer"}, TCP_GSO, 900, {OUTER_L4}),
        ("seed-left", {"layer": "both"}, TCP_GSO, 900, {OUTER_L4 | INNER_L4}),
        # Here the stack has computed the outer sum, which relies on a correct inner one (LCO).
        ("seed-left", {}, {}, 0, {OUTER_L4 | INNER_L4}),
        ("seed-left", {}, {"asked": False}, 0, {INNER_L4}),
        ("outer-garbage", {}, UDP_GSO, 900, {OUTER_L4}),
        ("outer-garbage", {"value": "noise"}, UDP_GSO, 900, {OUTER_L4}),
        ("unasked-outer", {}, {**UDP_GSO, "asked": False}, 900, {0}),
        ("unasked-outer", {"right": False}, {**UDP_GSO, "asked": False}, 900, {OUTER_L4}),
        ("offset-clipped", {}, {**UDP_GSO}, 900, {0}),
        ("offset-clipped", {}, {**TCP_GSO, "inner": 6}, 900, {INNER_L4}),
        ("odd-byte", {}, {"payload": b"\1\2\3", "asked": False}, 0, {INNER_L4}),
        ("odd-byte", {"byte": "swapped"}, {"payload": b"\1\2\3", "asked": False}, 0, {INNER_L4}),
        ("odd-byte", {}, {"payload": b"\1\2\3\4"}, 0, {0}),
        ("odd-byte", {"layer": "outer"}, {"payload": b"x" * 801}, 267, {OUTER_L4}),
        ("pad-summed", {}, {"payload": b"x" * 22, "asked": False}, 0, {INNER_L4}),
        ("pad-summed", {}, {"payload": b"x" * 23}, 0, {0}),
        ("vlan-shift", {}, {**UDP_GSO, "tags": (7, 0)}, 900, {INNER_L4}),
        ("vlan-shift", {}, {**UDP_GSO, "tags": (0, 7)}, 900, {INNER_L4}),
        ("vlan-shift", {"tag": "outer"}, {**UDP_GSO, "tags": (0, 7)}, 900, {0}),
        ("vlan-shift", {}, UDP_GSO, 900, {0}),
        ("super-length", {}, TCP_GSO, 900, {INNER_L4}),
        ("super-length", {"layer": "outer"}, TCP_GSO, 900, {OUTER_L4}),
        ("super-length", {"where": "header"}, UDP_GSO, 900, {INNER_L4}),
        ("last-exact", {}, TCP_GSO, 1000, {0, INNER_L4}),
        ("last-exact", {}, UDP_GSO, 1000, {0, INNER_L4}),
        ("last-exact", {}, UDP_GSO, 999, {0}),
        ("ip-header", {}, UDP_GSO, 900, {0, OUTER_IP}),
        ("ip-header", {"layer": "inner"}, TCP_GSO, 900, {0, INNER_IP}),
        ("ip-header", {"layer": "both", "field": "id"}, TCP_GSO, 900, {0}),
        ("v6-only", {}, TCP_GSO, 900, {0}),
        ("v6-only", {}, {**TCP_GSO, "inner": 6}, 900, {INNER_L4}),
        ("v6-only", {"layer": "outer"}, {**TCP_GSO, "outer": 6}, 900, {INNER_L4}),
        ("v6-only", {"layer": "outer"}, {**TCP_GSO, "inner": 6}, 900, {0}),
        ("v6-only", {"fault": "outer-garbage"}, {**TCP_GSO, "inner": 6}, 900, {OUTER_L4}),
    ],
)
def test_what_is_wrong_is_what_is_declared(
    model: str, knobs: Knobs, shape: Knobs, gso_size: int, wrong: set[int]
) -> None:
    work = descriptor(packet(**shape), gso_size)  # type: ignore[arg-type]
    assert bad(sent(model, work, **knobs)) == wrong
    assert bad(finish(work)) == {0}


def test_nothing_but_the_checksum_changes() -> None:
    work = descriptor(packet(**UDP_GSO), 900)  # type: ignore[arg-type]
    for model, fields in (
        ("seed-left", L4 | INNER),
        ("outer-garbage", L4),
        ("super-length", L4 | INNER),
    ):
        assert all(offsets and offsets <= fields for offsets in changed(model, work)), model
    last = changed("last-exact", descriptor(packet(**UDP_GSO), 1000))[-1]  # type: ignore[arg-type]
    assert last <= L4 | INNER | {88, 89}
    for offsets in changed("ip-header", work, field="id")[1:]:
        assert offsets <= {18, 19, 24, 25} | L4


def test_the_pseudo_sum_left_is_the_kernels() -> None:
    work = descriptor(packet(**UDP_GSO), 900)  # type: ignore[arg-type]
    assert {bytes(frame[90:92]) for frame in sent("seed-left", work)} == {work.frame[90:92]}


def test_a_share_is_hit() -> None:
    work = descriptor(packet(payload=bytes(6000), asked=False), 10)
    wrong = [check(frame).bad for frame in sent("seed-left", work, p=0.5)]
    assert 200 < wrong.count(INNER_L4) < 400
    assert wrong.count(0) == 600 - wrong.count(INNER_L4)


def test_a_clipped_offset_puts_the_checksum_elsewhere() -> None:
    work = descriptor(packet(inner=6, asked=False), 0)
    (frame,), (correct,) = sent("offset-clipped", work), finish(work)
    assert frame[110:112] == work.frame[110:112]  # the real field keeps its pseudo-header sum
    assert frame[46:48] == correct[110:112]  # 34 + (70 & 63) + 6


def test_zero_is_sent_as_zero() -> None:
    shape = packet(payload=bytes(2), asked=False)
    shape[Raw].load = struct.pack("!H", Ether(bytes(shape)).getlayer(UDP, 2).chksum)
    work = descriptor(shape)
    assert finish(work)[0][90:92] == b"\xff\xff"
    assert changed("zero-not-ffff", work) == [INNER]
    assert sent("zero-not-ffff", work)[0][90:92] == b"\0\0"
    other = descriptor(packet())
    assert changed("zero-not-ffff", other) == [set()]


def test_what_is_dropped() -> None:
    big, small = descriptor(packet(**UDP_GSO), 900), descriptor(packet())  # type: ignore[arg-type]
    assert sent("silent-drop", big) == sent("silent-drop", small) == []
    assert sent("silent-drop", small, of="segmented") == finish(small)
    assert sent("small-mss", descriptor(packet(), 63)) == []
    assert sent("small-mss", descriptor(packet(), 64)) == finish(descriptor(packet(), 64))
    assert sent("small-mss", descriptor(packet(), 100)) == []
    assert len(sent("small-mss", descriptor(packet(), 100), single=False)) == 1


def test_a_tag_is_lost_from_short_frames() -> None:
    short, long = descriptor(packet(payload=b"x", tags=(7, 0))), descriptor(packet(tags=(7, 0)))
    (correct,) = finish(short)
    assert sent("vlan-lost-short", short) == [correct[:12] + correct[16:]]
    assert sent("vlan-lost-short", long) == finish(long)


def test_an_unknown_port_is_plain_udp() -> None:
    for asked in (True, False):
        work = descriptor(packet(port=8472, asked=asked))
        assert bad(sent("port-unknown", work), 8472) == {INNER_L4}
        assert bad(sent("port-unknown", work, known=8472), 8472) == {0}
        big = descriptor(packet(port=8472, asked=asked, **UDP_GSO), 900)  # type: ignore[arg-type]
        assert sent("port-unknown", big) == []
        pieces = sent("port-unknown", big, large="cut")
        assert max(map(len, pieces)) <= max(map(len, finish(big)))
        assert b"".join(bytes(piece[42:]) for piece in pieces) == big.frame[42:]
        assert not {check(piece, None, frozenset({1})).bad for piece in pieces} - {0}
        assert pieces[1][40:42] != b"\0\0" or not asked
    known = descriptor(packet())
    assert sent("port-unknown", known) == finish(known)


def test_a_second_port_steals_the_first() -> None:
    transmit = firmwares.check("port-stolen", {}).load("n").transmit
    assert transmit
    first, second = descriptor(packet(asked=False)), descriptor(packet(port=8472, asked=False))
    assert transmit(first, finish(first)) == finish(first)
    assert transmit(second, finish(second)) == finish(second)
    assert bad(transmit(first, finish(first))) == {INNER_L4}
    assert transmit(second, finish(second)) == finish(second)


@pytest.mark.parametrize(("on", "resets", "toggles"), [("link", 1, 0), ("toggle", 0, 1)])
def test_ports_are_forgotten_in_a_reset(on: str, resets: int, toggles: int) -> None:
    work = descriptor(packet(asked=False))
    loaded = firmwares.check("after-reset", {"on": on}).load("n")
    assert loaded.transmit
    loaded.state.resets, loaded.state.toggles = toggles, resets  # the other one
    assert loaded.transmit(work, finish(work)) == finish(work)
    loaded.state.resets, loaded.state.toggles = resets, toggles
    assert bad(loaded.transmit(work, finish(work))) == {INNER_L4}


def test_plain_udp_to_a_tunnel_port_is_not_summed() -> None:
    for port in (4789, 4790, 6081):
        work = descriptor(packet(tunnel=False, dport=port))
        assert sent("plain-4789", work) == [bytearray(work.frame)]
    for spared in (descriptor(packet(tunnel=False)), descriptor(packet())):
        assert sent("plain-4789", spared) == finish(spared)


def test_one_queue_is_hit() -> None:
    for queue in range(4):
        work = descriptor(packet(asked=False), queue=queue)
        assert bad(sent("queue-k", work, queue=2)) == {INNER_L4 if queue == 2 else 0}


def test_a_fault_on_one_queue_notices_resets_too() -> None:
    work = descriptor(packet(asked=False), queue=1)
    loaded = firmwares.check("queue-k", {"fault": "after-reset"}).load("n")
    assert loaded.transmit
    assert loaded.transmit(work, finish(work)) == finish(work)
    loaded.state.resets = 1
    assert bad(loaded.transmit(work, finish(work))) == {INNER_L4}


def test_unknown_words_are_named() -> None:
    for model, knobs, text in (
        ("seed-left", {"layer": "middle"}, "seed-left has no layer 'middle'"),
        ("queue-k", {"fault": "path-drop"}, "queue-k has no fault 'path-drop'"),
        ("queue-k", {"fault": "v6-only"}, "queue-k has no fault 'v6-only'"),
        ("queue-k", {"queue": -1}, "queue-k's queue must not be negative"),
    ):
        with pytest.raises(UsageError, match=text):
            firmwares.check(model, knobs)


def through(model: str, frames: list[bytearray], **knobs: object) -> list[bytearray]:
    path = firmwares.check(model, knobs).load("n").path
    assert path
    return path(frames)


def test_a_nat_updates_even_zero() -> None:
    for asked in (True, False):
        before = bytearray(bytes(packet(asked=asked)))
        (after,) = through("zero-updated", [bytearray(before)])
        assert after[34:36] == struct.pack("!H", 50256)
        assert {at for at in range(len(after)) if after[at] != before[at]} <= {34, 35} | L4
        assert after[40:42] != b"\0\0"
        assert bad([after]) == {0 if asked else OUTER_L4}


def test_the_path_drops_tunnels_alone() -> None:
    tunnel, other = (bytearray(bytes(packet(port=port))) for port in (8472, 4789))
    noise = bytearray(bytes(packet(tunnel=False, dport=8472)))
    assert through("path-drop", [tunnel, other, noise]) == [other, noise]
    assert through("path-drop", [tunnel], vni=6) == [tunnel]
    assert through("path-drop", [tunnel], vni=5) == []


def test_lossy_loses_its_share() -> None:
    whole = bytes(packet())
    frames = [bytearray(whole) for _ in range(10_000)]
    assert 9700 < len(through("lossy", frames, p=0.02)) < 9900
    noise = [bytearray(bytes(packet(tunnel=False)))]
    assert through("lossy", noise, p=1) == noise


@given(st.lists(st.integers(0, 3), max_size=30), st.sets(st.integers(0, 30)))
def test_flows_are_reordered_and_never_one_in_itself(order: list[int], idle: set[int]) -> None:
    path = firmwares.check("reorder-flows", {}).load("n").path
    assert path
    whole = {flow: bytes(packet(sport=50000 + flow)) for flow in range(4)}
    frames = [bytearray(whole[flow] + bytes([n])) for n, flow in enumerate(order)]
    got: list[bytearray] = []
    for number, frame in enumerate(frames):
        got += path([frame])
        if number in idle:
            got += path([])
    got += path([])
    assert sorted(frame[-1] for frame in got) == list(range(len(order)))
    for flow in range(4):
        own = [frame[-1] for frame in got if bytes(frame[:-1]) == whole[flow]]
        assert own == sorted(own)


def test_flows_do_overtake() -> None:
    path = firmwares.check("reorder-flows", {}).load("n").path
    assert path
    first, second = (bytearray(bytes(packet(sport=port))) for port in (50000, 50001))
    assert path([first]) == []
    assert path([second]) == [second, first]


def status(model: str, frame: bytes, **knobs: object) -> RxStatus | None:
    receive = firmwares.check(model, knobs).load("n").receive
    assert receive
    return receive(bytearray(frame))


def test_receive_status() -> None:
    good, inner = bytes(packet()), RxStatus(84, 6)
    bad_outer = good[:40] + b"\x12\x34" + good[42:]
    for frame in (good, bad_outer):
        assert status("rx-blind", frame) == inner
    assert status("rx-level", good) == inner
    assert status("rx-level", bad_outer) == UNCHECKED
    zero, six = bytes(packet(asked=False)), bytes(packet(inner=6))
    assert status("rx-level", zero) == UNCHECKED
    assert status("rx-blind", bytes(packet(tunnel=False))) == UNCHECKED
    assert status("rx-strict", good) == status("rx-strict", six) == UNCHECKED
    assert status("rx-strict", zero) is None
    assert status("rx-strict", six, of="inner6") is None
    padded = packet()
    padded[IP].len, padded[UDP].len = len(padded[IP]) + 9, len(padded[UDP]) + 9
    assert status("rx-strict", bytes(padded) + bytes(9), of="padding") is None
    assert status("rx-strict", good + bytes(9), of="padding") == UNCHECKED
    assert (RxStatus(84, 6).header(24), UNCHECKED.header(24)) == (
        b"\1\0\0\0\0\0\x54\0\6\0" + bytes(14),
        bytes(24),
    )


shapes: Callable[..., st.SearchStrategy[Packet]] = st.builds


@settings(deadline=None)
@given(
    st.sampled_from([model for model in firmwares.models() if model.kind == "good"]),
    shapes(
        packet,
        tunnel=st.booleans(),
        outer=st.sampled_from([4, 6]),
        inner=st.sampled_from([4, 6]),
        asked=st.booleans(),
        tcp=st.booleans(),
        df=st.booleans(),
        payload=st.binary(max_size=200),
        tags=st.tuples(st.sampled_from([0, 7]), st.sampled_from([0, 7])),
    ),
    st.sampled_from([0, 1, 7, 64, 300]),
)
def test_good_firmwares_never_send_a_wrong_frame(
    model: firmwares.FirmwareModel, whole: Packet, gso_size: int
) -> None:
    work = descriptor(whole, gso_size)
    loaded = firmwares.check(model.name, {}).load("n")
    frames = finish(work)
    if loaded.transmit:
        frames = loaded.transmit(work, frames)
    if loaded.path:
        frames = loaded.path(frames) + loaded.path([])
    assert bad(frames) <= {0}
    if model.name not in ("lossy", "untagged-only", "late-vlan"):
        assert len(frames) == len(finish(work))


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_end_no_firmware(noise: bytes, framed: bool) -> None:
    frame = bytes(packet())[:50] + noise if framed else noise
    work = TxDescriptor(frame, False, 0, 0, GSO_NONE, 0, False, False, False, 0, 0, 0)
    for model in firmwares.models():
        loaded = firmwares.check(model.name, {}).load("n")
        loaded.state.resets = 1
        if loaded.transmit:
            loaded.transmit(work, finish(work))
        if loaded.path:
            loaded.path([bytearray(frame)])
        if loaded.receive:
            loaded.receive(bytearray(frame))


def test_tcp_zero_may_be_ffff() -> None:
    whole = packet(tcp=True, payload=bytes(2), asked=False)
    whole[Raw].load = struct.pack("!H", Ether(bytes(whole))[TCP].chksum)
    work = descriptor(whole)
    assert finish(work)[0][100:102] == b"\0\0"
    (frame,) = sent("tcp-ffff", work)
    assert frame[100:102] == b"\xff\xff"
    assert bad([frame]) == {0}


def test_constant_id_under_df_only() -> None:
    for df, count in ((True, 1), (False, 4)):
        work = descriptor(packet(df=df, **UDP_GSO), 900)  # type: ignore[arg-type]
        frames = sent("constant-ip-id", work)
        for at in (18, 68):
            assert len({bytes(frame[at : at + 2]) for frame in frames}) == count


def test_a_vlan_is_learnt_late() -> None:
    path = firmwares.check("late-vlan", {"frames": 3}).load("n").path
    assert path
    plain, tagged = bytearray(bytes(packet())), bytearray(bytes(packet(tags=(7, 0))))
    assert path([tagged, plain, tagged]) == [plain]
    assert path([tagged, tagged]) == [tagged]
    assert path([plain, tagged]) == [plain, tagged]


def test_an_access_port_lets_no_tag_through() -> None:
    path = firmwares.check("untagged-only", {}).load("n").path
    assert path
    plain, tagged = bytearray(bytes(packet())), bytearray(bytes(packet(tags=(7, 0))))
    assert path([plain, tagged]) == [plain]
    assert path([]) == []
