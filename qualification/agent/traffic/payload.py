"""Payloads that their number determines, so that the receiver knows every byte beforehand.

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
"""What opens a stream: the seed's mark and the stream's number."""


def mark(seed: int) -> int:
    """The 32 bits by which a burst's own data is known."""
    return seed & 0xFFFFFFFF


@lru_cache(2)  # a run's crafted packet sets all have one
def pool(seed: int) -> bytes:
    """The seed's pool, three times over: any start and length of a datagram is one slice."""
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
        """The datagram of a number; `size` bytes, of which 16 are its header."""
        start = sequence * STEP % POOL
        head = _CHECKED.pack(MAGIC, self._mark, sequence, size)
        check = crc_hqx(head, 0).to_bytes(2, "big")
        return head + check + self._pool[start : start + size - HEADER.size]

    def sequence_of(self, datagram: bytes) -> int | None:
        """The number of a datagram that is byte for byte what that number determines, or None."""
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
    """The bytes of one numbered stream, by position.

    Args:
        seed: Determines the pool.
        number: Which stream of the burst; shifts the start.
    """

    def __init__(self, seed: int, number: int) -> None:
        self._pool = memoryview(pool(seed))
        self._shift = number * STEP

    def at(self, position: int, length: int) -> memoryview:
        """`length` bytes (at most CHUNK) from a position on."""
        start = (position + self._shift) % POOL
        return self._pool[start : start + length]


LARGEST_SMALL = HEADER.size + 239


def small_size(sequence: int) -> int:
    """Payload bytes of a small datagram: 16 to 255, odd and even, every length in turn."""
    return HEADER.size + sequence * 37 % 240
