"""Both engines of the soft NIC give the same for all input, also for what no kernel submits."""

from __future__ import annotations

import collections
import contextlib
import copy
import ctypes
import itertools
import mmap
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from qualification.lab.softnic import counters, firmwares
from qualification.lab.softnic import engine as engines_of
from qualification.lab.softnic.engine import Engine, NativeEngine
from qualification.lab.softnic.firmwares import FirmwareState, Touches
from qualification.lab.softnic.tx_descriptor import GSO_NONE, TxDescriptor
from tests.built import built

from .test_offload import l4_of, rebuilt, submit, wire_packets

_PAGE = mmap.PAGESIZE

EVERY: tuple[Touches, ...] = ("nothing", "segmented", "unfinished", "all")


def new_counts() -> memoryview:
    return memoryview(bytearray(8 * len(counters.NAMES))).cast("Q")


@pytest.fixture(scope="session")
def engines() -> Callable[[int], tuple[Engine, Engine]]:
    """`engines(header_size)`: the Python reference and the native (C) implementation."""
    library = built(engines_of)
    return lambda size: (
        Engine(size, size, new_counts()),
        NativeEngine(library, size, size, new_counts()),
    )


@pytest.fixture(scope="session")
def at_the_edge() -> Callable[[bytes], memoryview]:
    """Copies bytes to the end of a mapping, so that an access beyond them is a SIGSEGV."""
    size = 1 << 17
    area = mmap.mmap(-1, size + _PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address + size), _PAGE, 0) == 0
    view = memoryview(area)

    def put(data: bytes) -> memoryview:
        view[size - len(data) : size] = data
        return view[size - len(data) : size]

    return put


@st.composite
def submissions(draw: st.DrawFn) -> bytes:
    """Draws what a kernel submits, super-packets and others."""
    packet: Packet = rebuilt(draw(wire_packets()))
    gso_size = draw(st.just(0) | st.integers(1, 3000))
    if gso_size:
        gso_size = max(gso_size, len(l4_of(packet).payload) // 40 + 1)
    return submit(packet, gso_size)


@st.composite
def corrupted(draw: st.DrawFn) -> bytes:
    """Draws what no kernel submits: with changed bytes in a header, or truncated."""
    submitted = bytearray(draw(submissions()))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, 23) | st.integers(24, min(len(submitted), 160) - 1))
        submitted[at] = draw(st.integers(0, 255) | st.sampled_from([0, 1, 14, 20, 64, 0xFF]))
    return bytes(submitted[: draw(st.just(len(submitted)) | st.integers(24, len(submitted)))])


def assert_equal(
    engines: tuple[Engine, Engine], at_the_edge: Callable[[bytes], memoryview], submitted: bytes
) -> None:
    (descriptor, expected), (same, frames) = (
        engine.finish(at_the_edge(submitted), 3) for engine in engines
    )
    assert frames == expected
    assert same == descriptor
    assert descriptor.queue == 3


@settings(deadline=None)
@given(submitted=submissions())
def test_any_submission(engines: Any, at_the_edge: Any, submitted: bytes) -> None:
    assert_equal(engines(24), at_the_edge, submitted)


@settings(deadline=None, max_examples=500)
@given(submitted=corrupted(), header_size=st.sampled_from([10, 12, 24]))
def test_any_corrupted_submission(
    engines: Any, at_the_edge: Any, submitted: bytes, header_size: int
) -> None:
    assert_equal(engines(header_size), at_the_edge, submitted)


@given(submitted=st.binary(min_size=24, max_size=200))
def test_any_bytes(engines: Any, at_the_edge: Any, submitted: bytes) -> None:
    assert_equal(engines(24), at_the_edge, submitted)


def test_more_segments_than_c_has_room_for(engines: Any) -> None:
    udp = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / Raw(bytes(60_000))
    python, native = engines(24)
    submitted = memoryview(bytearray(submit(rebuilt(udp), 8)))
    assert len(python.finish(submitted)[1]) == 7500
    assert native.finish(submitted) == python.finish(submitted)


def carried(
    engine: Engine, touches: Touches, submitted: list[bytes], closed: bool
) -> tuple[list[bytes], list[tuple[TxDescriptor, list[bytearray]]], list[int]]:
    """Moves frames from one socket to another, one frame to each call, as with a TAP.

    Args:
        engine: An unused engine.
        touches: The frames that the firmware has to see.
        submitted: What the kernel submits, in this order.
        closed: Whether the other kernel refuses everything.

    Returns:
        What the other kernel got, what the firmware has to see, and the counters.
    """
    with contextlib.ExitStack() as sockets:
        ends: list[socket.socket] = []
        for _ in range(2):
            ends += socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in ends:
            sockets.callback(end.close)
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, 32, 64 << 20)  # SO_SNDBUFFORCE
        kernel, fd, into, other = ends
        for frame in submitted:
            kernel.send(frame)
        if closed:
            other.close()
        seen = list(engine.carry(fd.fileno(), 1, into.fileno(), touches))
        got: list[bytes] = []
        with contextlib.suppress(OSError):
            while not closed:
                got.append(other.recv(1 << 18))
    return got, seen, engine.counts.tolist()


