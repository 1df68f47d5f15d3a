"""The input frames of the bench: right, varied, and parsed by all tools that are compared."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from bench.frames import LARGE, MIX, SMALL, Sort, frames, write_capture
from bench.verify import TCPDUMP, TSHARK_ALL, TSHARK_WRONG
from qualification.wire.capture_file import read_frames
from qualification.wire.verify import INNER_L4, OUTER_L4, check

SORTS = pytest.mark.parametrize("sort", [SMALL, LARGE, MIX], ids=lambda sort: sort.name)
COUNT = 3000


@SORTS
def test_every_frame_is_right_and_tunnelled(sort: Sort) -> None:
    for frame in frames(sort, COUNT):
        checked = check(frame)
        assert not checked.bad | checked.absent
        assert checked.good & OUTER_L4 and checked.good & INNER_L4
        layout = checked.layout
        assert layout and layout.inner
        assert layout.vni in sort.vnis
        assert sort.shortest <= layout.inner.end - layout.inner.start <= sort.longest
        assert layout.inner.end == len(frame)


def test_flows_are_many_and_of_every_kind() -> None:
    kinds: Counter[tuple[int, int, int]] = Counter()
    lengths, outer_ports = set(), set()
    for frame in frames(MIX, COUNT):
        layout = check(frame).layout
        assert layout and layout.inner
        kinds[layout.outer.family, layout.inner.family, layout.inner.protocol] += 1
        lengths.add(len(frame))
        outer_ports.add(int.from_bytes(frame[layout.outer.l4 : layout.outer.l4 + 2], "big"))
    assert set(kinds) == {(out, ins, l4) for out in (4, 6) for ins in (4, 6) for l4 in (6, 17)}
    assert min(kinds.values()) > COUNT / 16
    assert len(lengths) > 1000
    assert len(outer_ports) > 1500
    assert 49152 not in outer_ports, "tcpdump would not look inside"


def test_the_same_frames_each_time() -> None:
    assert list(frames(MIX, 50)) == list(frames(MIX, 50))


def test_a_capture_repeats_its_frames(tmp_path: Path) -> None:
    path = tmp_path / "some.pcap"
    write_capture(path, MIX, 25, distinct=10)
    found = [frame for frame, _ in read_frames(path)]
    assert found == [*list(frames(MIX, 10)) * 2, *frames(MIX, 5)]


def said(command: tuple[str, ...], path: Path) -> str:
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True)
    return done.stdout


@SORTS
def test_the_others_look_at_every_checksum(sort: Sort, tmp_path: Path) -> None:
    """A tool that skipped some of the frames would be measured with less work."""
    path = tmp_path / "some.pcap"
    write_capture(path, sort, COUNT)
    tcpdump = said(TCPDUMP, path)
    assert tcpdump.count("udp sum ok") + tcpdump.count("(correct)") == 2 * COUNT
    good = 0
    for line in said(TSHARK_ALL, path).splitlines():
        ip, udp, tcp = (column.split(",") for column in line.split("\t"))
        assert not {"0", "2", "3"} & {*ip, *udp, *tcp}, "bad, unverified or not present"
        good += len([status for status in (*udp, *tcp) if status == "1"])
    assert good == 2 * COUNT
    assert not said(TSHARK_WRONG, path)


def test_tshark_finds_a_wrong_one(tmp_path: Path) -> None:
    path = tmp_path / "some.pcap"
    write_capture(path, SMALL, 10)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(said(TSHARK_WRONG, path).splitlines()) == 1
