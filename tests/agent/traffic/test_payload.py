"""Payloads that follow from their number."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from qualification.agent.traffic.payload import (
    CHUNK,
    HEADER,
    POOL,
    STEP,
    Datagrams,
    Stream,
    small_size,
)

SEEDS = st.integers(0, 2**32 - 1)
SEQUENCES = st.integers(0, 2**20)
SIZES = st.integers(HEADER.size, 9000)


@given(SEEDS, SEQUENCES, SIZES)
def test_a_datagram_has_its_number(seed: int, sequence: int, size: int) -> None:
    made = Datagrams(seed).make(sequence, size)
    assert len(made) == size
    assert Datagrams(seed).sequence_of(made) == sequence


@given(SEEDS, SEQUENCES, SIZES, st.data())
def test_any_flipped_byte_is_noticed(
    seed: int, sequence: int, size: int, data: st.DataObject
) -> None:
    datagrams = Datagrams(seed)
    made = bytearray(datagrams.make(sequence, size))
    made[data.draw(st.integers(0, size - 1), "where")] ^= data.draw(st.integers(1, 255), "how")
    assert datagrams.sequence_of(bytes(made)) is None


@given(SEEDS, SEQUENCES, SIZES, st.data())
def test_any_other_length_is_noticed(
    seed: int, sequence: int, size: int, data: st.DataObject
) -> None:
    datagrams = Datagrams(seed)
    made = datagrams.make(sequence, size)
    assert datagrams.sequence_of(made[: data.draw(st.integers(0, size - 1))]) is None
    assert datagrams.sequence_of(datagrams.make(sequence, 9999)[: size + 1]) is None
    assert datagrams.sequence_of(made + bytes(data.draw(st.integers(1, 9)))) is None


@given(SEEDS, SEQUENCES, st.integers(HEADER.size + 8, 9000), st.data())
def test_swapped_words_are_noticed(
    seed: int, sequence: int, size: int, data: st.DataObject
) -> None:
    """The Internet checksum cannot detect this."""
    datagrams = Datagrams(seed)
    made = bytearray(datagrams.make(sequence, size))
    words = st.integers(0, size // 2 - 1)
    one, other = (2 * data.draw(words) for _ in range(2))
    first, second = made[one : one + 2], made[other : other + 2]
    made[one : one + 2], made[other : other + 2] = second, first
    assert datagrams.sequence_of(bytes(made)) == (sequence if first == second else None)


@given(SEEDS, SEEDS, SEQUENCES, SIZES)
def test_another_burst_s_datagrams_are_not_ours(
    seed: int, other: int, sequence: int, size: int
) -> None:
    found = Datagrams(seed).sequence_of(Datagrams(other).make(sequence, size))
    assert found == (sequence if seed == other else None)


def test_small_sizes_are_every_size_in_turn() -> None:
    sizes = [small_size(sequence) for sequence in range(240)]
    assert sorted(sizes) == list(range(16, 256))
    assert all(abs(a - b) > 1 for a, b in itertools.pairwise(sizes))


def test_no_two_of_a_burst_are_alike() -> None:
    datagrams = Datagrams(1)
    bodies = {datagrams.make(sequence, 1400)[HEADER.size :] for sequence in range(16_384)}
    assert len(bodies) == 16_384


@given(SEEDS, st.integers(0, 63), st.lists(st.integers(1, CHUNK), max_size=8))
def test_a_stream_is_one_however_it_is_cut(seed: int, number: int, cuts: list[int]) -> None:
    stream = Stream(seed, number)
    at, pieces = 0, []
    for length in cuts:
        pieces.append(bytes(stream.at(at, length)))
        at += length
    whole = b"".join(bytes(stream.at(start, 1)) for start in range(0, at, 997))
    assert b"".join(pieces)[::997] == whole
    assert len(b"".join(pieces)) == at


@given(SEEDS, st.integers(0, 15), st.integers(0, 10 * POOL), st.integers(1, 4096))
def test_a_stream_moved_by_a_little_is_another(
    seed: int, number: int, position: int, by: int
) -> None:
    stream = Stream(seed, number)
    assert stream.at(position, 64) != stream.at(position + by, 64)
    assert stream.at(position, 64) != Stream(seed, number + 1).at(position, 64)
    assert stream.at(position, 64) == stream.at(position + POOL, 64)


def test_the_pool_is_a_prime_and_the_step_does_not_divide_it() -> None:
    assert all(POOL % divisor for divisor in range(2, 257))
    assert POOL % STEP