@pytest.mark.parametrize("touches", EVERY)
@settings(deadline=None, max_examples=30)
@given(frames=st.lists(submissions() | corrupted(), max_size=8), closed=st.booleans())
def test_any_batch(engines: Any, frames: list[bytes], touches: Touches, closed: bool) -> None:
    python, native = (carried(each, touches, frames, closed) for each in engines(24))
    assert native == python
    _got, seen, counted = python
    number = dict(zip(counters.NAMES, counted, strict=True))
    assert number["taken"] == len(frames)
    given_out = sum(len(made) for _descriptor, made in seen)
    whole = number["taken"] - number["super_packets"] + number["segments"]
    assert number["sent"] + number["dropped"] + given_out == whole
    assert not (number["sent"] if closed else number["dropped"])
    if touches == "all":
        assert len(seen) == len(frames)
    if touches == "nothing":
        assert not seen


def test_a_batch_ends_and_the_rest_stays(engines: Any) -> None:
    for engine in engines(10):
        got, seen, _ = carried(
            engine, "nothing", [bytes(70) + bytes((n,)) for n in range(99)], False
        )
        assert (len(got), seen) == (64, [])
        assert got == [bytes(70) + bytes((n,)) for n in range(64)]


def test_a_short_frame_is_padded_and_its_header_says_nothing(engines: Any) -> None:
    for engine in engines(24):
        got, _, _ = carried(engine, "nothing", [b"\x02" + bytes(23) + b"\xff" * 20], False)
        assert got == [bytes(24) + b"\xff" * 20 + bytes(40)]


def test_a_frame_that_the_kernel_loses_in_the_read_is_counted(engines: Any) -> None:
    for engine in engines(24):
        with select.epoll() as unreadable:  # read(2) gives EINVAL for it, as TUN does then
            assert not list(engine.carry(unreadable.fileno(), 0, 1 << 20, "all"))
        assert dict(zip(counters.NAMES, engine.counts, strict=True)) == {
            **dict.fromkeys(counters.NAMES, 0),
            "unread": 64,
        }


def test_a_closed_tap_is_an_error(engines: Any) -> None:
    for engine in engines(24):
        with pytest.raises(OSError, match="Bad file descriptor"):
            list(engine.carry(1 << 20, 0, 1 << 20, "nothing"))


def _settings() -> list[tuple[str, dict[str, object]]]:
    """Returns every transmit firmware with every combination of words of its knobs."""
    found: list[tuple[str, dict[str, object]]] = []
    for model in firmwares.models():
        if model.acts != "transmit":
            continue
        words = {name: each for name, each in model.knobs.items() if isinstance(each, tuple)}
        if "fault" in model.knobs:
            words["fault"] = ("seed-left", "random-p", "port-stolen")
        found += [
            (model.name, dict(zip(words, chosen, strict=True)))
            for chosen in itertools.product(*words.values())
        ]
    return found


def _remembered(state: FirmwareState) -> dict[str, object]:
    """Returns what a firmware remembers of frames that it has seen."""
    own = (
        (name, value)
        for name, value in state.memory.items()
        if not isinstance(value, FirmwareState)
    )
    committed = (
        value.memory for value in state.memory.values() if isinstance(value, FirmwareState)
    )
    return copy.deepcopy({**dict(own), **dict(collections.ChainMap(*committed))})  # type: ignore[arg-type]


@settings(deadline=None, max_examples=25)
@given(frames=st.lists(submissions(), max_size=4), finished=st.booleans())
def test_a_firmware_does_not_change_what_it_declares_untouched(
    frames: list[bytes], finished: bool
) -> None:
    engine = Engine(24, 24, new_counts())
    for name, knobs in _settings():
        loaded = firmwares.check(name, knobs).load("nic")
        assert loaded.transmit
        loaded.state.resets = loaded.state.toggles = 1
        for frame in frames:
            submitted = memoryview(bytearray(bytes(24) + frame[24:] if finished else frame))
            descriptor, made = engine.finish(submitted)
            kind = "segmented" if descriptor.gso != GSO_NONE else "unfinished"
            kind = kind if descriptor.gso != GSO_NONE or descriptor.needs_csum else "all"
            if EVERY.index(loaded.touches) >= EVERY.index(kind):
                continue
            before, memory = loaded.state.rng.getstate(), _remembered(loaded.state)
            assert loaded.transmit(descriptor, copy.deepcopy(made)) == made, (name, knobs)
            assert loaded.state.rng.getstate() == before, (name, knobs)
            assert _remembered(loaded.state) == memory, (name, knobs)
