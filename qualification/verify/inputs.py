"""Opens captures: files, directories, pipes, compressed or not.

What only some captures need is imported where they need it, so that the others start fast.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from qualification.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDIN = Path("-")
_ZSTD = b"\x28\xb5\x2f\xfd"
_CAPTURES = (
    b"\n\r\r\n", b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\xcd\x34", b"\x34\xcd\xb2\xa1",
)  # fmt: skip
_ENDINGS = (".gz", ".zst", ".xz", ".bz2")


def captures_of(paths: Iterable[Path]) -> Iterator[Path]:
    """Yields the captures that paths name: of a directory, all that look like one, by name.

    Raises:
        UsageError: A directory holds none.
    """
    for path in paths:
        if path == STDIN or not path.is_dir():
            yield path
            continue
        found = sorted(each for each in path.rglob("*") if each.is_file() and _is_capture(each))
        if not found:
            hint = "give a pcap or pcapng file, as tcpdump -w and Wireshark write them"
            raise UsageError("the directory holds no capture", where=str(path), hint=hint)
        yield from found


def _is_capture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except OSError:
        return False
    names_one = ".pcap" in path.name or ".cap" in path.name
    return start[:4] in _CAPTURES or (names_one and path.suffix in _ENDINGS)


@contextlib.contextmanager
def rereadable(path: Path) -> Iterator[Path]:
    """Yields a file that can be read twice: a copy, if the path is standard input or a pipe."""
    if path != STDIN and (path.is_file() or not path.exists()):
        yield path  # who opens it says that there is none
        return
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="vxqual-") as copied:
        with _raw(path) as file:
            shutil.copyfileobj(file, copied)
        copied.flush()
        yield Path(copied.name)


@contextlib.contextmanager
def _raw(path: Path) -> Iterator[io.BufferedReader]:
    if path == STDIN:
        yield cast("io.BufferedReader", sys.stdin.buffer)
    else:
        with path.open("rb") as file:
            yield file


@contextlib.contextmanager
def opened(path: Path, expression: str | None = None) -> Iterator[io.FileIO | Unpacked]:
    """Opens a capture, and unpacks it where it is compressed.

    Args:
        path: The file, or `STDIN`.
        expression: Frames that are wanted, as tcpdump takes it; tcpdump picks them.

    Raises:
        OSError: It cannot be opened.
        UsageError: What unpacks or filters it is not installed, or the expression is none.
    """
    with contextlib.ExitStack() as stack:
        raw = stack.enter_context(_raw(path))
        start = raw.peek(6)[:6]
        unpacker = next((each for magic, each in _UNPACKERS if start.startswith(magic)), None)
        is_plain = unpacker is None and not start.startswith(_ZSTD) and expression is None
        if is_plain and path != STDIN and path.is_file():
            yield stack.enter_context(path.open("rb", buffering=0))  # the fast way
            return
        file: IO[bytes] = raw
        if unpacker is not None:
            file = unpacker(raw)
        elif start.startswith(_ZSTD):
            file = stack.enter_context(_program(["zstd", "-dcq"], raw, path))
        if expression is not None:
            command = ["tcpdump", "-Z", "root", "-U", "-r", "-", "-w", "-", expression]
            file = stack.enter_context(_program(command, file, path))
        yield Unpacked(file)


def _gzip(file: IO[bytes]) -> IO[bytes]:
    import gzip

    return cast("IO[bytes]", gzip.GzipFile(fileobj=file))


def _xz(file: IO[bytes]) -> IO[bytes]:
    import lzma

    return lzma.LZMAFile(file)


def _bzip2(file: IO[bytes]) -> IO[bytes]:
    import bz2

    return bz2.BZ2File(file)


_UNPACKERS: tuple[tuple[bytes, Callable[[IO[bytes]], IO[bytes]]], ...] = (
    (b"\x1f\x8b", _gzip), (b"\xfd7zXZ\0", _xz), (b"BZh", _bzip2),
)  # fmt: skip


class Unpacked(io.RawIOBase):
    """A stream that ends where it is damaged, so that the frames before that count.

    Attributes:
        damage: What is wrong with it; None if nothing is.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = cast("io.BufferedReader", file)
        self.damage: str | None = None

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """See `io.RawIOBase`."""
        import lzma
        import zlib

        view = memoryview(buffer)
        try:
            content = self._file.read1(len(view))
        except (EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
            self.damage = f"the compressed data is damaged: {error}"
            return 0
        except MemoryError:  # a dictionary of xz has up to 4 GiB, by a header that may be damaged
            self.damage = "the compressed data is damaged, or needs more memory than there is"
            return 0
        view[: len(content)] = content
        return len(content)


@contextlib.contextmanager
def _program(command: list[str], source: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Yields what a program makes of a stream, which a thread hands it."""
    import shutil
    import subprocess
    import tempfile
    import threading

    if shutil.which(command[0]) is None:
        hint = f"install {command[0]}, or make a file that does not need it"
        raise UsageError(f"{command[0]} is not installed", where=str(path), hint=hint)

    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdin is not None and process.stdout is not None
        feeder = threading.Thread(target=_copy, args=(source, process.stdin), daemon=True)
        feeder.start()
        try:
            yield process.stdout
        finally:
            process.stdout.close()
            process.terminate()
            code = process.wait()
            feeder.join()
            said.seek(0)
            text = said.read().decode(errors="replace").strip()
            if code > 0 and text:
                hint = "the expression is as for tcpdump: man pcap-filter"
                what = text.splitlines()[-1].removeprefix("tcpdump: ")
                raise UsageError(f"{command[0]}: {what}", where=str(path), hint=hint)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    import shutil

    with contextlib.suppress(OSError, EOFError, ValueError), target:
        shutil.copyfileobj(source, target)
