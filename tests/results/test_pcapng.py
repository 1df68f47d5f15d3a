"""Bad frames as pcapng: our own reader opens it, and Wireshark shows why each is in there."""

from __future__ import annotations

import base64
import shutil
import subprocess
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from qualification.messages.bursts import BadFrame
from qualification.results.pcapng import pcapng
from qualification.wire.capture_file import read_frames

HEAD = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
BODY = IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=50000, dport=4789, chksum=0x1234)
FRAMES = [
    bytes(HEAD / BODY / Raw(b"odd")),
    bytes(HEAD / Dot1Q(vlan=7) / BODY / Raw(bytes(range(200)))),
    # Scapy would correct the fields of this frame, if it built the frame again.
    bytes(HEAD / IP(src="198.18.0.1", dst="198.18.0.2", chksum=1, len=3) / UDP(len=9)),
    bytes(HEAD / Raw(b"\x00")),
]
FINDINGS = [
    ("outer L4: 0x1234, right would be 0xbeef", "inner L4: ünfinished, it holds its seed"),
    ("outer L4: 0x1234",),
    ("outer IP: 0x0001",),
    (),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bad.pcapng"
    bad = [
        BadFrame(base64.b64encode(frame).decode(), ("outer L4",), findings)
        for frame, findings in zip(FRAMES, FINDINGS, strict=True)
    ]
    path.write_bytes(pcapng(bad))
    return path


def test_our_own_reader_gets_the_bytes_back(file: Path) -> None:
    assert list(read_frames(file)) == [(frame, len(frame)) for frame in FRAMES]


def test_wireshark_shows_the_findings(file: Path) -> None:
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip("needs tshark")
    shown = subprocess.run(
        [
            *(tshark, "-r", str(file), "-T", "fields", "-E", "aggregator=|"),
            *("-e", "frame.number", "-e", "frame.len", "-e", "frame.comment"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert [line.rstrip("\t").split("\t") for line in shown.splitlines()] == [
        [str(number), str(len(frame)), *(["|".join(findings)] if findings else [])]
        for number, (frame, findings) in enumerate(zip(FRAMES, FINDINGS, strict=True), 1)
    ]


def test_no_frames_make_no_trouble() -> None:
    assert isinstance(pcapng([]), bytes)
