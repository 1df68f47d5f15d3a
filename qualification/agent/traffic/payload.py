"""Payloads that follow from a number, so that the receiver knows every byte beforehand.

A datagram is a 16-byte header (magic, seed, sequence number) and a slice of a pool of
pseudo-random bytes that depends on the seed; where the slice starts depends on the sequence
number. A stream is the same pool over and over, from a start that depends on the stream's number.
The pool's length is a prime, so that no power-of-two displacement maps it onto itself.
"""

from __future__ import annotations

import hashlib
import struct
from binascii import crc_hqx
from functools import lru_cache

_CHECKED = struct.Struct("!4sIIH")
HEADER = struct.Struct("!4sIIHH")
MAGIC = b"vxq\x01"
POOL = 65521
STEP = 7919
CHUNK = 64 << 10
"""Bytes of a stream handled at once."""
PREFACE = struct.Struct("!II")
"""The first bytes of a stream: the seed's mark and the stream's number."""


def mark(seed: int) -> int:
    """Returns the 32 bits that identify the data of a burst."""
    return seed & 0xFFFFFFFF


@lru_cache(2)  # all crafted packet sets of a run share one seed
def pool(seed: int) -> bytes:
    """Returns the seed's pool three times in a row, so that any datagram is one slice of it."""
    block = hashlib.shake_128(seed.to_bytes(8, "big")).digest(POOL)
    return block * 3


class Datagrams:
    """Makes and recognises the datagrams of one burst.

    Args:
        seed: Determines the pool, and marks the datagrams.
    """

    def __init__(self, seed: int) -> None:
        self._pool = pool(seed)
        self._mark = mark(seed)

    def make(self, sequence: int, size: int) -> bytes:
        """Returns the datagram of a number: `size` bytes, of which 16 are its header."""
        start = sequence * STEP % POOL
        head = _CHECKED.pack(MAGIC, self._mark, sequence, size)
        check = crc_hqx(head, 0).to_bytes(2, "big")
        return head + check + self._pool[start : start + size - HEADER.size]

    def sequence_of(self, datagram: bytes) -> int | None:
        """Returns the number of a datagram, or None if any byte is not what the number implies."""
        if len(datagram) < HEADER.size:
            return None
        magic, whose, sequence, size, check = HEADER.unpack_from(datagram)
        if magic != MAGIC or whose != self._mark or size != len(datagram):
            return None
        if check != crc_hqx(datagram[: _CHECKED.size], 0):
            return None
        start = sequence * STEP % POOL
        body = datagram[HEADER.size :]
        return sequence if body == self._pool[start : start + len(body)] else None


class Stream:
    """The bytes of one stream, by position.

    Args:
        seed: Determines the pool.
        number: Of the stream within the burst; it determines where in the pool the stream starts.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._pool = memoryview(pool(seed))
        self._shift = number * STEP

    def at(self, position: int, length: int) -> memoryview:
        """Returns `length` bytes (at most CHUNK) from a position on."""
        start = (position + self._shift) % POOL
        return self._pool[start : start + length]


LARGEST_SMALL = HEADER.size + 239


def small_size(sequence: int) -> int:
    """Returns the size of a small datagram: 16 to 255 bytes, odd and even, every length in turn."""
    return HEADER.size + sequence * 37 % 240
