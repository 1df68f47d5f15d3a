"""Received frames compared with the expected ones, by the native implementation and in Python.

The soft NIC's code makes the frames of a crafted packet set. The tests put them into a tunnel, make
some of them wrong, and send them over a wire to two captures, one of each implementation.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qualification.agent.capture import native_capture
from qualification.agent.capture.crafted import CraftedCapture, CraftedTxTap
from qualification.agent.capture.peer import PeerCapture
from qualification.agent.capture.ring import Rings
from qualification.agent.traffic.expected_frames import ExpectedFrames
from qualification.agent.traffic.prepared_set import PreparedSet, packets_of
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.lab.softnic.offload import finish
from qualification.lab.softnic.tx_descriptor import parse
from qualification.messages.bursts import CaptureOrder, CaptureResult, CraftedOrder, Submitted
from qualification.wire.checksum import checksum, ones_sum, pseudo_sum, udp_checksum
from qualification.wire.crafted.catalogue import BURST_TTLS, PACKET_SETS
from qualification.wire.crafted.maker import Maker
from qualification.wire.crafted.packet import Path, canonical
from qualification.wire.dissect import dissect
from qualification.wire.packet import TCP, UDP
from tests.agent.counterparts import without_counterparts
from tests.built import built
from tests.wire.test_fuzz import mutated

pytestmark = pytest.mark.lab

MAC, OTHER = "02:aa:bb:cc:dd:ee", "02:00:00:00:00:02"
LINK = bytes.fromhex((OTHER + MAC).replace(":", ""))
VNI, PORT, EARLIER = 7001, 20_005, 20_001
ENDS = {4: ("10.86.1.1", "10.86.1.77"), 6: ("fd01::1", "fd01::77")}
OUTER = {4: (b"\xc6\x12\0\1", b"\xc6\x12\0\2"), 6: (b"\xfd" * 16, b"\xfd" * 15 + b"\2")}


@dataclass(frozen=True)
class Kind:
    """A crafted packet set and how it is sent."""

    packet_set: str
    protocol: Any
    cut: bool
    family: int
    tunnel: bool

    @property
    def order(self) -> CraftedOrder:
        fixed = PACKET_SETS[self.packet_set].port
        source, destination = ENDS[self.family]
        return CraftedOrder(
            packet_set=self.packet_set, protocol=self.protocol, segmented=self.cut, device="w0",
            vni=VNI if self.tunnel else None, source_mac=MAC, destination_mac=OTHER,
            source=source, destination=destination, port=fixed or PORT,
            mtu=1500 - 70 if self.tunnel else 1500, seed=5, ttl=BURST_TTLS[0] if fixed else 64,
            tunnel_sum=0,
        )  # fmt: skip

    @property
    def capture(self) -> CaptureOrder:
        order = self.order
        known = PACKET_SETS[self.packet_set].port is not None
        return CaptureOrder(
            interface="w0", source_mac=MAC, mtu=1500, outer_checksum=True, ring=4 << 20,
            protocols=(17 if self.tunnel or self.protocol == "udp" else 6,),
            port=4789 if self.tunnel else order.port, vxlan_port=0 if known else 4789,
            vni=order.vni, flow_port=order.port, our_vnis=(VNI,), late_ports=(20_000, PORT),
            ttl=order.ttl if known else None, late_ttls=(BURST_TTLS.start, BURST_TTLS.stop),
        )  # fmt: skip


KINDS = [
    Kind(packet_set.name, protocol, cut, family, tunnel)
    for packet_set in PACKET_SETS.values()
    for tunnel, kinds in ((True, packet_set.traffic), (False, packet_set.plain))
    for protocol, cut in kinds
    for family in (4, 6)
]
BY_NAME = {(k.packet_set, k.protocol, k.cut, k.family, k.tunnel): k for k in KINDS}


@cache
def frames_of(kind: Kind) -> tuple[tuple[bytes, ...], ...]:
    """Returns the frames that a correct NIC makes of each crafted packet."""
    return tuple(
        tuple(bytes(frame) for frame in finish(parse(crafted.vnet() + crafted.frame, 10)))
        for crafted in packets_of(kind.order)
    )


def right(frame: bytes) -> bytes:
    """Returns a frame with its checksums computed again, as far as it still has any."""
    layout = dissect(frame, ports=frozenset())
    if layout is None or layout.outer.trouble is not None:
        return frame
    out, packet = bytearray(frame), layout.outer
    if packet.family == 4:
        out[packet.start + 10 : packet.start + 12] = bytes(2)
        field = checksum(ones_sum(out[packet.start : packet.start + 4 * (out[packet.start] & 15)]))
        struct.pack_into("!H", out, packet.start + 10, field)
    at = packet.l4 + (16 if packet.protocol == TCP else 6)
    out[at : at + 2] = bytes(2)
    total = pseudo_sum(packet.source, packet.destination, packet.protocol, packet.l4_length)
    total += ones_sum(out[packet.l4 : packet.end])
    field = checksum(total) if packet.protocol == TCP else udp_checksum(total)
    struct.pack_into("!H", out, at, field)
    return bytes(out)


def tunnelled(
    inner: bytes,
    family: int = 4,
    *,
    source_port: int = 50_000,
    tos: int = 0,
    ttl: int = 64,
    fragment: int = 0x4000,
    label: int = 0,
    words: bytes = b"\x08\0\0\0",
    vni: int = VNI,
    last: int = 0,
    summed: bool = True,
) -> bytes:
    """Returns a frame in a VXLAN tunnel; its padding, if it has any, is inside as well."""
    source, destination = OUTER[family]
    data = words + (vni << 8 | last).to_bytes(4, "big") + inner
    udp = struct.pack("!HHHH", source_port, 4789, 8 + len(data), 0)
    if summed:
        total = pseudo_sum(source, destination, UDP, len(udp + data)) + ones_sum(udp + data)
        udp = udp[:6] + struct.pack("!H", udp_checksum(total))
    data = udp + data
    if family == 4:
        head = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(data), 7, fragment, ttl, UDP, 0)
        head += source + destination
        head = head[:10] + struct.pack("!H", checksum(ones_sum(head))) + head[12:]
        return LINK + b"\x08\0" + head + data
    head = struct.pack("!IHBB", 6 << 28 | tos << 20 | label, len(data), UDP, ttl)
    return LINK + b"\x86\xdd" + head + source + destination + data


# What is done to a frame before it goes into its tunnel, if it has one


def at_ip(frame: bytes, at: int, value: bytes) -> bytes:
    """Returns a frame with another value in its IP header, and the right checksum for it."""
    layout = dissect(frame, ports=frozenset())
    assert layout
    start = layout.outer.start + at
    return right(frame[:start] + value + frame[start + len(value) :])


def at_l4(frame: bytes, at: int, value: bytes) -> bytes:
    layout = dissect(frame, ports=frozenset())
    assert layout
    start = layout.outer.l4 + at
    return right(frame[:start] + value + frame[start + len(value) :])


def flipped(frame: bytes, at: int) -> bytes:
    at %= len(frame)
    return frame[:at] + bytes([frame[at] ^ 0x10]) + frame[at + 1 :]


INSIDE: dict[str, Callable[[bytes, Random], bytes]] = {
    "as expected": lambda frame, _: frame,
    "one byte, sums right": lambda frame, r: right(flipped(frame, r.randrange(len(frame)))),
    "one byte": lambda frame, r: flipped(frame, r.randrange(14, len(frame))),
    "its last byte, sums right": lambda frame, _: right(flipped(frame, -1)),
    "another TTL": lambda frame, r: at_ip(frame, 8 if frame[14] >> 4 == 4 else 7, r.randbytes(1)),
    "another id": lambda frame, r: at_ip(frame, 4, b"\0" + r.randbytes(1)),
    "another source port": lambda frame, r: at_l4(frame, 0, r.randbytes(2)),
    "another port": lambda frame, r: at_l4(frame, 2, r.randbytes(2)),
    "an earlier burst's port": lambda frame, _: at_l4(frame, 2, struct.pack("!H", EARLIER)),
    "padding": lambda frame, r: frame + r.randbytes(r.randrange(1, 7)),
    "cut short": lambda frame, r: frame[: r.randrange(14, len(frame))],
    "broken": lambda frame, r: mutated(r, frame, [frame]),
}

OUTSIDE: dict[str, Callable[[int], dict[str, Any]]] = {
    "as expected": lambda _: {},
    "source port": lambda n: {"source_port": 50_000 + n},
    "TOS": lambda n: {"tos": n},
    "TTL": lambda n: {"ttl": n},
    "DF": lambda _: {"fragment": 0},
    "a fragment": lambda n: {"fragment": 0x2000 | n},
    "flow label": lambda n: {"label": n},
    "reserved bits": lambda n: {"words": bytes([8 | n & 0x80, 0, 0, n & 0x7F])},
    "reserved byte": lambda n: {"last": n},
    "no VXLAN flag": lambda _: {"words": bytes(4)},
    "another VNI": lambda _: {"vni": VNI + 1},
    "no checksum": lambda _: {"summed": False},
}


@pytest.fixture
def wire(net: Any) -> Iterator[Callable[..., CaptureResult]]:
    """`wire(kind, frames, **order)` returns the result of both captures, which must be equal."""
    built(native_capture)
    left, host = net.wire()
    rings, raw = Rings(), RawSockets()

    def seen(kind: Kind, frames: list[bytes], **changes: Any) -> CaptureResult:
        order = replace(kind.capture, **changes)
        found = []
        for by_native in (False, True):
            with pytest.MonkeyPatch.context() as patch, host.inside():
                patch.setattr(PeerCapture, "use_native", by_native)
                watching = CraftedCapture(order, rings, kind.order)
            with left.inside():
                raw.inject(frames, "w0")
            found.append(watching.finish())
        assert without_counterparts(found[0]) == without_counterparts(found[1])
        assert not found[0].drops
        return found[0]

    with contextlib.closing(rings), contextlib.closing(raw):
        yield seen


def left_to_python(*_: object) -> None:
    pytest.fail("the native implementation does not accept a right frame")


@pytest.mark.parametrize("outer", [4, 6])
def test_every_packet_set_as_expected(
    wire: Any, outer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in KINDS:
        frames = [frame for crafted in frames_of(kind) for frame in crafted]
        if kind.tunnel:
            frames = [tunnelled(frame, outer) for frame in frames]
        with monkeypatch.context() as patch:
            patch.setattr(PeerCapture, "_take_in_python", left_to_python)
            seen = wire(kind, frames)
            assert (seen.frames, seen.bad, seen.unjudged) == (len(frames), 0, {}), kind
            Random(1).shuffle(frames)
            assert replace(wire(kind, frames), shapes={}) == replace(seen, shapes={}), kind
        assert wire(kind, frames * 2, keep=2).bad == len(frames), kind


def test_any_frames_of_any_packet_set(wire: Any) -> None:
    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        kind=st.sampled_from(KINDS),
        keep=st.sampled_from([0, 1, 3, 64]),
        snap=st.sampled_from([0] * 6 + [60, 94, 105, 200]),
        outer=st.sampled_from([4, 6]),
        seed=st.integers(0, 2**32),
        steps=st.lists(
            st.tuples(
                st.integers(0, 20),
                st.integers(0, 63),
                st.sampled_from(["as expected"] * len(INSIDE) + list(INSIDE)),
                st.sampled_from(["as expected"] * len(OUTSIDE) + list(OUTSIDE)),
                st.integers(0, 255),
                st.integers(1, 2),
            ),
            max_size=40,
        ),
    )
    def both_see_the_same(
        kind: Kind, keep: int, snap: int, outer: int, seed: int, steps: list[tuple[Any, ...]]
    ) -> None:
        random, made, frames = Random(seed), frames_of(kind), []
        for crafted, segment, inside, outside, number, times in steps:
            pieces = made[crafted % len(made)]
            frame = INSIDE[inside](pieces[segment % len(pieces)], random)
            if kind.tunnel:
                frame = tunnelled(frame, outer, **OUTSIDE[outside](number))
            frame = LINK + frame[12:]
            frames += [frame] * times
        frames = [frame[:1514] for frame in frames if len(frame) > 14]
        wire(kind, frames, keep=keep, snap=snap)

    both_see_the_same()


CUT = BY_NAME["boundaries", "tcp", True, 4, True]
CUT_UDP = BY_NAME["boundaries", "udp", True, 6, True]
FIELDS = BY_NAME["fields", "udp", True, 4, True]
PLAIN = BY_NAME["lengths", "udp", False, 4, False]


def swapped(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    """Returns two segments with each other's payload, and right checksums."""
    at = 54 if one[23] == TCP else 62
    return right(one[:at] + other[at:]), right(other[:at] + one[at:])


