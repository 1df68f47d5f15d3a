"""Filter, ring and captures: frames made by scapy, sent on a wire between two namespaces."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from qualification.agent.capture.bpf import sender_filter
from qualification.agent.capture.peer import PeerCapture
from qualification.agent.capture.ring import Ring, Rings
from qualification.agent.capture.tx_tap import BulkTxTap
from qualification.agent.traffic.sending import send
from qualification.judge.signature.sign import sign
from qualification.messages.bursts import (
    CaptureOrder,
    CaptureResult,
    FlowOrder,
    Submitted,
)
from qualification.messages.protocol import AgentProblem
from qualification.plan.flows import Flow
from qualification.wire.crafted.catalogue import BURST_TTLS
from tests.agent.counterparts import without_counterparts
from tests.wire.test_fuzz import mutated

pytestmark = pytest.mark.lab

MAC, OTHER = "02:aa:bb:cc:dd:ee", "02:aa:bb:cc:dd:ef"
LINK = Ether(src=MAC, dst="02:00:00:00:00:02")
V4, V6 = IP(src="198.18.0.1", dst="198.18.0.2"), IPv6(src="fd00::1", dst="fd00::2")
VNI, OTHER_VNI, STRANGE_VNI, FLOW, EARLIER = 7001, 7002, 9999, 20_005, 20_001
VX = UDP(sport=50_000, dport=4789)
ORDER = CaptureOrder(
    interface="w0", source_mac=MAC, protocols=(17,), port=4789, vxlan_port=4789, vni=VNI,
    flow_port=FLOW, our_vnis=(VNI, OTHER_VNI), late_ports=(20_000, FLOW), mtu=1500,
    outer_checksum=True, ring=4 << 20, late_ttls=(BURST_TTLS.start, BURST_TTLS.stop),
)  # fmt: skip


def filled(packet: Packet) -> Packet:
    """Returns a packet with its lengths and checksums set, so that they can be changed."""
    return Ether(bytes(packet))


def inner(port: int = FLOW, *, family: int = 4, size: int = 30) -> Packet:
    ip = IP(src="10.0.0.1", dst="10.0.0.2") if family == 4 else IPv6(src="fd01::1", dst="fd01::2")
    return (
        Ether(src=OTHER, dst=OTHER)
        / ip
        / UDP(sport=9, dport=port)
        / Raw(bytes(n & 255 for n in range(size)))
    )


def tunnel(inside: Packet, *, vni: int = VNI, outer: Packet = V4, **udp: int) -> Packet:
    return filled(
        LINK
        / outer
        / UDP(sport=50_000, dport=4789, **udp)
        / VXLAN(flags="Instance", vni=vni)
        / inside
    )


def spoilt(packet: Packet, layer: Any, number: int = 1) -> Packet:
    """Returns a packet with a wrong checksum in one layer, and right ones around it."""
    found = packet.getlayer(layer, number)
    found.chksum = found.chksum ^ 0x1234 or 0x4321
    if number > 1:
        outer = packet.getlayer(UDP)
        del outer.chksum
        return filled(packet)
    return packet


# The filter

FILTERED = {
    "ours": (True, LINK / V4 / VX / b"x"),
    "ours over IPv6": (True, LINK / V6 / VX / b"x"),
    "with IP options": (True, LINK / IP(options=[IPOption_NOP()] * 8) / VX),
    "to another machine, for it is the source that counts": (
        True,
        Ether(src=MAC, dst=OTHER) / V4 / VX,
    ),
    "in a VLAN": (True, LINK / Dot1Q(vlan=5) / V4 / VX),
    "another source": (False, Ether(src=OTHER, dst="02:00:00:00:00:02") / V4 / VX),
    "a source of the same beginning": (False, Ether(src="02:aa:00:cc:dd:ee", dst=OTHER) / V4 / VX),
    "a source of the same end": (False, Ether(src="06:aa:bb:cc:dd:ee", dst=OTHER) / V4 / VX),
    "another port": (False, LINK / V4 / UDP(sport=4789, dport=4790)),
    "another port over IPv6": (False, LINK / V6 / UDP(sport=4789, dport=4790)),
    "TCP": (False, LINK / V4 / TCP(dport=4789)),
    "TCP over IPv6": (False, LINK / V6 / TCP(dport=4789)),
    "ICMP": (False, LINK / V4 / ICMP()),
    "ARP": (False, LINK / ARP()),
    "a first fragment": (True, LINK / IP(flags="MF") / VX / bytes(16)),
    "a later fragment": (True, LINK / IP(frag=100, proto=17) / bytes(16)),
    "a fragment of TCP": (False, LINK / IP(flags="MF", proto=6) / bytes(16)),
    "behind hop-by-hop options": (True, LINK / V6 / IPv6ExtHdrHopByHop() / VX),
    "behind destination options": (True, LINK / V6 / IPv6ExtHdrDestOpt() / VX),
    "behind a routing header": (True, LINK / V6 / IPv6ExtHdrRouting() / VX),
    "an IPv6 fragment": (True, LINK / V6 / IPv6ExtHdrFragment(m=1) / VX),
}


@pytest.fixture
def rings() -> Iterator[Callable[..., Ring]]:
    with contextlib.ExitStack() as undo:

        def make(host: Any, program: bytes, size: int = 2 << 20) -> Ring:
            with host.inside():
                ring = Ring("w0", program, size)
            undo.callback(ring.close)
            return ring

        yield make


def read(ring: Ring, until: Any, count: int) -> list[bytes]:
    """Returns the first `count` frames, with their VLAN tags."""
    found: list[bytes] = []

    def enough() -> bool:
        ring.wait(0.05)
        for frame in ring.frames():
            data = bytes(frame.data)
            found.append(data[:12] + (frame.vlan or b"") + data[12:])
        return len(found) >= count

    until(enough)
    return found


def test_the_filter(net: Any, rings: Any, until: Any) -> None:
    sender, host = net.wire()
    ring = rings(host, sender_filter(MAC, (17,), 4789, 0))
    made = {name: bytes(packet) for name, (_, packet) in FILTERED.items()}
    assert len(set(made.values())) == len(made)
    sender.inject("w0", *made.values())
    wanted = [made[name] for name, (passes, _) in FILTERED.items() if passes]
    assert read(ring, until, len(wanted)) == wanted


def test_two_protocols_and_another_port(net: Any, rings: Any, until: Any) -> None:
    sender, host = net.wire()
    ring = rings(host, sender_filter(MAC, (6, 17), 443, 0))
    frames = [
        bytes(LINK / ip / l4(sport=1, dport=port))
        for port in (442, 443) for ip in (V4, V6) for l4 in (TCP, UDP)
    ]  # fmt: skip
    sender.inject("w0", *frames)
    assert read(ring, until, 4) == frames[4:]


def test_a_truncated_frame_has_its_length_on_the_wire(net: Any, rings: Any, until: Any) -> None:
    sender, host = net.wire()
    ring = rings(host, sender_filter(MAC, (17,), 4789, 64))
    frames = [bytes(LINK / V4 / VX / bytes(size)) for size in (0, 21, 22, 23, 900)]
    sender.inject("w0", *frames)
    kept: list[tuple[bytes, int]] = []

    def enough() -> bool:
        ring.wait(0.05)
        kept.extend((bytes(frame.data), frame.wire_length) for frame in ring.frames())
        return len(kept) >= len(frames)

    until(enough)
    assert kept == [(frame[:64], len(frame)) for frame in frames]


def test_a_ring_that_nobody_reads_counts_what_it_loses(net: Any, rings: Any, until: Any) -> None:
    sender, host = net.wire()
    ring = rings(host, sender_filter(MAC, (17,), 4789, 0), 0)
    frames = [
        bytes(LINK / V4 / VX / number.to_bytes(4, "big") / bytes(1400)) for number in range(3000)
    ]
    sender.inject("w0", *frames)
    found: list[bytes] = []

    def complete() -> bool:
        ring.wait(0.02)
        found.extend(bytes(frame.data) for frame in ring.frames())
        return len(found) + ring.drops() == len(frames)

    until(complete)
    assert 0 < len(found) < len(frames)
    assert found == frames[: len(found)]  # the first frames, in order
    sender.inject("w0", frames[-1])  # the capture continues
    assert read(ring, until, 1) == frames[-1:]
    assert len(found) + ring.drops() == len(frames)


# The peer's capture


def bare(seen: CaptureResult) -> CaptureResult:
    """Returns a result without the counts by shape, which must not exceed the judged frames."""
    for values in seen.shapes.values():
        assert sum(frames for frames, _ in values.values()) <= seen.frames
        assert sum(bad for _, bad in values.values()) <= seen.bad
    return replace(seen, shapes={})


@pytest.fixture
def kept() -> Iterator[Rings]:
    rings = Rings()
    yield rings
    rings.close()


@pytest.fixture
def captured(
    net: Any, kept: Rings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., CaptureResult]:
    """Returns `captured(order, *packets)`: a peer's result, the same in C and in Python."""
    sender, host = net.wire()

    def capture(order: CaptureOrder, *packets: Packet | bytes) -> CaptureResult:
        seen = []
        for native_capture in (False, True):
            monkeypatch.setattr(PeerCapture, "use_native", native_capture)
            with host.inside():
                watching = PeerCapture(order, kept)
            sender.inject("w0", *map(bytes, packets))
            seen.append(watching.finish())  # no wait: every frame sent has been received
        assert without_counterparts(seen[0]) == without_counterparts(seen[1])
        return seen[1]

    return capture


