"""Frames of any stack of layers are right, and wrong where they are broken."""

import ctypes
import io
import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.stack import capture
from qualification.stack.codes import How, Kind, State
from qualification.stack.judge import crc32c, walk_frame
from qualification.stack.walk import Walk
from qualification.wire.capture_file import reader_of

from .any_stack import MACS, Stack, csum, fold, mutated, pseudo, put
from .native_equal import assert_equal

PORTS = frozenset({4789})
seeds = st.integers(0, 1 << 32)


def walked(frame: bytes, link: int = 1, wire: int | None = None) -> Walk:
    return walk_frame(frame, wire, link, PORTS)


def outcomes(walk: Walk) -> list[tuple[str, str, str]]:
    return [(each.kind.name, each.state.name, each.how.name) for each in walk.sums]


@given(seeds)
def test_right_frames_are_right(seed: int) -> None:
    random = Random(seed)
    link, frame = Stack(random).frame(random.randrange(5))
    for each in walked(frame, link).sums:
        assert each.state in (State.RIGHT, State.ABSENT) or each.how == How.DEPTH, each


@given(seeds)
def test_a_changed_byte_of_the_innermost_payload_is_found(seed: int) -> None:
    random = Random(seed)
    link, frame = Stack(random).frame(random.randrange(3))
    walk = walked(frame, link)
    last = walk.sums[-1]
    if last.state != State.RIGHT or last.kind == Kind.IPV4 or last.end - last.start < 25:
        return
    changed = bytearray(frame)
    changed[last.end - 1] ^= 0x55
    found = walked(bytes(changed), link).sums[-1]
    assert (found.kind, found.state, found.how) == (last.kind, State.WRONG, How.VALUE)


def _same(library: ctypes.CDLL, seed: int) -> None:
    random = Random(seed)
    link, frame = Stack(random, random.choice([0, 0, 0.3])).frame(random.randrange(5))
    wire = len(frame)
    if random.random() < 0.6:
        frame, wire = mutated(random, frame)
    assert_equal(library, frame, wire, link)


def test_native_and_reference_find_the_same(library: ctypes.CDLL) -> None:
    @given(seeds)
    def same(seed: int) -> None:
        _same(library, seed)

    same()
    for seed in range(2000):
        _same(library, seed)


@given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 1 << 32))
def test_any_bytes_of_any_link_type(data: bytes, link: int, wire: int) -> None:
    walk_frame(data, wire, link, PORTS)


def test_any_bytes_are_the_same_for_both(library: ctypes.CDLL) -> None:
    @given(st.binary(max_size=200), st.integers(0, 300), st.integers(0, 1 << 32))
    def same(data: bytes, link: int, wire: int) -> None:
        assert_equal(library, data, wire, link)

    same()


def test_crc32c() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
    assert crc32c(bytes(32)) == 0x8A9136AA


# -- how a sum is wrong --------------------------------------------------------------------------

SOURCE, TARGET = b"\x0a\0\0\1", b"\x0a\0\0\2"


def ipv4(protocol: int, payload: bytes, total: int | None = None, options: bytes = b"") -> bytes:
    size = 20 + len(options)
    total = size + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, total, 7, 0, 64, protocol, 0)
    head += SOURCE + TARGET + options
    return put(head, 10, csum(head)) + payload


def tcp(value: int | None = None, payload: bytes = b"hello") -> bytes:
    data = struct.pack(">HHIIBBHHH", 40000, 80, 1, 1, 0x50, 0x18, 512, 0, 0) + payload
    right = csum(pseudo(SOURCE, TARGET, 6, len(data)) + data)
    return put(data, 16, right if value is None else value)


def seed_of(length: int) -> int:
    return fold(pseudo(SOURCE, TARGET, 6, length))


def frame_of(packet: bytes) -> bytes:
    return MACS + b"\x08\0" + packet


@pytest.mark.parametrize(
    ("value", "how"),
    [
        (seed_of(25), How.PARTIAL),
        (seed_of(0), How.PARTIAL),  # as drivers leave it for TSO
        (0, How.ZERO),
        (0x1234, How.VALUE),
    ],
    ids=["partial", "partial-without-length", "zero", "value"],
)
def test_how_a_sum_is_wrong(value: int, how: How) -> None:
    ip, found = walked(frame_of(ipv4(6, tcp(value)))).sums
    assert (ip.state, found.state, found.how, found.stored) == (
        State.RIGHT, State.WRONG, how, value,
    )  # fmt: skip
    assert found.computed == struct.unpack_from(">H", tcp(), 16)[0]


