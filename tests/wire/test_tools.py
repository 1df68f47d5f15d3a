"""The verifier compared with tshark, frame by frame, and with tcpdump where that is blind."""

import itertools
import random

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import PcapWriter

from qualification.wire.capture_file import read_frames
from qualification.wire.verify import INNER_IP, INNER_L4, OUTER_IP, OUTER_L4, Checked, check

# proto_checksum_vals of Wireshark's epan/proto.c; 4 is "illegal", a 0 in UDP over IPv6.
STATUS = {"0": "bad", "1": "good", "2": "unjudged", "3": "absent", "4": "bad"}
TSHARK = [
    "tshark", "-n", "-Q",
    "-o", "ip.check_checksum:TRUE",
    "-o", "udp.check_checksum:TRUE",
    "-o", "tcp.check_checksum:TRUE",
    "-o", "udp.ignore_ipv6_zero_checksum:FALSE",
    "-o", "tcp.analyze_sequence_numbers:FALSE",
    "-o", "tcp.desegment_tcp_streams:FALSE",
    "-o", "ip.defragment:FALSE",
    "-o", "ipv6.defragment:FALSE",
    "-d", "udp.port==4789,vxlan",
    "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t",
    "-e", "ip.checksum.status", "-e", "udp.checksum.status", "-e", "tcp.checksum.status",
]  # fmt: skip


def faulty(shapes: dict[str, bytes]) -> list[bytes]:
    """Returns frames of every shape with each checksum wrong in turn, and with random bit flips."""
    dice = random.Random(4789)
    frames = []
    for frame in shapes.values():
        layout = check(frame).layout
        for packet in filter(None, (layout.outer, layout.inner)):
            spots = [packet.start + 10] if packet.family == 4 else []
            if packet.checksum and packet.protocol in (6, 17):
                spots.append(packet.l4 + (16 if packet.protocol == 6 else 6))
            if packet is (layout.inner or layout.outer) and packet.l4_length > 20:
                spots.append(dice.randrange(packet.l4 + 20, packet.end))
            for at in spots:
                broken = bytearray(frame)
                broken[at] ^= 1 << dice.randrange(8)
                frames.append(bytes(broken))
    return frames


@pytest.fixture
def capture(tmp_path):
    path = tmp_path / "frames.pcap"

    def write(frames: list[bytes]):
        with PcapWriter(str(path), linktype=1) as writer:
            writer.write_header(None)
            for frame in frames:
                writer.write_packet(frame)
        return path

    return write


def in_tshark_words(checked: Checked) -> tuple[list[str], list[str], list[str]]:
    """Returns the status of every IPv4, UDP and TCP header, outermost first."""
    ip, udp, tcp = [], [], []
    packets = [(checked.layout.outer, OUTER_IP, OUTER_L4)]
    if checked.layout.inner is not None:
        packets.append((checked.layout.inner, INNER_IP, INNER_L4))
    for packet, ip_bit, l4_bit in packets:
        if packet.family == 4:
            ip.append(checked.state(ip_bit))
        {17: udp, 6: tcp}.get(packet.protocol, []).append(checked.state(l4_bit))
    return ip, udp, tcp


def test_tshark_agrees_frame_by_frame(shapes, capture, run_tool):
    # Not comparable: tshark parses a nested tunnel as well, and calls an outer UDP field of 0 over
    # IPv6 bad although a tunnel may have it.
    left_out = {"nested", "6in4-noudpcsum", "6in6-noudpcsum"}
    comparable = {name: frame for name, frame in shapes.items() if name not in left_out}
    frames = list(comparable.values()) + faulty(comparable)
    path = capture(frames)
    lines = run_tool(*TSHARK, "-r", str(path)).splitlines()
    assert len(lines) == len(frames)
    verdicts = set()
    for number, (line, (frame, wire_length)) in enumerate(
        zip(lines, read_frames(path), strict=True), 1
    ):
        columns = (*line.split("\t"), "", "")[:3]
        theirs = tuple([STATUS[s] for s in column.split(",") if s] for column in columns)
        ours = in_tshark_words(check(frame, wire_length))
        assert ours == theirs, f"frame {number}: {frame.hex()}"
        verdicts.update(itertools.chain(*ours))
    assert verdicts == {"good", "bad", "absent"}, "the capture shows every verdict"


def test_tshark_calls_a_tcp_field_of_ffff_bad(wrap, capture, run_tool):
    """The known difference: 0xffff and 0x0000 are equal in every receiver's sum."""
    inner = IP(src="10.0.0.1", dst="10.0.0.2") / TCP()
    sum_left = IP(bytes(inner / Raw(b"\0\0")))[TCP].chksum
    inner[TCP].chksum = 0xFFFF
    frame = bytes(wrap(inner / Raw(sum_left.to_bytes(2, "big"))))
    line = run_tool(*TSHARK, "-r", str(capture([frame])))
    assert line.split("\t")[2].strip() == "0"
    assert check(frame).good & INNER_L4


def test_tshark_on_udp_over_ipv6_without_checksum(wrap, capture, run_tool):
    plain = bytes(Ether(dst="02:00:00:00:00:02") / IPv6() / UDP(dport=5353, chksum=0) / Raw(b"abc"))
    line = run_tool(*TSHARK, "-r", str(capture([plain])))
    assert STATUS[line.split("\t")[1].strip()] == "bad"
    assert check(plain).bad == OUTER_L4


@pytest.mark.parametrize(("source_port", "sees"), [(50000, True), (49152, False)])
def test_tcpdump_misreads_one_port_in_64(wrap, capture, run_tool, source_port, sees):
    """tcpdump does not parse a tunnel whose source port it takes for another protocol."""
    inner = IP(src="10.0.0.1", dst="10.0.0.2") / TCP(dport=443, chksum=0xBAD) / Raw(b"data")
    frame = bytes(wrap(inner, source_port=source_port))
    said = run_tool("tcpdump", "-nn", "-vvv", "-r", str(capture([frame])))
    assert ("cksum 0x0bad (incorrect" in said) == sees
    assert check(frame).bad == INNER_L4
