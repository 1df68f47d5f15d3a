import gzip
import io
import struct

import pytest
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether
from scapy.packet import Raw
from scapy.utils import PcapNgWriter, PcapWriter, wrpcap

from qualification.wire.capture_file import (
    CaptureFileError,
    CutShortError,
    frames_of,
    read_frames,
    reader_of,
)
from qualification.wire.verify import INNER_L4, check


@pytest.fixture
def frames(shapes):
    return [frame for frame in shapes.values() if len(frame) < 400][:12]


def read(path):
    return list(read_frames(path))


def up_to_error(content):
    """Returns the frames that are read, and the error at the end if there is one."""
    got = []
    try:
        for frame in frames_of(content):
            got.append(frame)  # noqa: PERF402  (keeps the frames before an error)
    except CaptureFileError as error:
        return got, error
    return got, None


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = 1, snap: int = 0, order: str = "<", options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options, order)


def packet(frame: bytes, number: int = 0, wire: int | None = None, order: str = "<") -> bytes:
    head = struct.pack(order + "IIIII", number, 0, 0, len(frame), wire or len(frame))
    return block(6, head + frame + bytes(-len(frame) % 4), order)


# -- pcap ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("endianness", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_pcap_of_scapy(tmp_path, frames, endianness, nano):
    path = tmp_path / "a.pcap"
    wrpcap(str(path), [Ether(frame) for frame in frames], endianness=endianness, nano=nano)
    assert read(path) == [(frame, len(frame)) for frame in frames]


def test_pcap_with_snap_length(tmp_path, frames):
    path = tmp_path / "a.pcap"
    with PcapWriter(str(path), linktype=1, snaplen=64) as writer:
        writer.write_header(None)
        for frame in frames:
            writer.write_packet(frame[:64], wirelen=len(frame), caplen=min(64, len(frame)))
    assert read(path) == [(frame[:64], len(frame)) for frame in frames]


def test_pcap_cut_at_every_byte(tmp_path, frames):
    path = tmp_path / "a.pcap"
    wrpcap(str(path), [Ether(frame) for frame in frames[:3]])
    content = path.read_bytes()
    ends, at = [], 24
    for frame in frames[:3]:
        at += 16 + len(frame)
        ends.append(at)
    for size in range(len(content)):
        got, error = up_to_error(content[:size])
        assert len(got) == sum(end <= size for end in ends)
        if size >= 4 and size not in (24, *ends):
            assert isinstance(error, CutShortError)
            assert str(size) in str(error)
        elif size < 4:
            assert isinstance(error, CaptureFileError)
        else:
            assert error is None


def test_pcap_with_an_impossible_length():
    content = struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + struct.pack(
        "<IIII", 0, 0, 0xFFFFFFFF, 60
    )
    _, error = up_to_error(content)
    assert str(error).startswith("packet 1, at byte 24, cannot be 4294967295 bytes long")


# -- pcapng -------------------------------------------------------------------------------------


def test_pcapng_of_scapy(tmp_path, frames):
    path = tmp_path / "a.pcapng"
    with PcapNgWriter(str(path)) as writer:
        for frame in frames:
            writer.write(Ether(frame))
    assert read(path) == [(frame, len(frame)) for frame in frames]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_of_every_block(frames, order):
    one, two, three, four = frames[:4]
    old = struct.pack(order + "HHIIII", 0, 7, 0, 0, len(three), len(three))
    content = (
        section(order)
        + interface(order=order, options=struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0))
        + block(5, b"statistics", order)
        + packet(one, order=order)
        + block(3, struct.pack(order + "I", len(two)) + two, order)
        + block(0x80000BAD, b"somebody's own", order)
        + block(2, old + three, order)
        + interface(order=order)
        + packet(four, 1, 9000, order=order)
    )
    got, error = up_to_error(content)
    assert error is None
    assert got == [(f, len(f)) for f in (one, two, three)] + [(four, 9000)]


def test_pcapng_of_several_sections_in_either_order(frames):
    one, two = frames[:2]
    content = section("<") + interface() + packet(one)
    content += section(">") + interface(order=">") + packet(two, order=">")
    assert up_to_error(content) == ([(one, len(one)), (two, len(two))], None)


def test_simple_packet_is_cut_to_the_snap_length(frames):
    frame = frames[0]
    content = section() + interface(snap=50) + block(3, struct.pack("<I", len(frame)) + frame[:50])
    assert up_to_error(content) == ([(frame[:50], len(frame))], None)


