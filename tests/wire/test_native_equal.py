"""The C implementation and the reference give equal results on all frames."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .any_frame import Frame, frames
from .conftest import SHAPES
from .native_equal import assert_equal
from .test_fuzz import mutated

PORTS = (frozenset({4789}), frozenset({8472, 4789, 53}), frozenset[int]())


def some_lengths(frame: bytes) -> st.SearchStrategy[int | None]:
    near = st.integers(-3, 3).map(lambda more: len(frame) + more)
    return st.none() | near | st.integers(-2, 200_000) | st.just(2**32 - 1)


@settings(max_examples=400)
@given(st.data(), frames(), st.sampled_from(PORTS))
def test_frames_of_any_shape(native, data: st.DataObject, frame: Frame, ports) -> None:
    assert_equal(native, frame.data, data.draw(some_lengths(frame.data)), ports)
    truncated = frame.data[: data.draw(st.integers(0, len(frame.data)))]
    assert_equal(native, truncated, data.draw(some_lengths(frame.data)), ports)


@settings(max_examples=300)
@given(st.data(), frames())
def test_frames_with_any_words_in_them(native, data: st.DataObject, frame: Frame) -> None:
    words = st.sampled_from((0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x0800, 0x8100, 0x86DD, 4789))
    broken = bytearray(frame.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(broken) - 2)))
        struct.pack_into(">H", broken, at, data.draw(words | st.integers(0, 65535)))
    assert_equal(native, bytes(broken), data.draw(some_lengths(frame.data)))


@given(st.binary(max_size=300))
def test_bytes_that_are_no_frame(native, data: bytes) -> None:
    assert_equal(native, data)


def test_every_shape_truncated_anywhere(native, good_frame: bytes) -> None:
    for end in range(min(len(good_frame), 260) + 1):
        assert_equal(native, good_frame[:end], len(good_frame))
        assert_equal(native, good_frame[:end])


def test_every_value_of_every_byte_in_front(native, good_frame: bytes) -> None:
    for at in range(12, min(len(good_frame), 170)):
        for value in (0, 1, 4, 5, 8, 0x0F, 0x40, 0x45, 0x46, 0x4F, 0x60, 0x80, 0xC9, 0xFF):
            assert_equal(native, good_frame[:at] + bytes([value]) + good_frame[at + 1 :])


def test_both_zeros_in_every_checksum(native, good_frame: bytes) -> None:
    for at in range(12, min(len(good_frame), 170)):
        for word in (b"\0\0", b"\xff\xff"):
            assert_equal(native, good_frame[:at] + word + good_frame[at + 2 :])


@pytest.mark.parametrize("seed", range(4))
def test_mutations(native, seed: int) -> None:
    random, shapes = Random(seed), list(SHAPES.values())
    for _ in range(4000):
        frame = mutated(random, random.choice(shapes), shapes)
        assert_equal(
            native, frame, random.choice((None, None, len(frame), random.randrange(200_000)))
        )
