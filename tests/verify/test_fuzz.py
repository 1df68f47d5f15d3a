"""No bytes crash `vxqual verify`, make it hang, or take more memory than it is given.

scripts/test -m slow -k fuzz                      # as long as the nightly job
VXQUAL_FUZZ_SECONDS=60 scripts/test -m slow -k fuzz
VXQUAL_FUZZ_SEED=7 scripts/test -m slow -k fuzz   # a seed that a failure has named
"""

from __future__ import annotations

import bz2
import ctypes
import faulthandler
import gzip
import io
import lzma
import os
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from qualification.errors import UsageError
from qualification.stack import native_walk
from qualification.stack.classes import Side
from qualification.verify.command import verify_files
from qualification.verify.comparing import compare_files
from qualification.verify.reading import Wanted
from tests.built import built
from tests.stack import any_stack
from tests.stack.native_equal import assert_equal
from tests.stack.test_capture import assert_same
from tests.wire.test_fuzz import mutated

MEMORY = 768 << 20
"""Bytes of address space beyond those at the start. A frame may have 64 MiB by its length field,
for which the window has up to 128 MiB; while it grows, the former one is there as well."""

LONGEST = 60.0
"""Seconds after which one execution, of a few KB, counts as a hang."""

VIEWS = ("report", "report", "frames", "flows", "dimensions", "signature")
FORMS = ("text", "text", "json", "csv")
CODES = {0, 1, 10}


@contextmanager
def memory_bounded() -> Iterator[None]:
    """Has the kernel refuse memory beyond `MEMORY`."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    former = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)


@dataclass(frozen=True)
class Record:
    """A record of a capture."""

    interface: int
    frame: bytes
    wire: int


def frames(random: Random, count: int) -> tuple[list[int], list[Record]]:
    """Returns link types, and frames of them: right, wrong, broken, cut, fragments."""
    stack = any_stack.Stack(random, random.choice([0, 0, 0.3]))
    links = [random.choice(any_stack.LINKS) for _ in range(random.randrange(1, 4))]
    found = []
    while len(found) < count:
        interface = random.randrange(len(links))
        _, frame = stack.frame(random.randrange(5), (links[interface],))
        wire = len(frame)
        if random.random() < 0.4:
            frame, wire = any_stack.mutated(random, frame)
        if links[interface] == 1 and frame[12:14] == b"\x08\0" and random.random() < 0.2:
            found += [Record(interface, part, len(part)) for part in fragments(random, frame)]
        else:
            found.append(Record(interface, frame, wire))
    return links, found


def fragments(random: Random, frame: bytes) -> list[bytes]:
    """Cuts the IPv4 packet of a frame into fragments, some of which overlap or are lost."""
    size = (frame[14] & 15) * 4 if len(frame) > 14 else 20
    head, body = frame[14 : 14 + size], frame[14 + size :]
    if len(head) < 20 or len(body) < 24:
        return [frame]
    step, parts = 8 * random.randrange(1, max(2, len(body) // 8)), []
    for at in range(0, len(body), step):
        part = body[at : at + step + random.choice([0, 0, 0, 8])]
        flags = (0x2000 if at + step < len(body) else 0) | at // 8
        new = bytearray(head)
        struct.pack_into(">H", new, 2, size + len(part))
        struct.pack_into(">HHH", new, 6, flags, 64 << 8 | head[9], 0)
        struct.pack_into(">H", new, 10, any_stack.csum(bytes(new)))
        parts.append(frame[:14] + bytes(new) + part)
    if random.random() < 0.3:
        random.shuffle(parts)
    return parts[random.random() < 0.2 :]


def pcap(random: Random, links: list[int], records: list[Record]) -> bytes:
    """Returns a classic pcap of any kind, of the frames of the first link type."""
    order = random.choice("<>")
    magic = random.choice([0xA1B2C3D4, 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34])
    version = random.choice([(2, 4), (2, 4), (2, 3), (2, 2), (543, 0)])
    out = struct.pack(order + "IHHiIII", magic, *version, 0, 0, 262144, links[0])
    for number, each in enumerate(records):
        if each.interface == 0:
            out += struct.pack(order + "IIII", 1, number, len(each.frame), each.wire)
            out += bytes(8) * (magic == 0xA1B2CD34) + each.frame
    return out


def pcapng(random: Random, links: list[int], records: list[Record]) -> bytes:
    """Returns a pcapng with every kind of block that has packets, and some that have none."""
    order = random.choice("<>")

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(order + "I", 12 + len(body))
        return struct.pack(order + "I", kind) + size + body + size

    def option(code: int, value: bytes) -> bytes:
        return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    head = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    for link in links:
        about = struct.pack(order + "HHI", link, 0, random.choice([0, 262144, 100]))
        resolution = option(9, bytes([random.choice([6, 9, 0x80 | 10, 255])]))
        head += block(1, about + random.choice([b"", resolution + option(0, b"")]))
    out = head
    for each in records:
        size, padded = len(each.frame), each.frame + bytes(-len(each.frame) % 4)
        kind = random.randrange(10)
        if kind == 0:
            out += block(3, struct.pack(order + "I", each.wire) + each.frame)
        elif kind == 1:
            out += block(2, struct.pack(order + "HHIIII", each.interface, 0, 0, 1, size, each.wire)
                         + padded)  # fmt: skip
        else:
            flags = option(2, struct.pack(order + "I", random.randrange(4))) + option(0, b"")
            out += block(6, struct.pack(order + "IIIII", each.interface, 0, 1, size, each.wire)
                         + padded + random.choice([b"", flags]))  # fmt: skip
        if kind == 2:
            out += random.choice([block(5, bytes(16)), block(0xBAD, b"custom"), head])
    return out


PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes, bytes, bytes, gzip.compress, lzma.compress, bz2.compress,
)  # fmt: skip


def fuzz(random: Random, folder: Path, library: ctypes.CDLL) -> Iterator[int]:
    """Runs without end; yields the number of executions from time to time.

    Raises:
        AssertionError: A property that holds for any bytes did not hold.
        MemoryError: More memory was wanted than it is given.
    """
    done, files = 0, [b"anything"]
    one, other = folder / "one", folder / "other"
    while True:
        faulthandler.dump_traceback_later(LONGEST, exit=True, file=sys.__stderr__)
        links, records = frames(random, random.choice([1, 5, 60]))
        for each in records:
            assert_equal(library, each.frame, each.wire, links[each.interface])
        content = random.choice([pcap, pcapng])(random, links, records)
        files = [*files[-20:], content]
        for broken in (content, mutated(random, content, files), mutated(random, content, files)):
            assert_same(broken)
            packed = random.choice(PACKERS)(broken)
            if random.random() < 0.2:
                packed = mutated(random, packed, files)
            one.write_bytes(packed)
            _verify(random, one, folder / "wrong.pcapng")
            if done % 7 == 0 and other.exists():
                with _may_be_none():
                    assert compare_files(one, other, Wanted(), [].append) in CODES
            other.write_bytes(packed)
            done += 1
        faulthandler.cancel_dump_traceback_later()
        done += len(records)
        yield done


def _verify(random: Random, path: Path, target: Path) -> None:
    """Has a file judged and reported in one of the forms, and what it wrote judged as well."""
    view, form = random.choice(VIEWS), random.choice(FORMS)
    form = "text" if view in ("dimensions", "signature") else form
    wanted = Wanted(
        ports=random.choice([(), (9,)]),
        side=random.choice([None, None, *Side]),
        form=form,
        view=view,
        limit=random.choice([None, 3]),
        write_wrong=random.choice([None, target]),
    )
    lines: list[str] = []
    with _may_be_none(), redirect_stderr(io.StringIO()):
        assert verify_files([path], wanted, lines.append) in CODES
        assert all("\r" not in line or form == "csv" for line in lines)
        if wanted.write_wrong is not None:
            assert verify_files([target], Wanted(), lines.append) in CODES


@contextmanager
def _may_be_none() -> Iterator[None]:
    """A file that is no capture is the user's mistake, told in one sentence with the next step."""
    try:
        yield
    except UsageError as error:
        assert error.where
        assert error.hint


