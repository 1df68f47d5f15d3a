"""Several processes say of several captures what one process says."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import captures

VXQUAL = Path(sys.executable).with_name("vxqual")
WRONG = captures.c07_offload_signature()
RIGHT = captures.c03_plain_all_right()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Returns a directory with captures: 1 and 3 are wrong, 2 is right, 4 is none."""
    for name, content in {"1": WRONG, "2": RIGHT, "3": WRONG, "4": b"no capture at all"}.items():
        (tmp_path / f"{name}.pcap").write_bytes(content)
    return tmp_path


def said(folder: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [VXQUAL, "verify", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--frames",),
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in ((), ("--json",), ("--signature",))
        ),
    ],
)
@pytest.mark.parametrize("names", [("3", "2", "1"), ("1", "4", "2")])
def test_the_output_is_that_of_one_process(
    folder: Path, options: tuple[str, ...], names: tuple[str, ...]
) -> None:
    files = [f"{name}.pcap" for name in names]
    one = said(folder, *options, "--jobs", "1", *files)
    assert said(folder, *options, "--jobs", "3", *files) == one
    assert one[0] == (4 if "4" in names else 1)
    assert "4.pcap: neither a pcap nor a pcapng file" in one[2] or "4" not in names


def test_a_directory_without_captures_is_told_behind_what_comes_before(folder: Path) -> None:
    (folder / "empty").mkdir()
    one = said(folder, "--jobs", "1", "1.pcap", "2.pcap", "empty")
    assert said(folder, "--jobs", "2", "1.pcap", "2.pcap", "empty") == one
    assert one[0] == 4
    assert "2.pcap: all 1 frame right" in one[1]
    assert "empty: the directory holds no capture" in one[2]


@contextlib.contextmanager
def reading_a_pipe(folder: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Yields a process, and that of its children that reads a pipe with two frames up to here."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    with (
        subprocess.Popen(
            [VXQUAL, "verify", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        ) as process,
        pipe.open("wb") as writer,
    ):  # fmt: skip
        writer.write(RIGHT + RIGHT[24:])
        writer.flush()
        try:
            yield process, _reader(process.pid, pipe)
        finally:
            process.kill()


def _reader(parent: int, pipe: Path) -> int:
    """Returns the child that waits for more from a pipe."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            # The child opens and closes files meanwhile, and one that has no more to do ends.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                files = [path.readlink() for path in Path(f"/proc/{child}/fd").iterdir()]
                waits = Path(f"/proc/{child}/wchan").read_text() in ("pipe_read", "anon_pipe_read")
                if pipe in files and waits:
                    return int(child)
        time.sleep(0.05)
    raise AssertionError("no child reads the pipe")


def test_the_file_of_a_process_that_died_is_named(folder: Path) -> None:
    with reading_a_pipe(folder, "-j", "2", "1.pcap", "pipe", "2.pcap") as (process, child):
        os.kill(child, signal.SIGKILL)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 10
    assert out.startswith("1.pcap: 2 of 3 frames are wrong")
    assert "2.pcap" not in out
    assert "pipe: the process that judged it was killed or crashed" in err
    assert "next: " in err


@pytest.mark.parametrize("all_of_them", [True, False], ids=["terminal", "one"])
def test_an_interrupt_keeps_the_counts(folder: Path, all_of_them: bool) -> None:
    """A terminal's Control-C goes to all processes, and `kill -INT` to one."""
    with reading_a_pipe(folder, "-j", "2", "2.pcap", "pipe", "3.pcap") as (process, _):
        (os.killpg if all_of_them else os.kill)(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    assert "pipe: all 2 frames that could be read right" in out
    assert "interrupted" in out
    # Whether the others are judged depends on which process was first.
    assert process.returncode == (1 if "3.pcap" in out else 2), err
