"""`vxqual verify` compared with tcpdump and tshark; its time on a small file, and its memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .frames import LARGE, MIX, SMALL, Sort
from .processes import VXQUAL, run
from .rows import Bar, Row, Side, at_least
from .setting import Setting

# -Z root: after dropping its privileges, tcpdump may be unable to read the file.
TCPDUMP = ("tcpdump", "-Z", "root", "-nn", "-vvv", "-r")
_CHECKS_ON = (
    "ip.check_checksum:TRUE",
    "udp.check_checksum:TRUE",
    "tcp.check_checksum:TRUE",
    "tcp.analyze_sequence_numbers:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    "ip.defragment:FALSE",
    "ipv6.defragment:FALSE",
)
_STATUS = ("ip.checksum.status", "udp.checksum.status", "tcp.checksum.status")
_TSHARK = ("tshark", "-n", *(word for option in _CHECKS_ON for word in ("-o", option)))
TSHARK_ALL = (*_TSHARK, "-T", "fields", *(word for name in _STATUS for word in ("-e", name)), "-r")
"""Prints the status of each checksum of each frame."""
TSHARK_WRONG = (*_TSHARK, "-Y", " || ".join(f"{name} == 0" for name in _STATUS), "-r")
"""Prints the wrong frames only."""

_OURS = "vxqual verify"
_NOTHING = (sys.executable, "-c", "pass")

_LIMITS = {
    SMALL: "About half of the time is the interpreter's start and vxqual's imports; the rest goes "
    "frame by frame through five headers, far below memory's speed.",
    LARGE: "Memory: each byte is copied out of the page cache once, by read(2), and summed once, "
    "where it then lies in the CPU's cache.",
    MIX: "Memory, as with 1400 B, and branches that no CPU foresees: family, protocol and length "
    "change from frame to frame.",
}


def against_tcpdump_and_tshark(setting: Setting) -> Iterator[Row]:
    """Yields rows of checking every checksum of a million frames, by CPU time."""
    many, few = (20_000, 2_000) if setting.quick else (1_000_000, 200_000)
    works = {
        _OURS: ((VXQUAL, "verify"), many),
        "tcpdump -nn -vvv": (TCPDUMP, many),
        "tshark -T fields": (TSHARK_ALL, few),
        "tshark -Y wrong": (TSHARK_WRONG, few),
    }
    for sort, least in ((SMALL, 12), (LARGE, 10), (MIX, 12)):
        found = setting.in_turn(
            {
                f"{name}, {sort.name}": partial(_frames_per_second, setting, sort, *work)
                for name, work in works.items()
            },
            warm_up=False,  # the file has just been written, and is in the page cache
        )
        ours, *peers = (
            Side(name, values) for name, values in zip(works, found.values(), strict=True)
        )
        for peer, bar in zip(peers, (at_least(least), at_least(100), None), strict=True):
            yield Row(
                work=f"verify, {sort.name} inner, against {peer.name}",
                unit="frames/CPU-s",
                ours=ours,
                peer=peer,
                bar=bar,
                limit=_LIMITS[sort],
            )


def _frames_per_second(
    setting: Setting, sort: Sort, command: tuple[str, ...], frames: int
) -> float:
    return frames / run([*command, str(setting.capture(sort, frames))]).cpu


def mixed(setting: Setting) -> Iterator[Row]:
    """Yields rows of a mixed capture, and of its wrong frames one by one, by CPU time."""
    many, few = (20_000, 2_000) if setting.quick else (1_000_000, 200_000)
    tcpdump, tshark = "tcpdump -nn -vvv", "tshark -T fields"
    works: dict[str, tuple[tuple[str, ...], int, float]] = {
        _OURS: ((VXQUAL, "verify"), many, 0.0),
        tcpdump: (TCPDUMP, many, 0.0),
        tshark: (TSHARK_ALL, few, 0.0),
        f"{_OURS} --frames": ((VXQUAL, "verify", "--frames"), many, 0.01),
        f"{_OURS} --json": ((VXQUAL, "verify", "--json"), many, 0.01),
    }
    found = setting.in_turn(
        {
            name: partial(_rate, command, setting.mixed(count, wrong), count)
            for name, (command, count, wrong) in works.items()
        },
        warm_up=False,
    )
    for ours, peer, least in (
        (_OURS, tcpdump, 12),
        (_OURS, tshark, 100),
        (f"{_OURS} --frames", tcpdump, 5),
        (f"{_OURS} --json", tcpdump, 5),
    ):
        yield Row(
            work=f"{ours.removeprefix('vxqual ')}, mixed capture, against {peer}",
            unit="frames/CPU-s",
            ours=Side(ours, found[ours]),
            peer=Side(peer, found[peer]),
            bar=at_least(least),
            limit="Branches that no CPU foresees, as hardly two frames are alike; thousands of "
            "flows, which Python adds up; and each frame of --frames becomes a line in Python.",
        )


def _rate(command: tuple[str, ...], capture: Path, frames: int) -> float:
    return frames / run([*command, str(capture)], fine=(0, 1)).cpu  # 1: it finds wrong frames


def answer(setting: Setting) -> Iterator[Row]:
    """Yields the wall time for a small capture."""
    path = setting.capture(MIX, 1000)
    found = setting.in_turn(
        {
            _OURS: lambda: run([VXQUAL, "verify", str(path)]).wall,
            "python -c pass": lambda: run(_NOTHING).wall,
        }
    )
    yield Row(
        work="verify 1,000 frames: start to answer",
        unit="s",
        ours=Side(_OURS, found[_OURS]),
        peer=Side("python -c pass", found["python -c pass"]),
        bar=Bar("value", "at most", 0.15),
        limit="Imports: click, ctypes and vxqual's own modules, and the interpreter's start. "
        "The frames themselves take a millisecond.",
    )


def memory(setting: Setting) -> Iterator[Row]:
    """Yields the memory for a large capture, less what the interpreter needs."""
    size = 20_000_000 if setting.quick else 2_000_000_000
    path = setting.capture(LARGE, size // LARGE.longest)

    def over_the_interpreter() -> float:
        return (run([VXQUAL, "verify", str(path)]).peak - run(_NOTHING).peak) / 1e6

    found = setting.in_turn({f"{_OURS}, {size / 1e9:g} GB": over_the_interpreter})
    (values,) = found.values()
    yield Row(
        work=f"verify {size / 1e9:g} GB: memory over the interpreter's own",
        unit="MB",
        ours=Side(_OURS, values),
        bar=Bar("value", "at most", 80),
        limit="Modules: of the file there are 256 KiB in memory at a time, whatever its size.",
    )