@pytest.fixture
def library() -> ctypes.CDLL:
    return built(native_walk)


def _fuzz_until(
    seed: int,
    folder: Path,
    library: ctypes.CDLL,
    capfd: pytest.CaptureFixture[str],
    enough: Callable[[int], bool],
) -> int:
    try:
        with memory_bounded(), capfd.disabled():  # so that a hang can say where it is
            for done in fuzz(Random(seed), folder, library):
                if enough(done):
                    return done
    finally:
        faulthandler.cancel_dump_traceback_later()
    raise AssertionError("it ended by itself")


@pytest.mark.parametrize("seed", range(2))
def test_fuzz_a_little(
    seed: int, tmp_path: Path, library: ctypes.CDLL, capfd: pytest.CaptureFixture[str]
) -> None:
    _fuzz_until(seed, tmp_path, library, capfd, lambda done: done >= 300)


@pytest.mark.slow
def test_fuzz_for_long(
    tmp_path: Path, library: ctypes.CDLL, capfd: pytest.CaptureFixture[str], record_property
) -> None:
    seconds = float(os.environ.get("VXQUAL_FUZZ_SECONDS", "600"))
    seed = int(os.environ.get("VXQUAL_FUZZ_SEED", "0")) or time.time_ns()
    print(f"seed {seed}")  # pytest shows it if the test fails
    until = time.monotonic() + seconds
    done = _fuzz_until(seed, tmp_path, library, capfd, lambda _: time.monotonic() >= until)
    record_property("executions", done)
    print(f"{done:,} executions")
