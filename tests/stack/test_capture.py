"""C and the reference count the same in whole captures."""

from __future__ import annotations

import ctypes
import gc
import io
import struct
import weakref
from random import Random

import pytest

from qualification.stack import capture, native_walk
from qualification.stack.counting import Counting
from qualification.stack.judge import walk_frame
from qualification.stack.outcomes import summarize
from qualification.wire.capture_file import CaptureFileError, reader_of
from qualification.wire.native import NativeMismatchError
from tests.wire.conftest import SHAPES
from tests.wire.test_fuzz import mutated

PORTS = frozenset({4789})


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


def counted(content: bytes, keep: int = 16) -> Counting | str:
    """Returns what was counted, or the error."""
    try:
        return capture.count_capture(reader_of(io.BytesIO(content)), PORTS, keep)
    except CaptureFileError as error:
        return str(error)


def assert_same(content: bytes, keep: int = 16) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(capture.NativeCounting, "of", lambda *_: None)
        expected = counted(content, keep)
    found = counted(content, keep)
    if isinstance(found, str) or isinstance(expected, str):
        assert found == expected
        return
    for name in ("outcomes", "kept", "longest_right", "longest_wire", "trouble"):
        assert getattr(found, name) == getattr(expected, name), name


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
def test_captures_of_every_kind(library, make, order: str, link: int) -> None:
    random = Random(link)
    frames = [(LINKS[link](data), wire) for data, wire in some_frames(random, 1600)]
    content = make(frames, order, link)
    assert len(content) > 1.5 * (256 << 10)  # more than a window
    assert_same(content)
    assert_same(content, keep=0)
    assert_same(content[: random.randrange(len(content))])
    for _ in range(3):
        assert_same(mutated(random, content, [content]))


def test_more_flows_than_c_has_room_for(library) -> None:
    good = SHAPES["4in4-udp-3"]
    frames = []
    number_of = 40_000  # C has room for 32,768
    for number in list(range(number_of)) * 2:
        data = good[:46] + number.to_bytes(3, "big") + good[49:]  # the VNI
        frames.append((data, len(data)))
    content = pcap(frames)
    assert_same(content)
    found = counted(content)
    assert isinstance(found, Counting)
    assert len(found.outcomes) == number_of


@pytest.mark.parametrize("flows", [1, 7, 8, 9, 16, 17, 40])
def test_a_counter_that_is_often_full(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch, flows: int
) -> None:
    """Keys that wait in C's queue are counted in order, whenever it stops."""
    monkeypatch.setattr("qualification.stack.native_walk._MOST_OUTCOMES", 16)
    good = SHAPES["4in4-udp-3"]
    numbers = [number % flows for number in range(3 * flows + 1)]
    frames = [good[:46] + number.to_bytes(3, "big") + good[49:] for number in numbers]
    content = pcap([(data, len(data)) for data in frames])
    assert_same(content)
    found = counted(content)
    assert isinstance(found, Counting)
    assert list(found.outcomes.values()) == [4] + [3] * (flows - 1)


def test_flows_without_end_are_bounded(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qualification.stack.counting.MOST_OUTCOMES", 1000)
    good = SHAPES["4in4-udp-3"]
    frames = [good[:46] + number.to_bytes(3, "big") + good[49:] for number in range(5000)]
    found = counted(pcap([(data, len(data)) for data in frames]))
    assert isinstance(found, Counting)
    assert found.has_others
    assert len(found.outcomes) <= 1010
    assert found.outcomes.total() == 5000


@pytest.mark.parametrize("order", "<>")
def test_a_time_after_2038(library: ctypes.CDLL, order: str) -> None:
    bad = SHAPES["4in4-tcp-100"][:-1] + b"\x55"
    content = pcap([(bad, len(bad))], order)
    content = content[:24] + struct.pack(order + "I", 0xF0000000) + content[28:]
    assert_same(content)
    found = counted(content)
    assert isinstance(found, Counting)
    assert found.kept[0].record.time == 0xF0000000 * 10**9


def test_packets_larger_than_the_window(library) -> None:
    frames = [(SHAPES["4in4-tcp-1399"] + bytes(size), 0) for size in (0, 300_000, 1, 900_000, 0)]
    assert_same(pcap(frames))
    assert_same(pcapng(frames))


def test_an_error_of_the_c_implementation_is_found(
    library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference checks the frames that C finds wrong before they are reported."""
    good = SHAPES["4in4-tcp-100"]
    bad = good[:-1] + bytes([good[-1] ^ 1])
    content = pcap([(good, len(good)), (bad, len(bad))])
    right = walk_frame(good)
    monkeypatch.setattr(native_walk, "walk_frame", lambda *_: right)  # as if C were wrong
    with pytest.raises(NativeMismatchError, match="frame 2"):
        counted(content)


@pytest.mark.parametrize("make", [pcap, pcapng])
def test_padding_and_vlan_tags_change_nothing(library: ctypes.CDLL, make) -> None:
    random = Random(11)
    frames = []
    for data, _ in some_frames(random, 1000):
        tag = random.choice((b"", b"", b"\x81\0\0\x07", b"\x88\xa8\0\x07"))
        made = data[:12] + tag + data[12:] + bytes(random.choice((0, 1, 6, 18)))
        frames.append((made, len(made)))
    content = make(frames)
    assert_same(content)
    found = counted(content)
    assert isinstance(found, Counting)
    right = sum(n for each, n in found.outcomes.items() if not summarize(each.sums).odd)
    assert right > 300


def test_a_count_leaves_no_window_behind(library: ctypes.CDLL) -> None:
    """With a directory of captures, megabytes of each would wait for the garbage collector."""
    frame = SHAPES["4in4-tcp-100"]
    reader = reader_of(io.BytesIO(pcap([(frame, len(frame))])))
    window = weakref.ref(reader.window)
    gc.disable()
    try:
        found = capture.count_capture(reader, PORTS)
        del reader
        assert window() is None
    finally:
        gc.enable()
    assert found.outcomes.total() == 1
