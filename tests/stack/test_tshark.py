"""Frame by frame, tshark finds the same sums right and wrong, with its reassembly on.

Where they differ on purpose, the sum is left out of the comparison, and why is said here:

- GUE: tshark does not know it, so no frame has it.
- A zero checksum of IPv6's UDP, which RFC 8200 forbids: tshark has a note, but no status for it.
- UDP-Lite, for which tshark has no field of its own.
"""

from __future__ import annotations

import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from qualification.stack.codes import How, Kind, State
from qualification.stack.judge import walk_frame
from tests.wire.conftest import run_tool  # noqa: F401, a fixture

from .any_stack import Stack

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
CHECKS = ("ip", "tcp", "udp", "dccp")
BAD, GOOD, NOT_PRESENT = "0", "1", "3"


def compare(path: Path, count: int, seed: int, run: Callable[..., str]) -> list[str]:
    """Returns the frames that tshark judges otherwise."""
    random, frames = Random(seed), []
    while len(frames) < count:
        _, frame = Stack(random, random.choice([0, 0.2]), gue=False).frame(
            random.randrange(4), (1,)
        )
        frames.append(frame)
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame)
    options = [word for name in CHECKS for word in ("-o", f"{name}.check_checksum:TRUE")]
    wanted = [word for name in FIELDS for word in ("-e", name)]
    text = run(
        "tshark", "-n", *options, "-o", "sctp.checksum:CRC 32c", "-d", "udp.port==8472,vxlan",
        "-o", "ip.defragment:TRUE", "-o", "tcp.analyze_sequence_numbers:FALSE",
        "-T", "fields", *wanted, "-r", path,
    )  # fmt: skip
    different = []
    for number, (line, frame) in enumerate(zip(text.splitlines(), frames, strict=True), 1):
        theirs: Counter[tuple[str, str]] = Counter()
        for kind, cell in zip(FIELDS.values(), line.split("\t"), strict=True):
            theirs.update((kind.name, state) for state in cell.split(",") if state in (BAD, GOOD))
        ours: Counter[tuple[str, str]] = Counter()
        for each in walk_frame(frame, None, 1, frozenset({4789})).sums:
            excepted = each.how == How.ZERO and each.kind == Kind.UDP
            judged = each.state in (State.RIGHT, State.WRONG) and not excepted
            if each.kind in FIELDS.values() and judged:
                ours[each.kind.name, GOOD if each.state == State.RIGHT else BAD] += 1
        if ours != theirs:
            different.append(
                f"{number}: ours {ours - theirs}, tshark's {theirs - ours} {frame.hex()}"
            )
    return different


def test_some_frames(tmp_path: Path, run_tool: Callable[..., str]) -> None:  # noqa: F811
    assert compare(tmp_path / "some.pcap", 2000, 1, run_tool) == []


@pytest.mark.slow
def test_many_frames(tmp_path: Path) -> None:
    def run(*command: object) -> str:
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, check=True
        ).stdout

    for seed in range(2, 12):
        assert compare(tmp_path / "many.pcap", 20_000, seed, run) == []
