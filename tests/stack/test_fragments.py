"""Fragments: C hands them on in batches, and what is counted is what the reference counts."""

from __future__ import annotations

import ctypes
import struct
import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.stack import native_walk
from qualification.stack.counting import Counting
from qualification.stack.judge import walk_frame
from qualification.stack.outcomes import outcome_of
from qualification.stack.reassembly import Reassembly, Whole
from qualification.wire.native import NativeMismatchError

from .any_stack import MACS, Stack, csum, put
from .test_capture import assert_same, counted, pcap, pcapng

FRAMES = list[tuple[bytes, int]]


def fragments_of(random: Random, packet: bytes) -> list[bytes]:
    """Returns the fragments of an IP packet, as frames; sometimes there are extension headers."""
    family, ident = packet[0] >> 4, random.randrange(1 << 16)
    size = (packet[0] & 15) * 4 if family == 4 else 40
    head, payload = packet[:size], packet[size:]
    parts, at = [], 0
    while at < len(payload) or not parts:
        length = 8 * random.randrange(1, max(2, len(payload) // 16))
        data, more = payload[at : at + length], at + length < len(payload)
        if family == 4:
            made = head[:2] + struct.pack(">HHH", size + len(data), ident, more << 13 | at // 8)
            made = put(put(made + head[8:], 10, 0), 10, csum(put(made + head[8:], 10, 0))) + data
        else:
            fragment = struct.pack(">BBHI", head[6], 0, at | more, ident)
            made = head[:4] + struct.pack(">HB", 8 + len(data), 44) + head[7:] + fragment + data
        parts.append(MACS + (b"\x08\0" if family == 4 else b"\x86\xdd") + made)
        at += length
    return parts


def some_fragments(seed: int, datagrams: int) -> FRAMES:
    """Returns frames, many of them fragments: in disorder, captured twice, lost, changed."""
    random = Random(seed)
    frames: list[bytes] = []
    for _ in range(datagrams):
        packet = Stack(random, 0.1).ip(random.randrange(3))
        if random.random() < 0.2:
            frames.append(MACS + (b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet)
            continue
        parts = fragments_of(random, packet)
        chance = random.random()
        if chance < 0.2:
            random.shuffle(parts)
        elif chance < 0.3:
            parts.append(random.choice(parts))
        elif chance < 0.4:
            parts.pop(random.randrange(len(parts)))
        elif chance < 0.5:
            which = random.randrange(len(parts))
            part = bytearray(parts[which])
            part[random.randrange(14, len(part))] ^= 1 << random.randrange(8)
            parts.insert(random.randrange(len(parts)), bytes(part))
        at = random.randrange(max(1, len(frames) - 3), len(frames) + 1) if frames else 0
        frames[at:at] = parts
    return [(each, len(each)) for each in frames]


@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize("keep", [0, 2, 16])
def test_fragments_are_counted_as_the_reference_counts_them(
    library: ctypes.CDLL, make, keep: int
) -> None:
    frames = some_fragments(keep, 150)
    content = make(frames)
    assert_same(content, keep)
    found = counted(content)
    assert isinstance(found, Counting)
    assert sum(bool(each.parts) for each in found.kept) >= 3  # wrong datagrams, put together


def test_any_fragments(library: ctypes.CDLL) -> None:
    @given(st.integers(0, 1 << 32), st.integers(1, 8), st.integers(0, 4))
    def same(seed: int, datagrams: int, keep: int) -> None:
        assert_same(pcap(some_fragments(seed, datagrams)), keep)

    same()


def test_an_error_of_the_c_implementation_in_a_datagram_is_found(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pcap(some_fragments(1, 40))
    reference = native_walk.walk_frame

    def other(data: bytes, wire_length: int, link: int, ports: frozenset[int]) -> object:
        walk = reference(data, wire_length, link, ports)
        if link in (228, 229):
            walk.sums[-1].stored ^= 1
        return walk

    monkeypatch.setattr(native_walk, "walk_frame", other)  # as if C were wrong
    with pytest.raises(NativeMismatchError, match="frame"):
        counted(content)


def fragment(at: int, data: bytes, *, more: bool) -> bytes:
    """Returns a frame with a fragment of one IPv4 datagram of UDP."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(data), 7, more << 13 | at // 8, 64, 17, 0)
    head += bytes((192, 0, 2, 1, 192, 0, 2, 2))
    return MACS + b"\x08\0" + put(head, 10, csum(head)) + data


def taken(reassembly: Reassembly, frame: bytes, number: int = 0) -> Whole | None:
    walk = walk_frame(frame, len(frame), 1, frozenset())
    assert walk.fragment
    return reassembly.take(walk, outcome_of(walk, len(frame)), number, 0)


def test_a_fragment_that_is_sent_again_and_again_is_not_kept_each_time() -> None:
    reassembly = Reassembly(frozenset())
    frame = fragment(8, bytes(8), more=True)
    walk = walk_frame(frame, len(frame), 1, frozenset())
    outcome = outcome_of(walk, len(frame))
    for number in range(20_000):
        assert reassembly.take(walk, outcome, number, 0) is None
    assert sys.getrefcount(outcome) < 10_000


def test_a_fragment_without_bytes_replaces_none() -> None:
    reassembly = Reassembly(frozenset())
    udp = struct.pack(">HHHH", 1, 2, 24, 0) + bytes(16)
    assert taken(reassembly, fragment(0, udp[:16], more=True)) is None
    assert taken(reassembly, fragment(0, b"", more=True)) is None
    whole = taken(reassembly, fragment(16, udp[16:], more=False))
    assert whole is not None
    assert whole.walk.data[20:] == udp
