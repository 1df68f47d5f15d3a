"""Frame by frame, tshark finds the same sums right and wrong, with its reassembly on.

tshark does not know GUE: what is in it is given to tshark as frames of their own.

Where they differ, docs/verify.md says who is right, and `test_where_they_differ` that they do.
"""

from __future__ import annotations

import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from qualification.stack.codes import Carrier, How, Kind, State
from qualification.stack.judge import walk_frame
from tests.verify import captures
from tests.wire.conftest import run_tool  # noqa: F401, a fixture

from .any_stack import MACS, Stack, put

FIELDS = {
    "ip.checksum.status": Kind.IPV4,
    "tcp.checksum.status": Kind.TCP,
    "udp.checksum.status": Kind.UDP,
    "icmp.checksum.status": Kind.ICMP,
    "icmpv6.checksum.status": Kind.ICMPV6,
    "igmp.checksum.status": Kind.IGMP,
    "sctp.checksum.status": Kind.SCTP,
    "dccp.checksum.status": Kind.DCCP,
    "gre.checksum.status": Kind.GRE,
}
CHECKS = ("ip", "tcp", "udp", "udplite", "dccp")
PORTS = frozenset({4789})
Statuses = Counter[tuple[str, str]]
BAD, GOOD, NOT_PRESENT, ILLEGAL = "0", "1", "3", "4"  # Wireshark's epan/proto.h


def compare(path: Path, count: int, seed: int, run: Callable[..., str]) -> list[str]:
    """Returns the frames that tshark judges otherwise."""
    random, frames = Random(seed), []
    while len(frames) < count:
        _, frame = Stack(random, random.choice([0, 0.2])).frame(random.randrange(4), (1,))
        frames.append(frame)
    different = []
    for number, (ours, theirs, frame) in enumerate(judged(path, frames, run), 1):
        if ours != theirs:
            different.append(
                f"{number}: ours {ours - theirs}, tshark's {theirs - ours} {frame.hex()}"
            )
    return different


def judged(
    path: Path, frames: list[bytes], run: Callable[..., str]
) -> Iterator[tuple[Statuses, Statuses, bytes]]:
    """Yields the statuses of sums that we, and tshark, find in each of some frames."""
    parts = [list(parts_of(frame)) for frame in frames]
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for part in (part for several in parts for part in several):
            file.write(struct.pack("<IIII", 1, 0, len(part), len(part)) + part)
    options = [word for name in CHECKS for word in ("-o", f"{name}.check_checksum:TRUE")]
    wanted = [word for name in FIELDS for word in ("-e", name)]
    text = run(
        "tshark", "-n", *options, "-o", "sctp.checksum:CRC 32c", "-d", "udp.port==8472,vxlan",
        "-o", "udplite.ignore_checksum_coverage:FALSE", "-d", "udp.port==6080,data",
        "-o", "ip.defragment:TRUE", "-o", "tcp.analyze_sequence_numbers:FALSE",
        "-T", "fields", *wanted, "-r", path,
    )  # fmt: skip
    lines = iter(text.splitlines())
    for frame, several in zip(frames, parts, strict=True):
        theirs: Statuses = Counter()
        for line in (next(lines) for _ in several):
            for kind, cell in zip(FIELDS.values(), line.split("\t"), strict=True):
                states = (state for state in cell.split(",") if state in (BAD, GOOD, ILLEGAL))
                theirs.update((kind.name, state) for state in states)
        ours: Statuses = Counter()
        for each in walk_frame(frame, None, 1, PORTS).sums:
            # Both UDP's and UDP-Lite's status are in one field of tshark.
            kind = Kind.UDP if each.kind == Kind.UDP_LITE else each.kind
            if kind not in FIELDS.values():
                continue
            if each.state == State.RIGHT:
                ours[kind.name, GOOD] += 1
            elif each.state == State.WRONG:
                is_illegal = each.how == How.ZERO and kind == Kind.UDP
                ours[kind.name, ILLEGAL if is_illegal else BAD] += 1
            elif each.state == State.ABSENT and _is_over_ipv6(frame, each.start):
                ours[kind.name, ILLEGAL] += kind == Kind.UDP
        yield ours, theirs, frame