def test_an_outer_sum_that_waits_for_the_inner_one() -> None:
    """Local checksum offload: the kernel computes the outer sum from what the inner will be."""
    right = frame_of(ipv4(6, tcp()))
    body = b"\x08\0\0\0\0\0\x2a\0" + right
    data = struct.pack(">HHHH", 50000, 4789, 8 + len(body), 0) + body
    value = csum(pseudo(SOURCE, TARGET, 17, len(data)) + data)
    unfinished = b"\x08\0\0\0\0\0\x2a\0" + frame_of(ipv4(6, tcp(seed_of(25))))
    whole = frame_of(ipv4(17, put(data, 6, value)[:8] + unfinished))
    assert outcomes(walked(whole)) == [
        ("IPV4", "RIGHT", "NONE"), ("UDP", "WRONG", "LATER"),
        ("IPV4", "RIGHT", "NONE"), ("TCP", "WRONG", "PARTIAL"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("packet", "kind", "how"),
    [
        (ipv4(6, tcp(), total=4000), "IPV4", "SHORT"),
        (b"\x43" + ipv4(6, tcp())[1:], "IPV4", "IP_LENGTH"),
        (b"\x65" + ipv4(6, tcp())[1:], "IPV4", "VERSION"),
        (ipv4(17, struct.pack(">HHHH", 1, 9, 99, 0)), "UDP", "L4_LENGTH"),
        (ipv4(17, struct.pack(">HHHH", 1, 9, 7, 0)), "UDP", "L4_LENGTH"),
        (ipv4(6, tcp()[:19]), "TCP", "L4_LENGTH"),
        (ipv4(17, struct.pack(">HHHH", 1, 4789, 11, 0) + b"\x08\0\0"), "VXLAN", "HEADER"),
    ],
    ids=["beyond-the-frame", "header", "version", "udp-long", "udp-short", "tcp", "vxlan"],
)
def test_lengths(packet: bytes, kind: str, how: str) -> None:
    found = outcomes(walked(frame_of(packet)))
    assert (kind, how) in [(found_kind, found_how) for found_kind, _, found_how in found] or (
        how == "SHORT" and ("TCP", "UNJUDGED", "SHORT") in found
    )


def test_a_source_route_that_has_not_ended() -> None:
    final = b"\x0a\0\0\3"
    data = tcp(0)
    data = put(data, 16, csum(pseudo(SOURCE, final, 6, len(data)) + data))
    route = bytes([131, 7, 4]) + final + b"\0"
    assert outcomes(walked(frame_of(ipv4(6, data, options=route)))) == [
        ("IPV4", "RIGHT", "NONE"), ("TCP", "RIGHT", "NONE"),
    ]  # fmt: skip


def test_total_length_zero_is_not_yet_cut() -> None:
    assert outcomes(walked(frame_of(ipv4(6, tcp(seed_of(0)), total=0)))) == [
        ("IPV4", "UNJUDGED", "UNCUT")
    ]


def test_an_unknown_link_type_is_named() -> None:
    assert outcomes(walked(b"anything", link=147)) == [("LINK", "UNJUDGED", "LINK_TYPE")]


def test_both_count_the_same(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(5)
    content = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1)
    for number in range(1500):
        _, frame = Stack(random, 0.05).frame(random.randrange(5), (1,))
        wire = len(frame)
        if random.random() < 0.3:
            frame, wire = mutated(random, frame)
        content += struct.pack("<IIII", 1, number, len(frame), wire) + frame
    native = capture.count_capture(reader_of(io.BytesIO(content)), PORTS)
    monkeypatch.setattr(capture.NativeCounting, "of", lambda *_: None)
    reference = capture.count_capture(reader_of(io.BytesIO(content)), PORTS)
    assert native.outcomes == reference.outcomes
    assert native.kept == reference.kept
    assert native.longest_right == reference.longest_right
    assert native.longest_wire == reference.longest_wire
