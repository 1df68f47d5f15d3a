"""The C implementation and the reference give equal results on all frames and captures."""

from __future__ import annotations

import io
import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qualification.wire import native_survey
from qualification.wire.capture_file import CaptureFileError, reader_of
from qualification.wire.native import Native
from qualification.wire.native_survey import NativeMismatchError, survey_capture
from qualification.wire.verify import check

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


# -- whole captures ------------------------------------------------------------------------------


def pcap(frames: list[tuple[bytes, int]], order: str = "<", link: int = 1) -> bytes:
    records = (struct.pack(order + "IIII", 0, 0, len(data), wire) + data for data, wire in frames)
    return struct.pack(order + "IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, link) + b"".join(records)


def pcapng(frames: list[tuple[bytes, int]], order: str = "<", link: int = 1) -> bytes:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        length = struct.pack(order + "I", 12 + len(body))
        return struct.pack(order + "I", kind) + length + body + length

    out = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    out += block(1, struct.pack(order + "HHI", link, 0, 0))
    for number, (data, wire) in enumerate(frames):
        if number % 50 == 7:
            out += block(5, bytes(16))  # interface statistics between packets
        out += block(6, struct.pack(order + "IIIII", 0, 0, 0, len(data), wire) + data)
    return out


def outcome_of(content: bytes, keep: int = 16):
    """Returns the result of a survey, or its error."""
    try:
        return survey_capture(reader_of(io.BytesIO(content)), PORTS[0], keep)
    except CaptureFileError as error:
        return str(error)


def assert_same_survey(content: bytes, keep: int = 16) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_survey, "native", lambda: Native(None, ""))
        expected = outcome_of(content, keep)
    found = outcome_of(content, keep)
    assert found == expected
    if isinstance(found, tuple):  # the order must be the same, too
        assert list(found[0].reasons) == list(expected[0].reasons)


def some_frames(random: Random, count: int) -> list[tuple[bytes, int]]:
    shapes = list(SHAPES.values())
    found = []
    for _ in range(count):
        frame = random.choice(shapes)
        if random.random() < 0.3:
            frame = mutated(random, frame, shapes)
        found.append((frame, len(frame) + random.choice((0, 0, 0, 40))))
    return found


LINKS = {  # Ethernet, two kinds of cooked, raw IP, and one that is not supported
    1: lambda frame: frame,
    113: lambda frame: b"\0\0" + frame,
    276: lambda frame: frame[12:14] + bytes(18) + frame[14:],
    101: lambda frame: frame[14:],
    147: lambda frame: frame,
}


@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("link", LINKS)
def test_captures_of_every_kind(native, make, order: str, link: int) -> None:
    random = Random(link)
    frames = [(LINKS[link](data), wire) for data, wire in some_frames(random, 1600)]
    content = make(frames, order, link)
    assert len(content) > 1.5 * (256 << 10)  # more than a window
    assert_same_survey(content)
    assert_same_survey(content, keep=0)
    assert_same_survey(content[: random.randrange(len(content))])
    for _ in range(3):
        assert_same_survey(mutated(random, content, [content]))


def test_more_flows_than_c_has_room_for(native) -> None:
    good = SHAPES["4in4-udp-3"]
    frames = []
    for number in list(range(9000)) * 2:
        data = good[:46] + number.to_bytes(3, "big") + good[49:]  # the VNI
        frames.append((data, len(data)))
    content = pcap(frames)
    assert_same_survey(content)
    assert len(outcome_of(content)[0].flows) == 9000


def test_packets_larger_than_the_window(native) -> None:
    frames = [(SHAPES["4in4-tcp-1399"] + bytes(size), 0) for size in (0, 300_000, 1, 900_000, 0)]
    assert_same_survey(pcap(frames))
    assert_same_survey(pcapng(frames))


def test_an_error_of_the_c_implementation_is_found(native, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference checks the frames that C finds wrong before they are reported."""
    good = SHAPES["4in4-tcp-100"]
    bad = good[:-1] + bytes([good[-1] ^ 1])
    content = pcap([(good, len(good)), (bad, len(bad))])
    assert outcome_of(content)[0].wrong == 1
    right = check(good)
    monkeypatch.setattr(native_survey, "check", lambda *_: right)  # as if C were wrong
    with pytest.raises(NativeMismatchError, match="frame 2"):
        outcome_of(content)
