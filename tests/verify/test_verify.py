import json
import resource
import struct
import subprocess
import sys

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw
from scapy.utils import PcapWriter

from qualification.errors import UsageError
from qualification.stack.classes import Side
from qualification.verify import reading
from qualification.verify.command import verify_files
from qualification.verify.reading import Wanted

LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
OUTER = LINK / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=50000, dport=4789)
INNER = OUTER / VXLAN(vni=7) / LINK / IP(src="10.0.0.1", dst="10.0.0.2")
GOOD = bytes(INNER / TCP() / Raw(b"payload"))
BAD = bytes(INNER / TCP(chksum=0x1234) / Raw(b"payload"))
ARPS = bytes(LINK / ARP(pdst="10.0.0.2"))
PLAIN = bytes(LINK / IP(src="192.0.2.1", dst="192.0.2.2") / TCP())


@pytest.fixture
def verify(tmp_path):
    """Returns `verify(*frames)`, which verifies a file and returns the exit code and the lines."""

    def run(*frames: bytes, snap: int = 65535, cut: int = 0, ports=(), **options):
        path = tmp_path / "capture.pcap"
        with PcapWriter(str(path), linktype=1) as writer:
            writer.write_header(None)
            for frame in frames:
                writer.write_packet(frame[:snap], caplen=min(len(frame), snap), wirelen=len(frame))
        if cut:
            path.write_bytes(path.read_bytes()[:-cut])
        lines: list[str] = []
        code = verify_files([path], Wanted(ports=ports, **options), lines.append)
        return code, [line.replace(f"{tmp_path}/", "") for line in "\n".join(lines).splitlines()]

    return run


def test_all_right(verify):
    code, lines = verify(*[GOOD] * 1500)
    assert code == 0
    assert lines[0] == "capture.pcap: all 1,500 frames right"
    assert [line.split() for line in lines[2:]] == [
        ["layer", "right"],
        ["IPv4", "1,500"],
        ["UDP", "1,500"],
        ["VXLAN", ">", "IPv4", "1,500"],
        ["VXLAN", ">", "TCP", "1,500"],
    ]


def test_wrong_frames(verify):
    code, lines = verify(GOOD, BAD, GOOD, ARPS, BAD)
    assert code == 1
    assert lines[0] == (
        "capture.pcap: 2 of 5 frames are wrong (2 wrong value); 1 without a checksum"
    )
    text = "\n".join(lines)
    assert "192.0.2.1 → 192.0.2.2, VNI 7, IPv4 TCP: 2 of 4 frames" in text
    assert "  frame 2: inner TCP checksum is 0x1234, should be 0x" in text
    assert "  frame 5: " in text


def test_what_could_not_be_judged(verify):
    big = bytes(INNER / TCP() / Raw(bytes(200)))
    code, lines = verify(GOOD, big, snap=len(GOOD))
    assert code == 0
    assert lines[0] == (
        "capture.pcap: 1 of 2 frames right, none wrong on the wire; "
        "1 cut by the capture or a mirror"
    )
    assert lines[-1] == "  1 frame: the capture does not hold all of it (snap length)"


def test_most_not_judged_is_no_pass(verify):
    big = bytes(INNER / TCP() / Raw(bytes(200)))
    code, lines = verify(GOOD, *[big] * 99, snap=len(GOOD))
    assert code == 10
    assert lines[0].startswith("capture.pcap: most could not be judged; 1 of 100 frames right")


@pytest.mark.parametrize(
    ("frames", "options", "text"),
    [
        ([], {}, "nothing could be judged: it holds no frame"),
        ([ARPS], {}, "nothing could be judged: no frame has a checksum"),
        ([GOOD], {"snap": 60}, "nothing could be judged; 1 cut by the capture or a mirror"),
    ],
    ids=["empty", "arp", "snap"],
)
def test_nothing_judged_is_no_pass(verify, frames, options, text):
    code, lines = verify(*frames, **options)
    assert code == 10
    assert text in lines[0]


def test_plain_frames_are_judged(verify):
    assert verify(PLAIN)[0] == 0
    assert verify(PLAIN[:-1] + b"\1")[0] == 1


def partial(size: int, source: str = "10.0.0.1", target: str = "10.0.0.2") -> bytes:
    """Returns plain TCP whose checksum is what the kernel leaves for the NIC."""
    packet = LINK / IP(src=source, dst=target) / TCP() / Raw(bytes(size))
    addresses = bytes(packet)[26:34]
    total = sum(struct.unpack(">4H", addresses)) + 6 + 20 + size
    packet[TCP].chksum = (total & 0xFFFF) + (total >> 16)
    return bytes(packet)


