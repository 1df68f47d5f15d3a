"""Which captures are taken, how, and in which form the result comes."""

import bz2
import csv
import gzip
import json
import lzma
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import jsonschema
import pytest

from qualification.errors import UsageError
from qualification.verify.command import verify_files
from qualification.verify.reading import Wanted
from qualification.verify.schema import schema

from . import captures

ROOT = Path(__file__).parents[2]
VXQUAL = Path(sys.executable).with_name("vxqual")
WRONG = captures.c07_offload_signature()
RIGHT = captures.c03_plain_all_right()


def said(path: Path, **wanted: object) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = verify_files([path], Wanted(**wanted), lines.append)  # type: ignore[arg-type]
    return code, "\n".join(lines).split("\n")


def _zstd(content: bytes) -> bytes:
    if shutil.which("zstd") is None:
        pytest.skip("zstd is not installed")
    return subprocess.run(["zstd", "-q"], input=content, capture_output=True, check=True).stdout


PACKED = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".zst": _zstd}


@pytest.mark.parametrize("ending", PACKED)
def test_compressed_captures(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"capture.pcap{ending}"
    path.write_bytes(PACKED[ending](WRONG))
    code, lines = said(path)
    assert code == 1
    assert "2 of 3 frames are wrong" in lines[0]
    assert len(said(path, view="frames")[1]) == 3


def test_compressed_data_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap.gz"
    path.write_bytes(gzip.compress(WRONG * 1, 0)[:-60])
    code, lines = said(path)
    assert code == 1
    assert "the compressed data is damaged" in lines[0] or "cut short" in lines[0]
    path.write_bytes(gzip.compress(RIGHT)[:12])
    with pytest.raises(UsageError, match="damaged"):
        said(path)


def test_directories(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/b").write_bytes(RIGHT)
    (tmp_path / "one/a.pcap.gz").write_bytes(gzip.compress(WRONG))
    (tmp_path / "one/readme.txt").write_text("no capture")
    code, lines = said(tmp_path)
    assert code == 1
    heads = [line for line in lines if "one/" in line]
    assert ["a.pcap.gz: 2 of 3" in heads[0], "b: all 1 frame right" in heads[1]] == [True, True]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no capture"):
        said(tmp_path / "empty")


@pytest.mark.parametrize("options", [[], ["--frames"]])
def test_standard_input(options: list[str]) -> None:
    done = subprocess.run(
        [VXQUAL, "verify", "-", *options], input=WRONG, capture_output=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert b"-: 2 of 3 frames are wrong" in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 3 or not options


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(WRONG[:24] + WRONG[24:] * 20_000)
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {VXQUAL} verify {path} --frames | head -1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1  # wrong frames, not a broken pipe
    assert done.stdout.startswith("frame\t")
    assert "Traceback" not in done.stderr
    assert "40,000 of 60,000 frames are wrong" in done.stderr


def test_an_interrupt_keeps_the_counts(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen(
            [VXQUAL, "verify", pipe], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        pipe.open("wb") as writer,
    ):
        writer.write(RIGHT + RIGHT[24:])
        writer.flush()
        for _ in range(200):  # until it waits in read(2) for more
            if Path(f"/proc/{process.pid}/wchan").read_text() in (
                "pipe_read",
                "anon_pipe_read",
            ):
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 2, err
    assert "all 2 frames that could be read right" in out
    assert "interrupted" in out


def test_damage_in_the_middle_of_a_pcapng(tmp_path: Path) -> None:
    frame = captures.good_vxlan()
    block = captures.block(6, struct.pack("<IIIII", 0, 0, 1, len(frame), len(frame)) + frame)
    head = captures.pcapng([1], [])
    strange = captures.block(6, struct.pack("<IIIII", 9, 0, 1, 4, 4) + b"oops")  # no such interface
    path = tmp_path / "damaged.pcapng"
    path.write_bytes(head + block * 3 + strange + block + b"\xff" * 40 + block * 2)
    code, lines = said(path)
    assert code == 10
    assert "all 6 frames that could be read right" in lines[0]
    assert "not all of it was read: the block at byte" in lines[0]
    wrong = captures.good_vxlan(wrong=1)
    block = captures.block(6, struct.pack("<IIIII", 0, 0, 1, len(wrong), len(wrong)) + wrong)
    path.write_bytes(path.read_bytes() + block)
    assert said(path)[0] == 1


def test_damage_in_the_middle_of_a_pcap(tmp_path: Path) -> None:
    """What comes before it counts; a classic pcap has nothing to find the next record by."""
    path = tmp_path / "damaged.pcap"
    damaged = RIGHT + RIGHT[24:] + b"\xff" * 40 + WRONG[24:]
    path.write_bytes(damaged)
    code, lines = said(path)
    assert code == 10
    assert "all 2 frames that could be read right" in lines[0]
    place = len(RIGHT + RIGHT[24:])
    assert f"packet 3, at byte {place}, cannot be 4294967295 bytes long" in lines[0]
    assert "nothing in a classic pcap tells where the next packet begins" in lines[0]
    path.write_bytes(WRONG + damaged[24:])
    assert said(path)[0] == 1


@pytest.mark.parametrize("view", ["frames", "dimensions", "signature"])
@pytest.mark.parametrize("content", [WRONG + b"\xff" * 40, WRONG + WRONG[24:30]])
def test_what_comes_before_damage_is_in_every_view(
    tmp_path: Path, view: str, content: bytes
) -> None:
    path = tmp_path / "damaged.pcap"
    path.write_bytes(content)
    code, lines = said(path, view=view)
    assert code == 1
    assert len(lines) > 2


def test_damaged_xz_data(tmp_path: Path) -> None:
    packed = lzma.compress(captures.pcap(*[Random(1).randbytes(2000)] * 1 + [captures.PLAIN] * 9))
    path = tmp_path / "capture.pcap.xz"
    path.write_bytes(packed[:1000] + b"\xff" * 1000 + packed[2000:])
    with pytest.raises(UsageError, match="the compressed data is damaged"):
        said(path)


@pytest.mark.parametrize(
    "name", [name for name in vars(captures) if name[0] == "c" and name[1:3].isdigit()]
)
def test_the_document_is_as_its_schema_says(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(getattr(captures, name)())
    code, lines = said(path, form="json")
    document = json.loads("\n".join(lines))
    jsonschema.validate(document, schema())
    assert document["exit_code"] == code


def test_the_schema_is_up_to_date() -> None:
    stored = json.loads((ROOT / "reports/verify.schema.json").read_text(encoding="utf-8"))
    assert stored == schema()


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "a, b.pcap"
    path.write_bytes(WRONG)
    rows = list(csv.DictReader(said(path, form="csv")[1]))
    tcp = next(row for row in rows if row["layer"] == "VXLAN > TCP")
    assert (tcp["right"], tcp["wrong"], tcp["not filled in"]) == ("1", "1", "1")
    frames = list(csv.DictReader(said(path, form="csv", view="frames")[1]))
    assert [(row["frame"], row["class"]) for row in frames] == [
        ("2", "never filled in"), ("3", "wrong value"),
    ]  # fmt: skip


def test_flows(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(WRONG)
    (row,) = list(csv.DictReader(said(path, form="csv", view="flows")[1]))
    assert (row["source"], row["vni"], row["frames"], row["wrong"]) == ("192.0.2.1", "42", "3", "2")
    assert float(row["rate_low"]) < float(row["rate"]) < float(row["rate_high"])


def _frames(count: int, broken: bool) -> list[bytes]:
    """Returns VXLAN frames of many sizes; if broken, those of odd length have a seed left."""
    made = []
    for size in range(count):
        packet = captures.tcp(
            Random(size).randbytes(size),
            captures.I4,
            captures.J4,
            partial=broken and bool(size % 2),
        )
        inner = captures.eth(0x0800, captures.ip4(6, packet, captures.I4, captures.J4))
        made.append(captures.eth(0x0800, captures.ip4(17, captures.vxlan(inner))))
    return made


def test_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(captures.pcap(*_frames(400, broken=True)))
    code, lines = said(path, view="dimensions")
    assert code == 1
    assert any(line.startswith("wrong: ") and "odd length" in line for line in lines), lines
    assert any(line.split()[:3] == ["IPv4", "in", "IPv4"] for line in lines)


def test_a_signature(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcap"
    path.write_bytes(captures.pcap(*_frames(40, broken=True)))
    code, lines = said(path, view="signature")
    assert code == 1
    assert any("seed-left, inner L4" in line for line in lines), lines
    path.write_bytes(captures.pcap(*_frames(40, broken=False)))
    assert any("no wrong frame" in line for line in said(path, view="signature")[1])


@pytest.mark.parametrize("form", ["text", "csv", "json"])
@pytest.mark.parametrize("limit", [None, 7])
def test_frames_are_the_same_when_there_is_no_room_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, limit: int | None
) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(captures.pcap(*_frames(400, broken=True)))
    kept = said(path, view="frames", form=form, limit=limit)
    assert len(kept[1]) >= (limit or 100)
    monkeypatch.setattr("qualification.verify.frames._MOST_BYTES", 1 << 16)
    assert said(path, view="frames", form=form, limit=limit) == kept


def test_wrong_frames_are_written_with_comments(tmp_path: Path) -> None:
    path, target = tmp_path / "capture.pcap", tmp_path / "wrong.pcapng"
    path.write_bytes(WRONG)
    said(path, write_wrong=target)
    code, lines = said(target)
    assert code == 1
    assert "2 of 2 frames are wrong (1 wrong value, 1 never filled in)" in lines[0]
    assert b"frame 3: wrong value" in target.read_bytes()


def test_a_time_that_is_none_is_written_as_far_as_it_can_be(tmp_path: Path) -> None:
    """An interface whose unit of time is a second, and whose times are microseconds since 1970."""
    about = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHB3x", 9, 1, 0) + bytes(4)
    frame = captures.good_vxlan(wrong=1)
    packet = struct.pack("<IIIII", 0, 0xFFFFFFFF, 0, len(frame), len(frame)) + frame
    path, target = tmp_path / "capture.pcapng", tmp_path / "wrong.pcapng"
    path.write_bytes(captures.pcapng([], []) + captures.block(1, about) + captures.block(6, packet))
    assert said(path, write_wrong=target)[0] == 1
    assert said(target)[0] == 1


def test_a_filter(tmp_path: Path) -> None:
    if shutil.which("tcpdump") is None:
        pytest.skip("tcpdump is not installed")
    path = tmp_path / "capture.pcap"
    path.write_bytes(captures.c19_sctp())
    assert "all 1 frame right" in said(path, expression="udp")[1][0]
    assert "1 of 1 frame is wrong" in said(path, expression="sctp")[1][0]
    with pytest.raises(UsageError, match="tcpdump: "):
        said(path, expression="no such thing")


@pytest.mark.parametrize("options", [[], ["--frames"], ["--receiver", "none.pcap"]])
def test_a_missing_file_is_said(tmp_path: Path, options: list[str]) -> None:
    words = ["--sender", "none.pcap", *options] if len(options) == 2 else ["none.pcap", *options]
    done = subprocess.run(
        [VXQUAL, "verify", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "none.pcap: cannot be read: No such file or directory" in done.stderr
