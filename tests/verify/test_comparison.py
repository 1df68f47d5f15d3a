"""Two captures of the same traffic: who is to blame."""

import struct
from pathlib import Path

import pytest

from qualification.verify.comparing import compare_files
from qualification.verify.reading import Wanted

from .captures import I4, J4, eth, fold, ip4, pcap, pseudo, tcp, udp, vxlan


def tunnelled(packet: bytes) -> bytes:
    return eth(0x0800, ip4(17, vxlan(eth(0x0800, packet))))


def segment(payload: bytes, sequence: int, **options: object) -> bytes:
    data = tcp(payload, I4, J4)
    data = data[:4] + struct.pack(">I", sequence) + data[8:16] + b"\0\0" + data[18:]
    if options.get("partial"):
        check = fold(pseudo(I4, J4, 6, len(data)))
    else:
        check = 0xFFFF - fold(pseudo(I4, J4, 6, len(data)) + data)
    check ^= options.get("wrong", 0)  # type: ignore[operator]
    return tunnelled(ip4(6, data[:16] + struct.pack(">H", check) + data[18:], I4, J4))


def datagram(payload: bytes, check: int | None = None) -> bytes:
    return tunnelled(ip4(17, udp(payload, src=I4, dst=J4, check=check), I4, J4))


DATA = bytes(range(1, 251)) * 12  # 3,000 bytes
SUPER = segment(DATA, 1000, partial=True)
CUT = [segment(DATA[at : at + 1000], 1000 + at) for at in (0, 1000, 2000)]
BAD = segment(DATA[1000:2000], 2000, wrong=0x0100)


@pytest.mark.parametrize(
    ("sent", "arrived", "said"),
    [
        ([SUPER], [CUT[0], BAD, CUT[2]], "1 frame: the sender's NIC: it was to fill in"),
        ([CUT[0], CUT[1]], [CUT[0], BAD], "the checksum was right, and only it was changed"),
        ([CUT[0], BAD], [CUT[0], BAD], "the sending host: the frame was wrong before"),
        (
            [segment(DATA[:1000], 1000, partial=True)] * 2,
            [CUT[1], segment(DATA[:1000], 1000, partial=True)],
            "the sender's NIC: it left the checksum",
        ),
        (
            [SUPER],
            [CUT[0], CUT[1][:-1] + b"\xee"],
            "the data was changed on the way",
        ),
        ([CUT[0], CUT[1]], [CUT[0], CUT[1][:-20]], "the data was changed on the way"),
        ([CUT[0], CUT[1][:-20]], [CUT[0], CUT[1][:-20]], "the sending host: the frame was wrong"),
        ([CUT[2]], [CUT[0], BAD], "not in the sender's capture"),
        (
            [datagram(b"one"), datagram(b"another")],
            [datagram(b"another", check=0x1234)],
            "the checksum was right, and only it was changed",
        ),
        ([SUPER], CUT, "no frame arrived wrong"),
    ],
    ids=[
        "nic",
        "field",
        "host",
        "left",
        "data",
        "short",
        "short-before",
        "missing",
        "udp",
        "right",
    ],
)
def test_who_is_to_blame(
    tmp_path: Path, sent: list[bytes], arrived: list[bytes], said: str
) -> None:
    sender, receiver = tmp_path / "sender.pcap", tmp_path / "receiver.pcap"
    sender.write_bytes(pcap(*sent))
    receiver.write_bytes(pcap(*arrived))
    lines: list[str] = []
    code = compare_files(sender, receiver, Wanted(), lines.append)
    text = "\n".join(lines)
    assert said in text
    assert code == (0 if said.startswith("no frame") else 1)


def test_what_changed_is_named(tmp_path: Path) -> None:
    sender, receiver = tmp_path / "sender.pcap", tmp_path / "receiver.pcap"
    sender.write_bytes(pcap(SUPER))
    receiver.write_bytes(pcap(CUT[0], CUT[1][:-1] + b"\xee", CUT[2]))
    lines: list[str] = []
    compare_files(sender, receiver, Wanted(), lines.append)
    text = "\n".join(lines)
    assert "receiver's frame 2, 10.0.0.1:40000 → 10.0.0.2:80: inner TCP checksum is 0x" in text
    assert "sender's frame 1: " in text
    assert "cut into segments, payload from byte 999 on: 0xfa became 0xee" in text


def test_a_damaged_capture_of_the_sender_is_compared_as_far_as_it_can_be_read(
    tmp_path: Path,
) -> None:
    sender, receiver = tmp_path / "sender.pcap", tmp_path / "receiver.pcap"
    sender.write_bytes(pcap(SUPER) + b"\xff" * 40)
    receiver.write_bytes(pcap(CUT[0], BAD))
    lines: list[str] = []
    assert compare_files(sender, receiver, Wanted(), lines.append) == 1
    assert "1 frame: the sender's NIC: it was to fill in" in "\n".join(lines)