@pytest.mark.parametrize("outer", [V4, V6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("family", [4, 6])
def test_right_frames_of_every_size_are_right(captured: Any, outer: Packet, family: int) -> None:
    packets = [tunnel(inner(family=family, size=size), outer=outer) for size in range(64)]
    assert bare(captured(ORDER, *packets)) == CaptureResult(frames=64)


@pytest.mark.parametrize("seed", range(3))
def test_broken_frames_in_great_number(captured: Any, seed: int) -> None:
    """The C implementation and the reference agree, whatever the NIC sends."""
    random = Random(seed)
    shapes = [
        bytes(tunnel(inner(port, family=family, size=size), outer=outer, vni=vni))
        for port in (FLOW, EARLIER, FLOW + 1) for family in (4, 6) for outer in (V4, V6)
        for vni in (VNI, OTHER_VNI, STRANGE_VNI) for size in (0, 1, 99)
    ]  # fmt: skip
    frames = []
    for _ in range(1500):
        frame = mutated(random, random.choice(shapes), shapes)
        frames.append((frame[:6] + Ether(src=MAC).build()[6:12] + frame[12:])[:1500])
    frames = [frame for frame in frames if len(frame) > 60] + random.choices(shapes, k=1500)
    random.shuffle(frames)
    tunnelled = (ORDER, replace(ORDER, outer_checksum=False, keep=0), replace(ORDER, mtu=100))
    tunnelled = (*tunnelled, replace(ORDER, tunnel_ttl=64))
    plain = replace(ORDER, vni=None, flow_port=4789, vxlan_port=0, ttl=64)
    for order in (*tunnelled, plain):
        seen = captured(order, *frames)
        assert seen.bad > 50
        assert seen.frames > seen.bad
        assert not seen.drops


OUTER_CHANGES: dict[str, tuple[Packet, dict[str, int], str]] = {
    "DSCP": (V4, {"tos": 10 << 2}, "outer DSCP is 0x0a, should be 0x00"),
    "ECN": (V4, {"tos": 1}, "outer ECN is 0x1, should be 0x0"),
    "DF": (V4, {"flags": "DF"}, "outer DF and fragment offset is 0x4000, should be 0x0"),
    "TTL": (V4, {"ttl": 63}, "outer TTL is 0x3f, should be 0x40"),
    "DSCP6": (V6, {"tc": 46 << 2}, "outer DSCP is 0x2e, should be 0x00"),
    "ECN6": (V6, {"tc": 2}, "outer ECN is 0x2, should be 0x0"),
    "hop limit": (V6, {"hlim": 255}, "outer TTL is 0xff, should be 0x40"),
    "flow label": (V6, {"fl": 0x12345}, "outer flow label is 0x12345, should be 0x0"),
}
CHECKED = replace(ORDER, tunnel_ttl=64)


@pytest.mark.parametrize("vni", [OTHER_VNI, STRANGE_VNI])
def test_a_changed_vni_shows_by_the_mac_address_inside(captured: Any, vni: int) -> None:
    mine, others = inner(), inner()
    mine.dst = "02:56:58:00:00:02"
    packets = [tunnel(mine), tunnel(mine, vni=vni), tunnel(others, vni=vni)]
    assert captured(ORDER, *packets).bad == 0  # unless outer headers are to be checked
    seen = captured(CHECKED, *packets)
    assert (seen.frames, seen.bad, seen.foreign) == (2, 1, 1)
    [sample] = seen.samples
    assert sample.findings[-1] == f"VNI is {vni}, should be {VNI}"


def test_frames_are_counted_by_their_pairs_of_ports(captured: Any) -> None:
    """More pairs than the C implementation has room for at a time."""
    packets = []
    for number in range(1_500):
        packet = tunnel(inner())
        packet[UDP].sport = 40_000 + number
        del packet[UDP].chksum
        packets.append(filled(packet))
    seen = captured(replace(CHECKED, ring=8 << 20), *packets, *packets)
    assert seen.bad == 0
    assert seen.paths == {f"{40_000 + number}>9": 2 for number in range(1_500)}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", OUTER_CHANGES)
def test_outer_headers_are_those_of_the_tunnel(captured: Any, name: str, family: int) -> None:
    """Every checksum is right: only the field tells."""
    outer, change, finding = OUTER_CHANGES[name]
    wrong = outer.copy()
    for field, value in change.items():
        setattr(wrong, field, value)
    packets = [tunnel(inner(family=family), outer=ip) for ip in (outer, wrong)]
    assert captured(ORDER, *packets).bad == 0  # unless they are to be checked
    seen = captured(CHECKED, *packets)
    assert (seen.frames, seen.bad, seen.bad_layers) == (2, 1, {"segment": 1})
    assert seen.paths == {"50000>9": 1}, "of the right one"
    (sample,) = seen.samples
    assert sample.findings == (finding,)
    signature = sign(seen.samples, Flow(4, True, 4, "udp", False))
    assert signature is not None and signature.name == "outer-header"
    # The count is the same where no frame is kept.
    assert captured(replace(CHECKED, keep=0), *packets).bad == 1


@pytest.mark.parametrize("outer", [V4, V6], ids=["outer4", "outer6"])
def test_reserved_bits_of_vxlan_are_those_of_the_tunnel(captured: Any, outer: Packet) -> None:
    right = tunnel(inner(), outer=outer)
    start = bytes(right).index(b"\x08\0\0\0" + VNI.to_bytes(3, "big"))
    for at, value in ((0, 0x88), (1, 1), (2, 1), (3, 1), (7, 1)):
        data = bytearray(bytes(right))
        data[start + at] = value
        wrong = Ether(bytes(data))
        del wrong[UDP].chksum
        seen = captured(CHECKED, right, bytes(wrong))
        assert (seen.frames, seen.bad) == (2, 1), (at, seen)
        assert seen.samples[0].findings[-1].startswith("VXLAN header is ")


@pytest.mark.parametrize("outer", [V4, V6], ids=["outer4", "outer6"])
def test_ecn_follows_from_the_packet_inside(captured: Any, outer: Packet) -> None:
    """RFC 6040, section 4.1, as Linux has it: CE inside becomes ECT(0) outside.

    A queue on the way may set CE where the packet is ECN-capable (seen: fq_codel in a slow guest).
    """
    field = "tos" if outer is V4 else "tc"
    for family, ecn, due in ((4, 0, 0), (4, 1, 1), (6, 2, 2), (4, 3, 2), (6, 3, 2)):
        packets = []
        for marked in range(4):
            ip, inside = outer.copy(), inner(family=family)
            setattr(ip, field, marked)
            setattr(inside[IP if family == 4 else IPv6], "tos" if family == 4 else "tc", ecn)
            packets.append(tunnel(inside, outer=ip))
        right = {due, 3} if due else {due}
        assert captured(CHECKED, *packets).bad == 4 - len(right), (family, ecn)
        assert captured(CHECKED, *(packets[mark] for mark in right)).bad == 0, (family, ecn)


def test_more_outer_source_ports_than_are_listed(captured: Any) -> None:
    one = tunnel(inner(size=1))
    frames = []
    for port in range(5000):
        one[UDP].sport, one[UDP].chksum = port + 1, None
        frames.append(bytes(one))
    seen = captured(ORDER, *frames)
    assert seen.frames == 5000
    assert len(seen.shapes["outer source port"]) == 65  # 64 ports and OTHERS


def test_whose_frames(captured: Any) -> None:
    packets = [tunnel(inner())] * 3
    packets += [tunnel(inner(EARLIER)), tunnel(inner(EARLIER), vni=OTHER_VNI)]  # earlier bursts
    packets += [
        tunnel(inner(), vni=STRANGE_VNI), tunnel(inner(FLOW + 1)), tunnel(inner(), vni=OTHER_VNI),
        tunnel(Ether(src=OTHER, dst=OTHER) / ARP()), LINK / V4 / VX / b"nothing of ours",
    ]  # fmt: skip
    seen = captured(ORDER, *packets)
    assert (seen.late, seen.foreign) == (2, 4)
    # The last frame has no VXLAN header, but is from this NIC and to the tunnel's port.
    assert (seen.frames, seen.bad, seen.bad_layers) == (4, 1, {"VXLAN": 1})


def test_a_wrong_frame_that_no_longer_shows_its_flow_is_counted(captured: Any) -> None:
    port = spoilt(tunnel(inner(FLOW + 77)), UDP, 2)
    vni = spoilt(tunnel(inner(), vni=STRANGE_VNI), UDP, 1)
    flag = tunnel(inner())
    flag[VXLAN].flags = 0
    del flag[UDP].chksum
    seen = captured(ORDER, port, vni, filled(flag), tunnel(inner()))
    assert (seen.frames, seen.bad, seen.foreign, seen.late) == (4, 3, 0, 0)
    assert seen.bad_layers == {"inner L4": 1, "outer L4": 1, "VXLAN": 1}


def test_a_wrong_frame_of_an_earlier_burst_is_nobody_s_now(captured: Any) -> None:
    seen = captured(ORDER, spoilt(tunnel(inner(EARLIER)), UDP, 2), tunnel(inner()))
    assert bare(seen) == CaptureResult(frames=1, late=1)


@pytest.mark.parametrize(
    ("layer", "number", "name"),
    [(IP, 1, "outer IP"), (UDP, 1, "outer L4"), (IP, 2, "inner IP"), (UDP, 2, "inner L4")],
)
def test_what_is_wrong_is_named_and_kept(captured: Any, layer: Any, number: int, name: str) -> None:
    wrong = spoilt(tunnel(inner()), layer, number)
    seen = captured(replace(ORDER, keep=2), *[wrong] * 5, *[tunnel(inner())] * 3)
    assert (seen.frames, seen.bad, seen.bad_layers) == (8, 5, {name: 5})
    assert len(seen.samples) == 2
    for sample in seen.samples:
        assert base64.b64decode(sample.data) == bytes(wrong)
        assert sample.layers == (name,)
        assert any(finding.startswith(name.split(maxsplit=1)[0]) for finding in sample.findings)


def test_a_right_frame_like_it_is_kept_beside_a_wrong_one(captured: Any) -> None:
    right, longer = tunnel(inner()), tunnel(inner(size=31))
    none = spoilt(tunnel(inner(size=32)), UDP, 1)
    foreign = tunnel(inner(FLOW + 7))
    seen = captured(ORDER, foreign, right, longer, *[spoilt(tunnel(inner()), UDP, 2)] * 9, none)
    counterparts = [base64.b64decode(sample.counterpart) for sample in seen.samples]
    assert counterparts == [bytes(right)] * 4 + [b""] * 6
    seen = captured(ORDER, none, foreign, longer, none)
    assert [sample.counterpart for sample in seen.samples] == ["", ""]


def test_a_stripped_vlan_tag_is_put_back(captured: Any) -> None:
    packet = spoilt(tunnel(inner()), UDP, 1)
    tagged = LINK / Dot1Q(vlan=77, prio=5, type=0x0800) / packet[IP]
    [sample] = captured(ORDER, tagged).samples
    assert base64.b64decode(sample.data) == bytes(tagged)


@pytest.mark.parametrize("outer", [V4, V6], ids=["outer4", "outer6"])
@pytest.mark.parametrize("keep", [0, 1, 9])
def test_the_tag_is_the_expected_one(captured: Any, outer: Packet, keep: int) -> None:
    plain = tunnel(inner(), outer=outer)
    inside = bytes(plain)[14:]
    mac, kind = bytes(plain)[:12], bytes(plain)[12:14]
    tags = {
        "none": b"",
        "8100004e": b"\x81\0\0\x4e",
        "8100204d": b"\x81\0\x20\x4d",  # of another priority
        "88a8004d": b"\x88\xa8\0\x4d",
    }
    right = mac + b"\x81\0\0\x4d" + kind + inside
    wrong = [mac + tag + kind + inside for tag in tags.values()]
    order = replace(ORDER, vlan=77, keep=keep)
    seen = captured(order, *[right] * 3, *wrong, spoilt(tunnel(inner()), UDP, 2), right)
    assert (seen.frames, seen.bad) == (9, 5)
    assert seen.bad_layers == {"segment": 5, "inner L4": 1}
    said = [finding for sample in seen.samples for finding in sample.findings]
    expected = [f"VLAN tags are {tag}, should be 8100004d" for tag in tags][:keep]
    assert [finding for finding in said if "VLAN" in finding][: len(expected)] == expected
    assert len(seen.samples) == min(keep, 5)


@pytest.mark.parametrize("outer", [V4, V6], ids=["outer4", "outer6"])
def test_an_outer_checksum_of_none(captured: Any, outer: Packet) -> None:
    without = [tunnel(inner(), outer=outer, chksum=0)] * 4
    seen = captured(ORDER, *without)
    assert (seen.frames, seen.bad, seen.bad_layers) == (4, 4, {"outer L4": 4})
    assert any("0" in finding for finding in seen.samples[0].findings)
    assert bare(captured(replace(ORDER, outer_checksum=False), *without)) == CaptureResult(frames=4)


def test_an_inner_checksum_of_none_was_never_asked_for(captured: Any) -> None:
    inside = inner()
    inside[UDP].chksum = 0
    seen = captured(replace(ORDER, outer_checksum=False), tunnel(inside, chksum=0))
    assert (seen.frames, seen.bad_layers) == (1, {"inner L4": 1})


def test_unasked_outer_checksums_are_counted_right_or_wrong(captured: Any) -> None:
    right, wrong = tunnel(inner()), spoilt(tunnel(inner()), UDP, 1)
    none = tunnel(inner(), chksum=0)
    seen = captured(replace(ORDER, outer_checksum=False), right, right, wrong, none)
    assert (seen.frames, seen.bad, seen.unasked) == (4, 1, 3)
    assert captured(ORDER, right, right).unasked == 0


def test_what_cannot_be_looked_into_is_counted(captured: Any) -> None:
    fragments = [bytes(LINK / IP(flags="MF", proto=17) / bytes(16))] * 3
    seen = captured(ORDER, *fragments, tunnel(inner()))
    assert seen.frames == 1
    assert seen.foreign + sum(seen.unjudged.values()) == 3


def test_what_was_on_no_wire_is_not_judged(captured: Any) -> None:
    seen = captured(replace(ORDER, mtu=100), tunnel(inner(size=200)), tunnel(inner(size=1)))
    assert (seen.frames, seen.unjudged) == (1, {"over-mtu": 1})


def test_plain_traffic(captured: Any) -> None:
    order = replace(ORDER, vni=None, port=FLOW, protocols=(17,))
    plain = filled(LINK / V4 / UDP(sport=1, dport=FLOW) / b"plain")
    without = filled(LINK / V4 / UDP(sport=1, dport=FLOW, chksum=0) / b"plain")
    seen = captured(order, plain, plain, spoilt(plain.copy(), UDP), without, tunnel(inner()))
    assert (seen.frames, seen.bad, seen.bad_layers) == (4, 2, {"outer L4": 2})
    tcp = filled(LINK / V6 / TCP(sport=1, dport=FLOW) / b"plain")
    assert bare(captured(replace(order, protocols=(6,)), tcp, plain)) == CaptureResult(frames=1)


@pytest.mark.parametrize("outer", [V4, V6], ids=["outer4", "outer6"])
def test_plain_traffic_to_a_tunnel_port_is_identified_by_its_ttl(
    captured: Any, outer: Packet
) -> None:
    def marked(ttl: int, payload: bytes = b"\xc0plain") -> Packet:
        ip = outer.copy()
        ip.setfieldval("ttl" if ip.version == 4 else "hlim", ttl)
        return filled(LINK / ip / VX / payload)

    order = replace(ORDER, vni=None, flow_port=4789, vxlan_port=0, late_ports=(20_000, FLOW))
    order = replace(order, ttl=BURST_TTLS[1])
    mine, empty = marked(BURST_TTLS[1]), marked(BURST_TTLS[1], b"")
    earlier = spoilt(marked(BURST_TTLS[0]), UDP)  # a wrong frame of an earlier burst
    theirs = [tunnel(inner(), outer=outer), spoilt(tunnel(inner(), outer=outer), UDP)]
    wrong = spoilt(mine.copy(), UDP)
    seen = captured(order, mine, empty, earlier, *theirs, wrong)
    assert (seen.frames, seen.bad_layers, seen.late) == (3, {"outer L4": 1}, 3)

    # For a later burst in the tunnel it is a late frame, not a broken VXLAN header.
    late = captured(ORDER, mine, empty, wrong, tunnel(inner(), outer=outer))
    assert bare(late) == CaptureResult(frames=1, late=3)


def test_the_last_frame_is_seen_though_it_has_just_arrived(captured: Any) -> None:
    """The kernel keeps a block that is not full for a while; the end must wait for it."""
    for _ in range(30):
        assert captured(ORDER, tunnel(inner())).frames == 1


def test_a_capture_leaves_nothing_open(captured: Any) -> None:
    captured(ORDER)  # its ring is kept
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    captured(ORDER, tunnel(inner()))
    assert len(os.listdir("/proc/self/fd")) == len(before)  # noqa: PTH208


def test_a_ring_too_small_loses_loudly(net: Any, kept: Rings) -> None:
    """Frames that the reader is too slow for are counted as drops."""
    sender, host = net.wire()
    packets = [bytes(tunnel(inner(size=1300)))] * 6000
    with host.inside():
        watching = PeerCapture(replace(ORDER, ring=0), kept)
    sender.inject("w0", *packets)
    seen = watching.finish()
    assert seen.frames + seen.drops == len(packets)
    assert seen.bad == 0


def test_a_ring_that_is_kept_starts_anew(net: Any, kept: Rings, until: Any) -> None:
    sender, host = net.wire()
    program = sender_filter(MAC, (17,), 4789, 0)
    packet = bytes(tunnel(inner(size=1300)))
    with host.inside():
        ring = kept.take("w0", program, 2 * Ring.BLOCK)
    sender.inject("w0", *[packet] * 500)
    assert read(ring, until, 1)[0] == packet
    assert ring.drops()
    kept.give_back(ring)
    sender.inject("w0", packet)

    with host.inside():
        assert kept.take("w0", program, 2 * Ring.BLOCK) is ring
        assert ring.empty()
        assert not ring.drops()
        sender.inject("w0", packet)
        assert read(ring, until, 1) == [packet]
        kept.give_back(ring)
        larger = kept.take("w0", program, 4 * Ring.BLOCK)
        assert larger is not ring
        kept.give_back(larger)


def test_a_ring_remembers_what_it_captured_since_it_was_taken(
    net: Any, kept: Rings, until: Any
) -> None:
    """What bad frames were made of is looked for there, in nothing older."""
    sender, host = net.wire()
    program = sender_filter(MAC, (17,), 4789, 0)
    for size in (1300, 700):
        packet = bytes(tunnel(inner(size=size)))
        with host.inside():
            ring = kept.take("w0", program, 64 * Ring.BLOCK)
        sender.inject("w0", *[packet] * 300)
        assert read(ring, until, 300) == [packet] * 300
        kept.give_back(ring)
        assert [bytes(frame.data) for frame in ring.history()] == [packet] * 300


def test_a_ring_whose_link_was_down_is_not_kept(net: Any, kept: Rings, until: Any) -> None:
    sender, host = net.wire()
    program = sender_filter(MAC, (17,), 4789, 0)
    packet = bytes(tunnel(inner()))
    with host.inside():
        ring = kept.take("w0", program, 1 << 20)
        kept.give_back(ring)
        host.ip("link", "set", "w0", "down")
        host.ip("link", "set", "w0", "up")
        another = kept.take("w0", program, 1 << 20)
    assert another is not ring
    until(lambda: not sender.inject("w0", packet) and another.wait(0.01))
    assert read(another, until, 1)[0] == packet
    kept.give_back(another)


@pytest.mark.parametrize(("kind", "segment"), [(PeerCapture, ()), (BulkTxTap, (0,))])
def test_a_capture_whose_link_was_down_says_so(
    net: Any, kept: Rings, kind: Any, segment: tuple[int, ...]
) -> None:
    """What is lost meanwhile is nobody's: the cell is tried once more."""
    _, host = net.wire()
    with host.inside():
        watching = kind(ORDER, kept)
    for state in ("down", "up"):
        host.ip("link", "set", "w0", state)
    with pytest.raises(AgentProblem, match="w0 was set down during a burst") as raised:
        watching.finish(*segment)
    assert raised.value.kind == "no-link"  # sessions.py tries such a cell once more
    with host.inside():
        kind(ORDER, kept).finish(*segment)


# The sender's capture

FLOW_ORDER = FlowOrder(
    vni=None, protocol="udp", segmented=True, source="198.18.0.1", destination="198.18.0.2",
    port=FLOW, frames=500, payload=1000, streams=3, seed=7, pace=100_000, deadline=10.0,
)  # fmt: skip


@pytest.fixture
def submitted(
    net: Any, kept: Rings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Submitted, int]]:
    """Returns `submitted(flow, *ethtool)`: what a kernel with those offloads submits, and has sent.

    Two watch it, in place and in Python, and see the same.
    """
    host, other = net.wire(offloads=True)
    for number, end in enumerate((host, other), 1):
        end.ip("address", "add", f"198.18.0.{number}/24", "dev", "w0")

    def burst(flow: FlowOrder, *features: str) -> tuple[Submitted, int]:
        host.run("ethtool", "-K", "w0", *features)
        order = replace(
            ORDER, source_mac=host.mac("w0"), protocols=(6 if flow.protocol == "tcp" else 17,),
            port=flow.port, vni=None, snap=128,
        )  # fmt: skip
        with contextlib.ExitStack() as sinks:
            with other.inside():
                kind = socket.SOCK_STREAM if flow.protocol == "tcp" else socket.SOCK_DGRAM
                sink = sinks.enter_context(socket.socket(socket.AF_INET, kind))
            sink.bind(("198.18.0.2", flow.port))
            with host.inside():
                watching = []
                for native_capture in (False, True):
                    monkeypatch.setattr(BulkTxTap, "use_native", native_capture)
                    watching.append(BulkTxTap(order, kept))
                sending = send(flow, None, lambda: False)
            seen = [each.finish(sending.segment) for each in watching]
            assert seen[0] == seen[1]
            return seen[1], sending.written

    return burst


def test_super_packets_are_counted_by_their_segments(submitted: Any) -> None:
    found, written = submitted(FLOW_ORDER, "tx", "on", "gso", "on", "tx-udp-segmentation", "on")
    assert found.frames == found.csum_partial == found.segments == written >= 500
    assert found.packets == found.super_packets < written / 5
    assert found.drops == 0


def test_super_packets_that_the_kernel_segments_are_not_counted(submitted: Any) -> None:
    found, written = submitted(FLOW_ORDER, "tx", "on", "tx-udp-segmentation", "off")
    assert (found.packets, found.frames) == (written, written)
    assert (found.super_packets, found.segments) == (0, 0)


def test_what_the_kernel_has_finished_is_not_the_nic_s_to_finish(submitted: Any) -> None:
    found, written = submitted(FLOW_ORDER, "tx", "off")
    assert found == Submitted(packets=written, frames=written)
    whole = replace(FLOW_ORDER, segmented=False)
    found, written = submitted(whole, "tx", "off")
    assert found == Submitted(packets=500, frames=500)
    found, written = submitted(whole, "tx", "on")
    assert found == Submitted(packets=500, frames=500, csum_partial=500)


def test_nothing_of_others_is_counted(submitted: Any) -> None:
    """Replies of the other end, and ICMP about a port without a socket."""
    flow = replace(FLOW_ORDER, protocol="tcp", segmented=False, frames=200, deadline=0.5)
    found, written = submitted(flow, "tx", "on")
    assert written == 0  # nothing listens, so that no stream connects
    assert found.super_packets == 0
    assert found.packets == found.frames == flow.streams  # one SYN each