def _is_over_ipv6(frame: bytes, start: int) -> bool:
    """Returns whether the packet with a UDP header at an offset is one of IPv6."""
    packets = walk_frame(frame, None, 1, PORTS).packets
    return next(packet.family == 6 for packet in packets if packet.l4 == start)


def parts_of(frame: bytes) -> Iterator[bytes]:
    """Yields a frame, and after it the packet in each GUE tunnel as a frame of its own."""
    yield frame
    for packet in walk_frame(frame, None, 1, PORTS).packets:
        if packet.carrier == Carrier.GUE:
            kind = b"\x08\0" if packet.family == 4 else b"\x86\xdd"
            yield from parts_of(MACS + kind + frame[packet.start : packet.end])
            return


def test_some_frames(tmp_path: Path, run_tool: Callable[..., str]) -> None:  # noqa: F811
    assert compare(tmp_path / "some.pcap", 2000, 1, run_tool) == []


def _tcp_of_zero() -> bytes:
    """Returns TCP whose right sum is 0, with 0xffff in its place."""
    data = captures.tcp(b"\0\0")
    data = put(data, 16, 0)
    data = put(data, 20, captures.csum(captures.pseudo(captures.A4, captures.B4, 6, 22) + data))
    return captures.eth(0x0800, captures.ip4(6, put(data, 16, 0xFFFF)))


def _over_ipv6(datagram: bytes, protocol: int = 17) -> bytes:
    return captures.eth(0x86DD, captures.ip6(protocol, datagram))


_ENDS = {"src": captures.A6, "dst": captures.B6, "check": 0}
_LITE = struct.pack(">HHHH", 1, 9, 8, 0) + b"hello"
_WRONG = captures.eth(
    0x0800,
    captures.ip4(6, captures.tcp(b"x", captures.I4, captures.J4, 1), captures.I4, captures.J4),
)
DIFFERENT = {
    "tcp-ffff": (_tcp_of_zero(), ("TCP", GOOD), ("TCP", BAD)),
    "zero-over-ipv6-in-a-tunnel": (
        _over_ipv6(captures.vxlan(captures.PLAIN, **_ENDS)), None, ("UDP", ILLEGAL)
    ),
    "zero-over-ipv6": (_over_ipv6(captures.udp(b"x", **_ENDS)), ("UDP", BAD), ("UDP", ILLEGAL)),
    "zero-in-udp-lite": (
        captures.eth(0x0800, captures.ip4(136, _LITE)), ("UDP_LITE", BAD), ("UDP", ILLEGAL)
    ),
    "vxlan-on-8473": (
        captures.eth(0x0800, captures.ip4(17, captures.vxlan(_WRONG, dport=8473))),
        ("TCP", BAD), None,
    ),
}  # fmt: skip
"""Frames with what we and tshark say of a sum; the table of docs/verify.md, in its order."""


@pytest.mark.parametrize("name", DIFFERENT)
def test_where_they_differ(
    name: str,
    tmp_path: Path,
    run_tool: Callable[..., str],  # noqa: F811
) -> None:
    frame, ours, theirs = DIFFERENT[name]
    sums = walk_frame(frame, None, 1, PORTS).sums
    found = {(each.kind.name, GOOD if each.state == State.RIGHT else BAD) for each in sums
             if each.state in (State.RIGHT, State.WRONG)}  # fmt: skip
    ((_, said, _),) = judged(tmp_path / "one.pcap", [frame], run_tool)
    kinds = {each[0] for each in (ours, theirs) if each}
    assert {each for each in found if each[0] in kinds} == ({ours} if ours else set())
    assert {each for each in said if each[0] in kinds and said[each]} == (
        {theirs} if theirs else set()
    )


@pytest.mark.slow
def test_many_frames(tmp_path: Path) -> None:
    def run(*command: object) -> str:
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=True
        ).stdout

    for seed in range(2, 12):
        assert compare(tmp_path / "many.pcap", 20_000, seed, run) == []