def test_pcapng_cut_at_every_byte(frames):
    parts = [section(), interface(), *(packet(frame) for frame in frames[:3])]
    content, ends, at = b"".join(parts), [], 0
    for part in parts:
        at += len(part)
        ends.append(at)
    for size in range(4, len(content)):
        got, error = up_to_error(content[:size])
        assert len(got) == sum(end <= size for end in ends[2:])
        assert (error is None) == (size in ends)
        assert error is None or isinstance(error, CutShortError)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (section()[:8] + b"abcd" + section()[12:], "no byte order mark"),
        (section() + struct.pack("<III", 6, 13, 13), "cannot be 13 bytes long"),
        (section() + struct.pack("<III", 6, 12, 16), "has two different lengths"),
        (section() + packet(b"frame"), "is damaged"),
        (section() + interface() + block(6, bytes(8)), "is damaged"),
        (section() + interface() + block(6, struct.pack("<5I", 0, 0, 0, 99, 99)), "is damaged"),
    ],
)
def test_damaged_pcapng(content, text):
    got, error = up_to_error(content)
    assert got == []
    assert text in str(error)
    assert not isinstance(error, CutShortError)


# -- Other files, other link types --------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "the file is empty"),
        (b"#!/bin/sh\n", "neither a pcap nor a pcapng file"),
        (b"abc", "neither a pcap nor a pcapng file"),
        (gzip.compress(b"capture"), "this is a gzip file: unpack it first"),
    ],
    ids=["empty", "script", "short", "gzip"],
)
def test_no_capture_file(tmp_path, content, text):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CaptureFileError, match=text):
        read(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.pcap")


def test_foreign_link_type(frames):
    got, error = up_to_error(section() + interface() + interface(105) + packet(frames[0]))
    assert (len(got), error) == (1, None), "an interface nobody captured on does no harm"
    _, error = up_to_error(section() + interface(105) + packet(frames[0]))
    assert "link type 105 is not supported" in str(error)


@pytest.mark.parametrize("name", ["4in4-tcp-100", "6in4-udp-3"])
@pytest.mark.parametrize("link", ["cooked", "cooked-v2", "raw"])
def test_other_headers_become_ethernet(shapes, name, link):
    frame = shapes[name]
    kind, ip = int.from_bytes(frame[12:14], "big"), frame[14:]
    header, number = {
        "cooked": (CookedLinux(proto=kind), 113),
        "cooked-v2": (CookedLinuxV2(proto=kind), 276),
        "raw": (Raw(b""), 101),
    }[link]
    whole = bytes(header) + ip
    ((got, wire_length),), error = up_to_error(
        section() + interface(number) + packet(whole, wire=len(whole))
    )
    assert error is None
    assert got[12:] == frame[12:][: len(got) - 12]
    assert wire_length == len(frame)
    assert check(got, wire_length)[:5] == check(frame)[:5]
    assert check(got, wire_length).good & INNER_L4


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("magic", "version", "exchanged", "more"),
    [
        (0xA1B2C3D4, (2, 4), False, 0),
        (0xA1B2C3D4, (2, 3), True, 0),
        (0xA1B2C3D4, (2, 3), False, 0),
        (0xA1B2C3D4, (2, 2), True, 0),
        (0xA1B2C3D4, (543, 0), True, 0),
        (0xA1B2CD34, (2, 4), False, 8),
    ],
    ids=["2.4", "2.3-exchanged", "2.3", "2.2", "navtel", "modified"],
)
def test_old_forms_of_pcap(order, magic, version, exchanged, more):
    content = struct.pack(f"{order}IHHiIII", magic, *version, 0, 0, 65535, 1)
    for frame in (b"one frame" * 5, b"another"):
        lengths = (len(frame), len(frame) + 3)
        lengths = lengths[::-1] if exchanged else lengths
        content += struct.pack(f"{order}IIII", 7, 8, *lengths) + bytes(more) + frame
    reader = reader_of(io.BytesIO(content))
    assert reader.next_record() == (b"one frame" * 5, 48, 1, 7_000_008_000, 0)
    assert reader.next_record() == (b"another", 10, 1, 7_000_008_000, 0)
    assert reader.next_record() is None


def test_time_and_direction_in_pcapng():
    def block(kind: int, body: bytes) -> bytes:
        size = struct.pack("<I", 12 + len(body))
        return struct.pack("<I", kind) + size + body + size

    content = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    content += block(1, struct.pack("<HHI", 1, 0, 0))
    content += block(1, struct.pack("<HHIHHB3x", 113, 0, 0, 9, 1, 9))  # nanoseconds
    for interface, flags in ((0, b""), (1, struct.pack("<HHIHH", 2, 4, 2, 0, 0))):
        time = 1_700_000_000_000_000_123
        fields = (interface, time >> 32, time & 0xFFFFFFFF, 4, 60)
        content += block(6, struct.pack("<IIIII", *fields) + b"data" + flags)
    reader = reader_of(io.BytesIO(content))
    assert reader.next_record() == (b"data", 60, 1, 1_700_000_000_000_000_123_000, 0)
    assert reader.next_record() == (b"data", 60, 113, 1_700_000_000_000_000_123, 2)
