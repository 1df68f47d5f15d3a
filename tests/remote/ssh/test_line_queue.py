"""Lines of a stream that comes in any pieces: whole, in order, and never more than the bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.remote.ssh import line_queue
from qualification.remote.ssh.line_queue import LastWords, LineQueue, LineTooLongError

PIECES = st.lists(st.binary(min_size=1, max_size=8) | st.just(b"\n") | st.just(b"a\nb\n\nc"))


def given_in(pieces: list[bytes]) -> Callable[[int], bytes]:
    left = [*pieces, b""]
    return lambda _most: left.pop(0)


def lines_of(queue: LineQueue) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(queue.get(time.monotonic()))
        except EOFError:
            return found


@given(PIECES)
def test_lines_are_those_of_the_stream(pieces: list[bytes]) -> None:
    queue, words = LineQueue(), LastWords()
    queue.pump(given_in(pieces))
    words.pump(given_in(pieces))
    whole = b"".join(pieces).split(b"\n")
    last = whole.pop()
    assert lines_of(queue) == [*whole, *([last] if last else [])]
    text = [line.decode(errors="replace") for line in [*whole, last][-8:] if line]
    assert words.lines() == text


@given(PIECES)
def test_a_line_that_is_too_long_ends_the_stream(pieces: list[bytes]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_queue, "ANSWER_LIMIT", 100)
        queue = LineQueue()
        queue.pump(given_in([b"one\n", b"x" * 101, *pieces, b"\nlast\n"]))
        assert queue.get(time.monotonic()) == b"one"
        for _ in range(2):
            with pytest.raises(LineTooLongError):
                queue.get(time.monotonic())


def test_who_writes_waits_while_much_is_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_queue, "ANSWER_LIMIT", 1000)
    queue, asked, over = LineQueue(), threading.Semaphore(0), threading.Event()

    def receive(_most: int) -> bytes:
        asked.release()
        return b"" if over.is_set() else b"x" * 99 + b"\n"

    thread = threading.Thread(target=queue.pump, args=(receive,), daemon=True)
    thread.start()
    for _ in range(8):
        assert asked.acquire(timeout=10)
    assert not asked.acquire(timeout=0.2)  # 1000 bytes are unread, with what they cost beside
    assert queue.get(time.monotonic() + 10) == b"x" * 99
    assert asked.acquire(timeout=10)
    queue.discard()
    for _ in range(100):
        assert asked.acquire(timeout=10)
    over.set()
    thread.join(10)
    assert not thread.is_alive()


def test_nothing_in_time() -> None:
    with pytest.raises(TimeoutError):
        LineQueue().get(time.monotonic() + 0.01)
