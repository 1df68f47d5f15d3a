"""Arbitrary bytes never crash the verifier: mutated frames and files, for a short or long time.

scripts/test -m slow -k fuzz                      # ten minutes
VXQUAL_FUZZ_SECONDS=60 scripts/test -m slow -k fuzz
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest
from scapy.layers.l2 import CookedLinux, Ether
from scapy.utils import PcapNgWriter, wrpcap

from qualification.stack import capture
from qualification.stack.native_walk import native
from qualification.wire.capture_file import CaptureFileError, read_frames, reader_of
from qualification.wire.dissect import VXLAN_PORTS

from .native_equal import assert_equal
from .sanity import assert_outer_sum_is_plain, assert_sane

AWKWARD = (0, 1, 7, 8, 0x0F, 0x40, 0x45, 0x60, 0x7F, 0x80, 0xFE, 0xFF)
WORDS = (0, 1, 7, 8, 19, 20, 0x0800, 0x8100, 0x86DD, 0x12B5, 0x7FFF, 0x8000, 0xFFFF)


def mutated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Returns the bytes with a few changes of kinds that break parsers."""
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 6, 12))):
        at = random.randrange(len(found)) if found else 0
        near = min(at, random.randrange(140))  # most often in the headers
        match random.randrange(9):
            case 0 if found:
                found[near] ^= 1 << random.randrange(8)
            case 1 if found:
                found[near] = random.choice(AWKWARD)
            case 2:
                found[near : near + 2] = struct.pack(">H", random.choice(WORDS))
            case 3:
                found[at : at + 4] = random.randbytes(4)
            case 4:
                del found[at:]
            case 5:
                del found[near : near + random.randrange(1, 24)]
            case 6:
                found[near:near] = random.randbytes(random.randrange(1, 24))
            case 7:
                other = random.choice(others)
                start = random.randrange(len(other) + 1)
                found[at:] = other[start : start + 2000]
            case 8:
                found[near:near] = found[near : near + random.randrange(1, 60)]
    return bytes(found)


@pytest.fixture(scope="session")
def files(shapes: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Returns capture files of both formats and byte orders, and one of another link type."""
    directory = tmp_path_factory.mktemp("fuzz")
    some = [Ether(frame) for frame in list(shapes.values())[::7] if len(frame) < 400]
    for name, options in {
        "little": {"endianness": "<"},
        "big": {"endianness": ">", "nano": True},
    }.items():
        wrpcap(str(directory / name), some, **options)
    wrpcap(str(directory / "cooked"), [CookedLinux() / frame.payload for frame in some])
    with PcapNgWriter(str(directory / "ng")) as writer:
        for frame in some:
            writer.write(frame)
    return [path.read_bytes() for path in sorted(directory.iterdir())]


def fuzz(
    random: Random, frames: Sequence[bytes], files: Sequence[bytes], path: Path
) -> Iterator[int]:
    """Runs without end; yields the number of executions from time to time.

    Raises:
        AssertionError: A property that holds for any bytes did not hold.
    """
    done, library = 0, native().library
    while True:
        for _ in range(50):
            frame = mutated(random, random.choice(frames), frames)
            wire_length = random.choice((None, None, len(frame), random.randrange(200_000)))
            assert_sane(frame, wire_length)
            assert_outer_sum_is_plain(frame)
            if library is not None:
                assert_equal(library, frame, wire_length)
        path.write_bytes(mutated(random, random.choice(files), files))
        read = []
        try:
            for captured, wire_length in read_frames(path):
                read.append((captured, wire_length))
                assert_sane(captured, wire_length)
        except CaptureFileError as error:
            assert str(error)
        with contextlib.suppress(CaptureFileError):
            assert _counted(path) == _counted(path, reference=True)
        done += 51
        yield done


def _counted(path: Path, *, reference: bool = False) -> tuple[object, ...]:
    """Returns what is counted in a capture, by C as far as it goes, or by the reference."""
    with path.open("rb") as file, pytest.MonkeyPatch.context() as patch:
        if reference:
            patch.setattr(capture.NativeCounting, "of", lambda *_: None)
        found = capture.count_capture(reader_of(file), VXLAN_PORTS)
    return found.outcomes, found.kept, found.trouble


@pytest.mark.parametrize("seed", range(3))
def test_fuzz_a_little(
    shapes: dict[str, bytes], files: list[bytes], tmp_path: Path, seed: int
) -> None:
    for done in fuzz(Random(seed), list(shapes.values()), files, tmp_path / "capture"):
        if done >= 2500:
            return


@pytest.mark.slow
def test_fuzz_for_long(
    shapes: dict[str, bytes], files: list[bytes], tmp_path: Path, record_property
) -> None:
    seconds = float(os.environ.get("VXQUAL_FUZZ_SECONDS", "600"))
    seed = int(os.environ.get("VXQUAL_FUZZ_SEED", "0")) or time.time_ns()
    print(f"seed {seed}")  # pytest shows it if the test fails
    until = time.monotonic() + seconds
    for done in fuzz(Random(seed), list(shapes.values()), files, tmp_path / "capture"):
        if time.monotonic() >= until:
            record_property("executions", done)
            print(f"{done:,} executions")
            return