NOT_EXPECTED = "it is not one of the expected frames"
OUTER_DIFFERS = "outer DSCP, DF, TTL or source port are not those of the other segments"


@pytest.mark.parametrize("kind", [CUT, CUT_UDP, FIELDS], ids=["tcp4", "udp6", "udp4"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("inside", "outside", "said"),
    [
        (lambda frame: right(flipped(frame, -1)), {}, NOT_EXPECTED),
        (lambda frame: at_l4(frame, 2, b"\x4e\x26"), {}, None),
        (lambda frame: frame[:-1], {}, "inner IP"),
        (lambda frame: frame + b"\0", {}, NOT_EXPECTED),
        (lambda frame: flipped(frame, 0), {}, NOT_EXPECTED),
        (lambda frame: frame, {"tos": 4}, OUTER_DIFFERS),
        (lambda frame: frame, {"ttl": 63}, OUTER_DIFFERS),
        (lambda frame: frame, {"source_port": 50_001}, OUTER_DIFFERS),
        (lambda frame: frame, {"words": b"\x88\0\0\0"}, "reserved bits are set"),
        (lambda frame: frame, {"words": b"\x08\0\0\1"}, "reserved bits are set"),
        (lambda frame: frame, {"last": 1}, "reserved bits are set"),
    ],
)
def test_the_second_frame_of_a_crafted_packet_is_wrong(
    wire: Any,
    kind: Kind,
    family: int,
    inside: Callable[[bytes], bytes],
    outside: dict[str, Any],
    said: str | None,
) -> None:
    first, second, third, *_rest = frames_of(kind)[-1]
    wrong = tunnelled(inside(second), family, **outside)
    frames = [tunnelled(first, family), wrong]
    frames += [tunnelled(frame, family) for frame in (second, third)]
    seen = wire(kind, frames)
    if said is None:
        assert (seen.frames, seen.foreign) == (3, 1)
        return
    # If its inner bytes are right, the frame is counted, and the next one like it came twice.
    twice = bool(outside)
    assert (seen.frames, seen.bad) == (4, 1 + twice)
    assert any(said in finding for finding in seen.samples[0].findings), seen.samples[0].findings
    if twice:
        assert seen.samples[1].findings == ("it came twice",)
    uncounted = wire(kind, frames, keep=0)
    assert replace(uncounted, samples=seen.samples) == seen


def test_two_segments_with_each_other_s_payload(wire: Any) -> None:
    for kind in (CUT, CUT_UDP):
        pieces = frames_of(kind)[-1]
        both = swapped(pieces[3], pieces[5])
        frames = [*pieces[:3], both[0], pieces[4], both[1], *pieces[6:]]
        seen = wire(kind, [tunnelled(frame) for frame in frames])
        # UDP segments differ in their payload only: these are expected, in another order.
        assert seen.bad == (2 if kind is CUT else 0)
        assert seen.frames == len(pieces)


def test_ids_of_segments_that_may_be_fragmented_differ(wire: Any) -> None:
    crafted_packets = list(packets_of(FIELDS.order))
    number = next(n for n, crafted in enumerate(crafted_packets) if crafted.fragmentable)
    pieces = frames_of(FIELDS)[number]
    assert len(pieces) >= 3
    same = [tunnelled(at_ip(frame, 4, b"\x12\x34")) for frame in pieces]
    seen = wire(FIELDS, same)
    assert (seen.frames, seen.bad) == (len(pieces), len(pieces) - 1)
    assert seen.samples[0].findings == ("its IPv4 id is another segment's, and DF is not set",)
    assert wire(FIELDS, same[:1] + [tunnelled(frame) for frame in pieces[1:]]).bad == 0
    with_df = frames_of(FIELDS)[number - 1]
    assert not crafted_packets[number - 1].fragmentable
    assert wire(FIELDS, [tunnelled(at_ip(frame, 4, b"\x12\x34")) for frame in with_df]).bad == 0


def test_what_python_has_counted_is_counted_for_native_code_too(wire: Any) -> None:
    """A frame with a wrong outer checksum, of which Python keeps a sample, and then all frames."""
    expected = [tunnelled(frame) for crafted in frames_of(CUT)[:20] for frame in crafted]
    broken = expected[0][:40] + b"\xba\xad" + expected[0][42:]
    seen = wire(CUT, [broken, *expected, *expected], keep=1)
    assert (seen.frames, seen.bad) == (1 + 2 * len(expected), 2 + len(expected))
    assert seen.bad_layers == {"outer L4": 1, "segment": 1 + len(expected)}
    assert len(seen.samples) == 1


def test_frames_that_were_never_on_a_wire_are_not_compared(wire: Any) -> None:
    expected = [tunnelled(frame) for frame in frames_of(CUT)[-1]]
    assert wire(CUT, expected, mtu=900).unjudged == {"over-mtu": len(expected)}


def test_plain_packet_sets(wire: Any) -> None:
    expected = [frame for crafted in frames_of(PLAIN) for frame in crafted]
    padded = [frame.ljust(60, b"\xa5") for frame in expected]  # as Ethernet does
    seen = wire(PLAIN, padded)
    assert (seen.frames, seen.bad) == (len(expected), 0)
    wrong = right(flipped(expected[3], -1))
    seen = wire(PLAIN, [expected[5], expected[5], wrong])
    assert [sample.findings[0] for sample in seen.samples] == ["it came twice", NOT_EXPECTED]


def test_a_frame_that_is_expected_twice_may_come_twice() -> None:
    make = Maker(Path(b"\2" * 6, b"\4" * 6, b"\1" * 4, b"\2" * 4, 9, 1500), UDP, bytes(100))
    crafted = make.crafted(bytes(2000), 1000)
    expected = ExpectedFrames([crafted], tunnel=False)
    frames = [bytes(frame) for frame in finish(parse(crafted.vnet() + crafted.frame, 10))]
    assert canonical(frames[0], 14, 34, UDP) == canonical(frames[1], 14, 34, UDP)
    layout = dissect(frames[0])
    assert layout
    assert [expected.check_off(frames[0], layout) for _ in range(3)] == [
        None,
        None,
        "it came twice",
    ]


# What the sender's kernel submits to the driver


@pytest.mark.parametrize("offloads", [False, True])
def test_both_count_the_same_of_what_is_submitted(net: Any, offloads: bool) -> None:
    built(native_capture)
    left, _right = net.wire(offloads=offloads)
    rings, raw = Rings(), RawSockets()
    with contextlib.closing(rings), contextlib.closing(raw), left.inside():
        for kind in KINDS:
            if PACKET_SETS[kind.packet_set].outer_target:
                continue  # at a MAC address of each crafted packet's own, which is filtered by
            plain = replace(kind, tunnel=False)
            crafted_packets = tuple(packets_of(replace(plain.order, mtu=1500)))
            order = replace(plain.capture, snap=256, vxlan_port=0)
            watching = []
            for by_native in (False, True):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(CraftedTxTap, "use_native", by_native)
                    watching.append(CraftedTxTap(order, rings, PreparedSet(crafted_packets)))
            frames = raw.send_prepared(PreparedSet(crafted_packets), "w0", None)
            submitted: list[Submitted] = [each.finish() for each in watching]
            assert submitted[0] == submitted[1]
            assert submitted[0].frames == frames
            cut = sum(crafted.frames for crafted in crafted_packets if crafted.frames > 1)
            assert submitted[0].segments == (cut if offloads else 0)
            assert submitted[0].csum_partial == (frames if offloads else 0)
