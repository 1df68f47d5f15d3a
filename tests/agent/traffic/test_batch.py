"""Batches of datagrams: the native implementation and the Python reference do the same."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qualification.agent.traffic import batch as batches
from qualification.agent.traffic.batch import (
    MOST,
    BatchCounts,
    NativeReceiveBatch,
    NativeSendBatch,
    ReceiveBatch,
    SendBatch,
)
from tests.built import built

SEED, SIZE = 0xDEC0DE, 1400

seeds = st.integers(0, 2**63)
numbers = st.integers(0, 2**32 - 1 - MOST)
sizes = st.lists(st.integers(16, SIZE), max_size=MOST)


@pytest.fixture(scope="session")
def sending() -> Callable[[int], tuple[SendBatch, SendBatch]]:
    """`sending(seed)` returns a batch to send from of each implementation."""
    library = built(batches)
    return lambda seed: (SendBatch(seed), NativeSendBatch(library, seed, SIZE))


@pytest.fixture
def receiving(sending: object) -> tuple[ReceiveBatch, ReceiveBatch]:
    """Returns a batch for the numbers from 0 to 999 of each implementation."""
    library = built(batches)
    return ReceiveBatch(SEED, SIZE, 1000), NativeReceiveBatch(library, SEED, SIZE, 1000)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Returns two connected sockets that preserve datagrams."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        for end in (one, other):
            end.setblocking(False)
        yield one, other


@given(seed=seeds, sequence=numbers, sizes=sizes)
def test_both_make_the_same(
    sending: Callable[[int], tuple[SendBatch, SendBatch]],
    seed: int,
    sequence: int,
    sizes: list[int],
) -> None:
    python, native = (bytes(each.make(sequence, sizes)) for each in sending(seed))
    assert native == python
    assert len(python) == sum(sizes)


def test_largest_datagrams_are_the_same_too() -> None:
    library = built(batches)
    for size in (65507, 65535):
        native = NativeSendBatch(library, SEED, size).make(7, [size])
        assert native == SendBatch(SEED).make(7, [size])


def everything(batch: ReceiveBatch, sock: socket.socket) -> BatchCounts:
    tally = BatchCounts(0, 0, 0)
    with contextlib.suppress(BlockingIOError):
        while True:
            tally = batch.receive(sock)
    return tally


@pytest.mark.parametrize("which", [0, 1], ids=["python", "native"])
def test_a_batch_arrives_as_single_datagrams(
    sending: Callable[[int], tuple[SendBatch, SendBatch]],
    ends: tuple[socket.socket, socket.socket],
    which: int,
) -> None:
    batch = sending(SEED)[which]
    lengths = [16, 17, 1400, 300, 16]
    data = bytes(batch.make(40, lengths))
    sent = 0
    while sent < len(lengths):
        sent += batch.send(ends[0], sent)
    got = [ends[1].recv(9999) for _ in lengths]
    assert [len(each) for each in got] == lengths
    assert b"".join(got) == data
    with pytest.raises(BlockingIOError):
        ends[1].recv(1)


@pytest.mark.parametrize("which", [0, 1], ids=["python", "native"])
def test_what_cannot_be_sent_is_said(
    sending: Callable[[int], tuple[SendBatch, SendBatch]],
    ends: tuple[socket.socket, socket.socket],
    which: int,
) -> None:
    batch = sending(SEED)[which]
    batch.make(0, [100])
    ends[1].close()
    with pytest.raises(ConnectionRefusedError):
        batch.send(ends[0], 0)


def test_both_count_the_same(
    receiving: tuple[ReceiveBatch, ReceiveBatch], ends: tuple[socket.socket, socket.socket]
) -> None:
    make = SendBatch(SEED).make
    seen = [BatchCounts(0, 0, 0)] * 2

    @given(st.data())
    def agree(data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, 8))):
            sequence, size = data.draw(st.integers(0, 1010)), data.draw(st.integers(16, SIZE + 3))
            datagram = bytearray(make(sequence, [size]))
            fate = data.draw(st.sampled_from(["whole", "bit", "cut", "foreign", "more"]))
            if fate == "bit":
                bit = data.draw(st.integers(0, 8 * size - 1))
                datagram[bit // 8] ^= 1 << bit % 8
            elif fate == "cut":
                del datagram[data.draw(st.integers(0, size - 1)) :]
            elif fate == "foreign":
                datagram[:] = SendBatch(SEED + 1).make(sequence, [size])
            elif fate == "more":
                datagram += b"\0"
            for number, batch in enumerate(receiving):
                ends[0].send(datagram)
                seen[number] = everything(batch, ends[1])
            good = fate == "whole" and size <= SIZE and sequence < 1000
            assert (seen[0].corrupt == before[0] + 1) != good
            before[0] = seen[0].corrupt
        assert seen[1] == seen[0]

    before = [0]
    agree()
    assert seen[0].different
    assert seen[0].duplicates