def test_the_side_says_what_unfinished_sums_mean(verify):
    code, lines = verify(GOOD, partial(10))
    assert code == 1
    assert lines[0] == "capture.pcap: 1 of 2 frames is wrong (1 never filled in)"
    text = "\n".join(lines)
    assert "captured on the sending host, this means nothing" in text
    assert "the sender's NIC left them so" in text
    code, lines = verify(GOOD, partial(10), side=Side.SENDER)
    assert code == 0
    assert lines[0].endswith("1 of 2 frames right, none wrong on the wire; 1 never filled in")
    assert "the capturing host sent itself (--side sender)" in "\n".join(lines)
    code, lines = verify(GOOD, partial(10), side=Side.RECEIVER)
    assert code == 1
    assert "came so over the wire: the sender's NIC did not fill them in" in "\n".join(lines)


def test_a_receivers_own_replies_are_excused(verify):
    there = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(b"data"))
    replies = [partial(0, "10.0.0.2", "10.0.0.1")] * 3
    assert verify(*[there] * 4, *replies)[0] == 1
    assert verify(*[there] * 4, *replies, side=Side.RECEIVER)[0] == 0
    # If the faulty sender's frames are more, they are not taken for replies.
    assert verify(*[there] * 2, *replies, side=Side.RECEIVER)[0] == 1


def test_the_host_where_tcp_arrived_right_and_merged_has_captured(verify):
    there = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(b"data"))
    replies = [partial(0, "10.0.0.2", "10.0.0.1")] * 3
    code, lines = verify(*[there] * 9, partial(4000), *replies)
    assert code == 0
    assert "3 frames the capturing host sent itself (its replies" in "\n".join(lines)
    # But not if it sends right TCP as well.
    right = bytes(LINK / IP(src="10.0.0.2", dst="10.0.0.1") / TCP() / Raw(b"data"))
    assert verify(*[there] * 9, partial(4000), *replies, right)[0] == 1


def test_frames_longer_than_the_mtu_were_merged(verify):
    code, lines = verify(GOOD, partial(1500))  # 1540 bytes: a wire can carry that
    assert code == 1
    code, lines = verify(GOOD, partial(4000))
    assert code == 0
    assert "1 merged by GRO/LRO" in lines[0]
    jumbo = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(bytes(8000)))
    code, lines = verify(GOOD, jumbo, partial(4000))  # this wire does carry it
    assert code == 1


def test_a_merged_end_of_a_message_is_only_a_little_longer(verify):
    full = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(bytes(1460)))
    assert verify(full, partial(1461), partial(1477), partial(1500))[0] == 10
    assert verify(*[full] * 4, partial(1461), partial(1477), partial(1500))[0] == 0
    # Many of one length are full segments.
    assert verify(*[full] * 9, *[partial(1510)] * 4)[0] == 1


def test_a_buffer_of_gso_partial_is_not_yet_cut(verify):
    """The kernel writes one segment's length into the headers of a buffer that holds many."""
    code, lines = verify(GOOD, partial(1400) + bytes(9000))
    assert code == 0
    assert "1 merged by GRO/LRO" in lines[0]


def test_a_mirror_that_cuts_frames(verify):
    big = bytes(LINK / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(bytes(600)))
    code, lines = verify(*[PLAIN] * 3, big[:128])
    assert code == 0
    assert "1 cut by the capture or a mirror" in lines[0]
    code, lines = verify(GOOD, big[:100], big[:99])  # not all at one length, nor the longest
    assert code == 1
    assert "2 length error" in lines[0]


def test_the_direction_in_a_cooked_capture(tmp_path):
    def cooked(kind: int) -> bytes:
        return struct.pack(">HHH8sH", kind, 1, 6, bytes(8), 0x0800) + partial(10)[14:]

    for kind, expected in ((0, 1), (4, 10)):
        path = tmp_path / f"{kind}.pcap"
        with PcapWriter(str(path), linktype=113) as writer:
            writer.write_header(None)
            writer.write_packet(cooked(kind))
        lines: list[str] = []
        assert verify_files([path], echo=lines.append) == expected
        assert ("by the direction in the capture" in "\n".join(lines)) == (kind == 4)


def test_cut_short(verify):
    code, lines = verify(GOOD, GOOD, GOOD, cut=5)
    size = 24 + 3 * (16 + len(GOOD)) - 5
    assert code == 10
    assert lines[0] == (
        "capture.pcap: all 2 frames before the cut right; "
        f"the file is cut short in packet 3, at byte {size}"
    )
    code, lines = verify(GOOD, BAD, GOOD, cut=5)
    assert code == 1
    assert lines[0] == (
        "capture.pcap: 1 of 2 frames is wrong (1 wrong value); "
        f"the file is cut short in packet 3, at byte {size}"
    )


