"""More of what people capture: where the capture is merged, cut, partial or of both directions."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from qualification.stack.classes import Side
from qualification.verify.command import verify_files
from qualification.verify.reading import Wanted

from .captures import (
    A4,
    A6,
    B4,
    B6,
    C6,
    I4,
    J4,
    csum,
    eth,
    fold,
    good_vxlan,
    ip4,
    ip6,
    pcap,
    pseudo,
    tcp,
    udp,
    vxlan,
)  # fmt: skip

VLAN = struct.pack(">HH", 0x8100, 7)
SEGMENT = bytes(1400)


def inner(payload: bytes = b"hello", tags: bytes = b"", **how: object) -> bytes:
    return eth(0x0800, ip4(6, tcp(payload, I4, J4, **how), I4, J4), tags)


def outer(frame: bytes, check: int | None = 0) -> bytes:
    return eth(0x0800, ip4(17, vxlan(frame, check=check)))


def merged(size: int, tags: bytes = b"") -> bytes:
    """Returns what GRO makes of segments: both sums are those of the pseudo-headers."""
    frame = inner(bytes(size), tags, partial=True)
    return outer(frame, fold(pseudo(A4, B4, 17, 16 + len(frame))))


def geneve(frame: bytes, check: int | None = None) -> bytes:
    return udp(b"\0\0\x65\x58" + struct.pack(">I", 42 << 8) + frame, 50000, 6081, check=check)


def over_ipv6(port: int, body: bytes, check: int | None = 0) -> bytes:
    return eth(0x86DD, ip6(17, udp(body, 50000, port, A6, B6, check)))


def cooked(packet: bytes, kind: int) -> bytes:
    """Returns a frame as `tcpdump -i any` has it; kind 0 is to this host, 4 is from it."""
    return struct.pack(">HHIHBB8s", 0x0800, 0, 2, 1, kind, 6, bytes(8)) + packet


def fragments(datagram: bytes, step: int = 160) -> list[bytes]:
    return [
        eth(0x0800, ip4(17, datagram[at : at + step],
                        flags=(0x2000 if at + step < len(datagram) else 0) | at // 8))
        for at in range(0, len(datagram), step)
    ]  # fmt: skip


def snapped(frames: list[bytes], length: int) -> bytes:
    head = pcap()
    records = (struct.pack("<IIII", 1, 0, min(len(each), length), len(each)) + each[:length]
               for each in frames)  # fmt: skip
    return head + b"".join(records)


FULL = [outer(inner(SEGMENT), None)] * 3
REQUEST = ip4(6, tcp(b"request", I4, J4, partial=True), I4, J4)
REPLY = ip4(6, tcp(b"reply", J4, I4), J4, I4)
WRONG_REPLY = ip4(6, tcp(b"reply", J4, I4, 5), J4, I4)
LEFT_REPLY = ip4(6, tcp(b"reply", J4, I4, partial=True), J4, I4)
SENT = [merged(size) for size in (5, 900, 1400, 20_000, 60_000)]
BACK = inner(b"", partial=True)
BROKEN = fragments(vxlan(inner(bytes(400), wrong=1)))
ROUTE = bytes([6, 2, 0, 1]) + bytes(4) + C6

QUOTING = b"\x03\x01" + bytes(6) + ip4(6, tcp(b"hello", wrong=9))[:28]

CASES: dict[str, tuple[bytes, int, str]] = {
    "merged, inner VLAN": (pcap(*FULL, merged(2800, VLAN)), 0, "1 merged by GRO/LRO"),
    "merged alone": (pcap(merged(2800, VLAN)), 10, "nothing could be judged; 1 merged by GRO/LRO"),
    "merged, a full one and a short one": (pcap(*FULL, merged(1460)), 0, "1 merged by GRO/LRO"),
    "merged, no outer checksum": (
        pcap(*FULL, outer(inner(bytes(2800), partial=True))), 0, "1 merged by GRO/LRO"),
    "merged, Geneve": (
        pcap(*FULL, eth(0x0800, ip4(17, geneve(inner(bytes(4200), partial=True), 0)))),
        0, "1 merged by GRO/LRO"),
    "snap length 128": (snapped(FULL, 128), 10, "3 cut by the capture or a mirror"),
    "snap length 128, a few are whole": (
        snapped([*FULL, good_vxlan()], 128), 10, "most could not be judged; 1 of 4 frames right"),
    "both directions, SLL2": (
        pcap(cooked(REQUEST, 4), cooked(REPLY, 0), link=276), 0, "1 never filled in"),
    "both directions, SLL2, wrong": (
        pcap(cooked(REQUEST, 4), cooked(WRONG_REPLY, 0), link=276), 1, "(1 wrong value); 1 never"),
    "both directions, SLL2, left by the other side": (
        pcap(cooked(REQUEST, 4), cooked(LEFT_REPLY, 0), link=276),
        1, "1 of 2 frames is wrong (1 never filled in); 1 never filled in"),
    "Geneve, inner wrong": (
        pcap(eth(0x0800, ip4(17, geneve(inner(wrong=1))))), 1, "(1 wrong value)"),
    "VXLAN in VXLAN, innermost wrong": (
        pcap(outer(eth(0x0800, ip4(17, vxlan(inner(wrong=1)), I4, J4)))), 1, "(1 wrong value)"),
    "fragments, wrong": (pcap(good_vxlan(), *BROKEN), 1, "1 of 4 frames is wrong"),
    "fragments, in any order": (pcap(good_vxlan(), *BROKEN[::-1]), 1, "1 of 4 frames is wrong"),
    "fragments, one missing": (
        pcap(good_vxlan(), *BROKEN[1:]), 10, "most could not be judged; 1 of 3 frames right"),
    "routing header": (
        pcap(eth(0x86DD, ip6(43, ROUTE + tcp(b"hello", A6, C6)))), 0, "all 1 frame right"),
    "routing header, sum for the next hop": (
        pcap(eth(0x86DD, ip6(43, ROUTE + tcp(b"hello", A6, B6)))), 1, "(1 wrong value)"),
    "zero over IPv6": (pcap(over_ipv6(9, b"hello")), 1, "(1 never filled in)"),
    "zero over IPv6, VXLAN": (
        pcap(over_ipv6(4789, b"\x08\0\0\0\0\0\x2a\0" + inner())), 0, "all 1 frame right"),
    "zero over IPv6 in VXLAN": (
        pcap(outer(over_ipv6(9, b"hello"))), 1, "(1 never filled in)"),
    "zero over IPv6, VXLAN in VXLAN": (
        pcap(outer(over_ipv6(4789, b"\x08\0\0\0\0\0\x2a\0" + inner()))), 0, "all 1 frame right"),
    "a sender": (pcap(*SENT), 1, "(3 never filled in); 2 merged by GRO/LRO"),
    "padding of zero and of anything": (
        pcap(eth(0x0800, ip4(17, udp(b"hi"))) + bytes(10), eth(0x0800, ip4(17, udp(b"hi")))
             + b"\xff" * 10), 0, "all 2 frames right"),
    "jumbo frames": (
        pcap(*[outer(inner(bytes(8900)), None)] * 3, outer(inner(bytes(8900), wrong=1))),
        1, "1 of 4 frames is wrong (1 wrong value)"),
    "ICMP that quotes a wrong packet": (
        pcap(eth(0x0800, ip4(1, QUOTING[:2] + struct.pack(">H", csum(QUOTING)) + QUOTING[4:]))),
        0, "all 1 frame right"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_what_is_said(name: str, tmp_path: Path) -> None:
    content, code, text = CASES[name]
    path = tmp_path / "capture.pcap"
    path.write_bytes(content)
    lines: list[str] = []
    assert verify_files([path], echo=lines.append) == code
    assert text in lines[0]


@pytest.mark.parametrize(("side", "code"), [(Side.SENDER, 10), (Side.RECEIVER, 1)])
def test_the_side_says_what_a_capture_of_partial_sums_means(
    side: Side, code: int, tmp_path: Path
) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(pcap(*SENT))
    assert verify_files([path], Wanted(side=side), echo=lambda _: None) == code