@pytest.mark.parametrize("content", [b"not a capture", b"", None])
def test_file_that_cannot_be_used(tmp_path, content):
    path = tmp_path / "capture.pcap"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        verify_files([path])
    assert caught.value.exit_code == 4
    assert caught.value.where == str(path)
    assert caught.value.hint


def test_directory(tmp_path):
    with pytest.raises(UsageError, match="the directory holds no capture"):
        verify_files([tmp_path])


def test_json(verify):
    code, lines = verify(GOOD, BAD, form="json")
    document = json.loads("\n".join(lines))
    assert code == document["exit_code"] == 1
    assert document["headline"] == "capture.pcap: 1 of 2 frames is wrong (1 wrong value)"
    assert (document["frames"], document["wrong"], document["trouble"]) == (2, 1, None)
    assert document["classes"] == {"wrong value": 1, "right": 1}
    assert document["layers"]["VXLAN > TCP"] == {
        "right": 1, "wrong": 1, "not filled in": 0, "length": 0, "no checksum": 0, "not judged": 0,
    }  # fmt: skip
    (flow,) = document["flows"]
    assert (flow["source"], flow["vni"], flow["protocol"], flow["wrong"]) == ("192.0.2.1", 7, 6, 1)
    (bad,) = document["bad_frames"]
    assert (bad["frame"], bad["class"], bad["wrong"]) == (2, "wrong value", True)
    assert bytes.fromhex(bad["bytes"]) == BAD


def test_frame_by_frame(verify, capsys):
    code, lines = verify(GOOD, BAD, ARPS, BAD, view="frames")
    assert code == 1
    cells = [line.split("\t") for line in lines]
    assert cells[0] == ["frame", "time", "class", "wrong", "packets", "sentences"]
    assert [row[0] for row in cells[1:]] == ["2", "4"]
    assert cells[1][2:5] == [
        "wrong value", "yes",
        "192.0.2.1:50000 → 192.0.2.2:4789; 10.0.0.1:20 → 10.0.0.2:80",
    ]  # fmt: skip
    assert cells[1][5].startswith("inner TCP checksum is 0x1234, should be 0x")
    assert "2 of 4 frames are wrong" in capsys.readouterr().err
    _, lines = verify(*[BAD] * 3000, view="frames")
    assert [line.split("\t")[0] for line in lines[1:]] == [str(n + 1) for n in range(3000)]
    _, lines = verify(*[BAD] * 30, view="frames", limit=20)
    assert len(lines) == 21


def test_frame_by_frame_as_json(verify):
    _, lines = verify(GOOD, BAD, form="json", view="frames")
    (only,) = map(json.loads, lines)
    assert (only["frame"], only["class"], only["packets"][1]) == (
        2, "wrong value", "10.0.0.1:20 → 10.0.0.2:80",
    )  # fmt: skip


def test_several_files(tmp_path):
    paths = []
    for number, frame in enumerate((GOOD, BAD, GOOD[:60])):
        paths.append(tmp_path / f"{number}.pcap")
        with PcapWriter(str(paths[-1]), linktype=1) as writer:
            writer.write_header(None)
            writer.write_packet(frame, wirelen=len(GOOD))
    lines: list[str] = []
    assert verify_files(paths, echo=lines.append) == 1
    assert sum("/0.pcap: all 1 frame right" in line for line in lines) == 1
    assert sum("/1.pcap: 1 of 1 frame is wrong" in line for line in lines) == 1
    assert verify_files([paths[0], paths[2]], echo=lines.append) == 10
    assert verify_files([paths[0], paths[0]], echo=lines.append) == 0


def test_progress_is_shown_after_a_while(verify, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    verify(GOOD)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(reading, "QUIET", 0.0)
    verify(*[GOOD] * 5000)
    assert "frames judged" in capsys.readouterr().err


def test_starts_fast_and_imports_no_heavy_library():
    program = (
        "import sys, click, qualification.verify.command;"
        "heavy = {'scapy', 'pydantic', 'pytest', 'scipy', 'paramiko'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", program], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # 0.15 s from start to answer is what we want. Tests may share their machine with others, so
    # this counts the CPU's time, not the clock's.
    assert min(once() for _ in range(3)) < 0.3


def test_a_wrong_frame_that_lro_may_have_made_is_told(verify):
    """NICs that merge segments leave the checksum of the first one."""
    tcp = LINK / IP(src="192.0.2.1", dst="192.0.2.2") / TCP(chksum=0x1234)
    code, lines = verify(GOOD, bytes(tcp / Raw(bytes(4200))), bytes(tcp / Raw(bytes(42))))
    assert code == 1
    assert any("1 of the first 2 is longer than 1,600 bytes" in line for line in lines)
    code, lines = verify(GOOD, bytes(tcp / Raw(bytes(42))))
    assert code == 1
    assert not any("LRO" in line for line in lines)
